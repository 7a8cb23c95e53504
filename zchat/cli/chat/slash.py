"""The slash commands of `zchat client`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.syntax import ALIASES, addressee, command_of, is_command
from zchat.cli.text.columns import table
from zchat.cli.text.message_lines import ACTION
from zchat.cli.text.phrases import room_named
from zchat.errors import UsageError
from zchat.names import DIRECT

DIGITS = 15
"""Digits of a number at most: a room has fewer messages."""


NOT_THERE = {
    "/nick": "your name stays while you are connected: /quit, then zchat client --user NAME",
    "/search": "there is no /search yet: zchat tail -n 1000 ROOM | grep TEXT searches a room",
    "/topic": "there is no /topic yet: a room has a name and no description",
}
"""Commands of other chats that this one lacks, and what to do instead."""


class Quit(Exception):
    """The user's wish to leave the chat."""


class Command(NamedTuple):
    """A slash command: its word, its argument, what it does in 20 columns, and the function that does it."""

    word: str
    argument: str
    help: str
    run: Callable[[Conversation, str], None]


def do(conversation: Conversation, line: str) -> bool:
    """Carry out a typed line: a command, or a text to send. Return False if the conversation is to end.

    Raises:
        ZchatError: the command failed or the text could not be sent.
    """
    line = line.removesuffix("\r")
    word, argument = command_of(line)
    if not is_command(line) or word != "/messages":
        conversation.pages.restart()
    try:
        if is_command(line):
            command = COMMANDS.get(word)
            if word in NOT_THERE:
                raise UsageError(NOT_THERE[word])
            if command is None:
                raise UsageError(f"unknown command {line.split()[0]}: see /help, or type //{line[1:]} to send it")
            command.run(conversation, argument)
        elif line.strip():
            conversation.say(line.removeprefix("/") if line.startswith("//") else line)
    except Quit:
        return False
    return True


def _list(conversation: Conversation, argument: str) -> None:
    _no_argument("/list", argument)
    conversation.list_rooms()


def _join(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/join requires a room: /join ROOM")
    conversation.join(room_named(argument))


def _leave(conversation: Conversation, argument: str) -> None:
    _no_argument("/leave", argument)
    conversation.leave()


def _members(conversation: Conversation, argument: str) -> None:
    _no_argument("/members", argument)
    conversation.list_members()


def _msg(conversation: Conversation, argument: str) -> None:
    user, text = addressee(argument)
    if text:
        conversation.message_to(user, text)
    else:
        conversation.join(f"{DIRECT}{user}")


def _watch(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/watch requires a room: /watch ROOM")
    conversation.watch(room_named(argument))


def _hide(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/hide requires a room: /hide ROOM")
    conversation.hide(room_named(argument))


def _ignore(conversation: Conversation, argument: str) -> None:
    user, text = addressee(argument, "/ignore") if argument else ("", "")
    if text:
        raise UsageError('/ignore takes one user: /ignore USER, or /ignore "USER" if the name has spaces')
    conversation.ignore(user)


def _me(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/me requires what you do: /me TEXT")
    conversation.say(f"{ACTION}{argument}")


def _clear(conversation: Conversation, argument: str) -> None:
    _no_argument("/clear", argument)
    conversation.clear()


def _messages(conversation: Conversation, argument: str) -> None:
    if argument and not _is_number(argument):
        raise UsageError(f"/messages takes a number, not {argument}")
    conversation.messages(int(argument) if argument else None)


def _show(conversation: Conversation, argument: str) -> None:
    seq, _, room = argument.partition(" ")
    if not _is_number(seq):
        raise UsageError("/show requires the number of a message: /show SEQ, or /show SEQ ROOM")
    conversation.show(int(seq), room_named(room.strip()))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def _help(conversation: Conversation, argument: str) -> None:
    _no_argument("/help", argument)
    rows = []
    for command in COMMANDS.values():
        words = [command.word, *(alias for alias, word in ALIASES.items() if word == command.word)]
        rows.append((f"{', '.join(words)} {command.argument}".rstrip(), command.help))
    rows += [("//TEXT", "send /TEXT"), *conversation.keys]
    conversation.transcript.listing([f"  {line}" for line in table(rows)])


def _quit(conversation: Conversation, argument: str) -> None:
    _no_argument("/quit", argument)
    raise Quit


def _no_argument(word: str, argument: str) -> None:
    if argument:
        raise UsageError(f"{word} takes no argument")


COMMANDS: dict[str, Command] = {
    command.word: command
    for command in (
        Command("/list", "", "list the rooms", _list),
        Command("/join", "ROOM", "go to a room", _join),
        Command("/leave", "", "leave the room", _leave),
        Command("/members", "", "who is in the room", _members),
        Command("/msg", "USER [TEXT]", "write to one user", _msg),
        Command("/me", "TEXT", "say what you do", _me),
        Command("/messages", "[N]", "the latest; earlier", _messages),
        Command("/show", "SEQ [ROOM]", "more of a cut one", _show),
        Command("/watch", "ROOM", "show it elsewhere", _watch),
        Command("/hide", "ROOM", "count it elsewhere", _hide),
        Command("/ignore", "[USER]", "hide or show a user", _ignore),
        Command("/clear", "", "clear the screen", _clear),
        Command("/help", "", "show this list", _help),
        Command("/quit", "", "leave the chat", _quit),
    )
}
