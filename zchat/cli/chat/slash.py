"""The slash commands of `zchat client`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.people import closest
from zchat.cli.chat.syntax import ALIASES, SURE, addressee, command_of, is_command
from zchat.cli.text.columns import table
from zchat.cli.text.message_lines import ACTION
from zchat.cli.text.phrases import room_named
from zchat.errors import UsageError
from zchat.names import DIRECT

DIGITS = 15
"""Digits of a number at most: a room has fewer messages."""


NOT_THERE = {
    "/away": "there is no /away: /mentions lists what was said to you meanwhile",
    "/q": "/quit leaves the chat; /msg USER goes to your direct room with a user",
    "/w": "/msg USER TEXT writes to one user; /who lists who is in the room",
    "/whois": "there is no /whois: a user has a name alone; /who lists who is in the room",
    "/nick": "your name stays while you are connected: /quit, then zchat client --user NAME",
    "/search": "there is no /search yet: zchat tail -n 1000 ROOM | grep TEXT searches a room",
    "/topic": "there is no /topic yet: a room has a name and no description",
}
"""Commands of other chats that this one lacks, and what to do instead."""


LISTED_WITH = {"/unread": "/next", "/watch": "/hide", "/help": "/clear"}
"""Commands with another that `/help` lists beside it, so that the list fits 40 columns by 20 rows."""


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
    if not is_command(line) or word not in ("/messages", "/unread"):
        conversation.pages.restart()
    try:
        if is_command(line):
            if word == SURE:
                _msg(conversation, argument, sure=True)
            else:
                _command(word, line).run(conversation, argument)
        elif line.strip():
            conversation.say(line.removeprefix("/") if line.startswith("//") else line)
    except Quit:
        return False
    return True


def _command(word: str, line: str) -> Command:
    """Return the command of a word, the first of a line.

    Raises:
        UsageError: there is none.
    """
    if word in NOT_THERE:
        raise UsageError(NOT_THERE[word])
    if word not in COMMANDS:
        like = closest(word, [*COMMANDS, *ALIASES])
        hint = f"did you mean {like}?" if like else "see /help,"
        raise UsageError(f"unknown command {line.split()[0]}: {hint} or type //{line[1:]} to send it")
    return COMMANDS[word]


def _list(conversation: Conversation, argument: str) -> None:
    _no_argument("/list", argument)
    conversation.list_rooms()


def _join(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/join requires a room: /join ROOM")
    conversation.join(room_named(argument))


def _leave(conversation: Conversation, argument: str) -> None:
    conversation.leave(room_named(argument))


def _members(conversation: Conversation, argument: str) -> None:
    conversation.list_members(room_named(argument))


def _msg(conversation: Conversation, argument: str, *, sure: bool = False) -> None:
    user, text = addressee(argument)
    if text:
        conversation.message_to(user, text, sure=sure)
    else:
        conversation.join(f"{DIRECT}{user}", sure=sure)


def _next(conversation: Conversation, argument: str) -> None:
    _no_argument("/next", argument)
    conversation.next()


def _unread(conversation: Conversation, argument: str) -> None:
    _no_argument("/unread", argument)
    conversation.unread()


def _mentions(conversation: Conversation, argument: str) -> None:
    _no_argument("/mentions", argument)
    conversation.list_mentions()


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
    commands = list(COMMANDS.values())
    keys = [("//TEXT", "send /TEXT"), *conversation.keys]
    if argument:
        word = command_of(f"/{argument.removeprefix('/')}")[0]
        commands, keys = [_command(word, word)], []
    rows = []
    for command in commands:
        if command.word in LISTED_WITH.values() and not argument:
            continue
        if argument:
            words = [command.word, *(alias for alias, word in ALIASES.items() if word == command.word)]
            rows.append((f"{', '.join(words)} {command.argument}".rstrip(), command.help))
        else:
            other = LISTED_WITH.get(command.word)
            rows.append((f"{command.word}, {other}" if other else f"{command.word} {command.argument}", command.help))
    conversation.transcript.listing([f"  {line}" for line in table(rows + keys)])


def _quit(conversation: Conversation, argument: str) -> None:
    raise Quit  # whatever is said about it: others are not told why one leaves


def _no_argument(word: str, argument: str) -> None:
    if argument:
        raise UsageError(f"{word} takes no argument")


COMMANDS: dict[str, Command] = {
    command.word: command
    for command in (
        Command("/list", "", "list the rooms", _list),
        Command("/join", "ROOM", "go to a room", _join),
        Command("/leave", "[ROOM]", "leave a room", _leave),
        Command("/next", "", "to what is new", _next),
        Command("/members", "[ROOM]", "who is in a room", _members),
        Command("/msg", "USER [TEXT]", "write to one user", _msg),
        Command("/me", "TEXT", "say what you do", _me),
        Command("/messages", "[N]", "latest; or PageUp", _messages),
        Command("/unread", "", "what is new; Alt-A", _unread),
        Command("/mentions", "", "what is for you", _mentions),
        Command("/show", "SEQ [ROOM]", "more of a cut one", _show),
        Command("/watch", "ROOM", "show, count a room", _watch),
        Command("/hide", "ROOM", "count a room", _hide),
        Command("/ignore", "[USER]", "hide or show a user", _ignore),
        Command("/clear", "", "clear the screen", _clear),
        Command("/help", "[COMMAND]", "this list; clear", _help),
        Command("/quit", "", "leave the chat", _quit),
    )
}
