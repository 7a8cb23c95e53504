"""The slash commands of `zchat client`, as a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from zchat.cli.text.columns import table
from zchat.errors import UsageError
from zchat.names import DIRECT

if TYPE_CHECKING:
    from zchat.cli.chat.conversation import Chat


class Quit(Exception):
    """Tell that whoever chats wants to leave."""


class Command(NamedTuple):
    """Describe a slash command: its word, its argument, what it does, and the function for it."""

    word: str
    argument: str
    help: str
    run: Callable[[Chat, str], None]


def _list(chat: Chat, argument: str) -> None:
    _no_argument("/list", argument)
    chat.list_rooms()


def _join(chat: Chat, argument: str) -> None:
    if not argument:
        raise UsageError("which room? /join ROOM")
    chat.join(argument)


def _members(chat: Chat, argument: str) -> None:
    _no_argument("/members", argument)
    chat.list_members()


def _msg(chat: Chat, argument: str) -> None:
    user, text = addressed(argument)
    if text:
        chat.message_to(user, text)
    else:
        chat.join(f"{DIRECT}{user}")


def addressed(argument: str) -> tuple[str, str]:
    """Return the user whom the argument of `/msg` names, its first word or what stands in double quotes, and the rest.

    A double quote within double quotes is written twice: a name must not end where its owner pleases.

    Raises:
        UsageError: it names nobody.
    """
    argument = argument.removeprefix(DIRECT)
    quoted = argument.startswith('"')
    found = re.fullmatch(r'"((?:[^"]|"")+)"(?:\s+(.*))?' if quoted else r"(\S+)(?:\s+(.*))?", argument)
    if found is None and argument:
        raise UsageError('whose name begins with "? close it: /msg "NAME" TEXT')
    if found is None:
        raise UsageError('to whom? /msg USER TEXT; a name with blanks stands in quotes: /msg "USER" TEXT')
    return found[1].replace('""', '"') if quoted else found[1], found[2] or ""


def goes_elsewhere(line: str) -> bool:
    """Return whether a line means that what follows is said in another room than what was before."""
    word, _, argument = line.rstrip().partition(" ")
    if word != "/msg":
        return word == "/join"
    try:
        return not addressed(argument.strip())[1]
    except UsageError:  # whatever was meant
        return True


def _leave(chat: Chat, argument: str) -> None:
    _no_argument("/leave", argument)
    chat.leave()


def _messages(chat: Chat, argument: str) -> None:
    if argument and not (argument.isascii() and argument.isdigit() and len(argument) < 10):
        raise UsageError(f"/messages [N]: N is a number, not {argument}")
    chat.messages(int(argument) if argument else None)


def _help(chat: Chat, argument: str) -> None:
    _no_argument("/help", argument)
    rows = [(f"{command.word} {command.argument}".rstrip(), command.help) for command in COMMANDS.values()]
    rows += [("//TEXT", "say a line that begins with /")]
    if chat.outbox is not None:  # on a terminal
        rows += [("Alt-Enter", "a new line"), ("Tab", "complete a command or a name"), ("Up, Ctrl-R", "what you typed")]
    for line in table(rows):
        chat.tell(line)


def _quit(chat: Chat, argument: str) -> None:
    _no_argument("/quit", argument)
    raise Quit


def _no_argument(word: str, argument: str) -> None:
    if argument:
        raise UsageError(f"{word} stands alone; leave {argument} out")


COMMANDS: dict[str, Command] = {
    command.word: command
    for command in (
        Command("/list", "", "what rooms there are", _list),
        Command("/join", "ROOM", "go to a room; what is said in the others is shown too", _join),
        Command("/leave", "", "leave the room", _leave),
        Command("/members", "", "who is in the room", _members),
        Command("/msg", "USER [TEXT]", "say TEXT to USER alone, or go there", _msg),
        Command("/messages", "[N]", "what you missed, else the last ones; again: those before", _messages),
        Command("/help", "", "this list", _help),
        Command("/quit", "", "leave the chat", _quit),
    )
}
