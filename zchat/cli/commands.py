"""The slash commands of `zchat client`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from zchat.cli.show import table
from zchat.errors import UsageError

if TYPE_CHECKING:
    from zchat.cli.chat import Chat


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


def _leave(chat: Chat, argument: str) -> None:
    _no_argument("/leave", argument)
    chat.leave()


def _members(chat: Chat, argument: str) -> None:
    _no_argument("/members", argument)
    chat.members()


def _msg(chat: Chat, argument: str) -> None:
    if argument.startswith('"'):  # a name with blanks
        user, closed, text = argument[1:].partition('"')
        if not closed:
            raise UsageError('/msg "NAME" TEXT: the second quotation mark is missing')
    else:
        user, _, text = argument.partition(" ")
    if not user:
        raise UsageError("to whom? /msg USER TEXT")
    chat.write(user.strip(), text.strip())


def _messages(chat: Chat, argument: str) -> None:
    if argument and not (argument.isascii() and argument.isdigit() and len(argument) < 10):
        raise UsageError(f"/messages [N]: N is a number, not {argument}")
    chat.messages(int(argument) if argument else None)


def _help(chat: Chat, argument: str) -> None:
    _no_argument("/help", argument)
    rows = [(f"{command.word} {command.argument}".rstrip(), command.help) for command in COMMANDS.values()]
    for line in table([*rows, ("//TEXT", "say a line that begins with /")]):
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
        Command("/members", "", "who is in the room, and since when", _members),
        Command("/msg", "USER [TEXT]", "say it to USER alone; without TEXT go to the room of you two", _msg),
        Command("/messages", "[N]", "what was said since you last saw the room, or the last N", _messages),
        Command("/help", "", "this list", _help),
        Command("/quit", "", "leave the chat", _quit),
    )
}
