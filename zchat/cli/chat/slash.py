"""The slash commands of `zchat client`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.listings import INDENTED, indented
from zchat.cli.chat.people import closest
from zchat.cli.chat.rooms import Place
from zchat.cli.chat.syntax import (
    ALIASES,
    EVERYWHERE,
    SURE,
    addressee,
    command_of,
    is_command,
    sentence,
    without_options,
    without_time,
)
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


LISTED_AS = {
    "/unread": "/unread, /next",
    "/watch": "/watch, /hide",
    "/help": "/help moderation",
    "/quit": "/quit, /clear",
    "/kick": "/kick USER",
    "/ban": "/ban USER 1h",
    "/unban": "/unban USER",
    "/bans": "/bans",
    "/mute": "/mute USER 10m",
    "/close": "/close, /open",
    "/open": "",
    "/next": "",
    "/hide": "",
    "/clear": "",
}
"""How `/help` lists some commands, "" for those beside another: its lists fit 40 columns by 20 rows."""


LISTED_HELP = {
    "/unread": "what is new; Alt-A",
    "/watch": "show, count a room",
    "/help": "kick, mute, ban …",
    "/quit": "leave; clear screen",
    "/close": "the room to others",
}
"""What its lists say of lines that stand for more, or other, than the command by itself does."""


OPERANDS = (
    (EVERYWHERE, "about the broker as a whole; for operators"),
    ("TIME", "30s, 10m, 1h, 2d, 1w, 1h30m; without it: for ever"),
    ("REASON", "for the user and the other moderators to see"),
)
"""What `/help` says of an operand of moderators' commands."""


MODERATION = "moderation"
"""What `/help` calls the commands of moderators."""


class Quit(Exception):
    """The user's wish to leave the chat."""


class Command(NamedTuple):
    """A slash command: its word, its argument, what it does in 20 columns, and the function that does it.

    `asks`: True if the broker is asked, which may be away. `topic`: in which list of `/help` it is, "" for the first.
    """

    word: str
    argument: str
    help: str
    run: Callable[[Conversation, str], None]
    asks: bool = False
    topic: str = ""


def do(conversation: Conversation, line: str, meant: Place | None = None, leads_to: Place | None = None) -> bool:
    """Carry out a typed line: a command, or a text to send. Return False if the conversation is to end.

    `meant`: where it is meant for; `leads_to`: where it leads. Both are None for a script's.

    Raises:
        MeantElsewhere: the line is about the current room, and the user is elsewhere.
        ZchatError: the command failed or the text could not be sent.
    """
    conversation.begin_line(meant, leads_to)
    line = line.removesuffix("\r")
    word, argument = command_of(line)
    if not is_command(line) or word not in ("/messages", "/unread"):
        conversation.pages.restart()
    try:
        if is_command(line):
            if word == SURE:
                _msg(conversation, argument, sure=True)
            else:
                command = _command(word, line)
                if command.asks:
                    conversation.check_broker(word)
                command.run(conversation, argument)
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
    conversation.lists.rooms()


def _join(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/join requires a room: /join ROOM")
    conversation.join(room_named(argument))


def _leave(conversation: Conversation, argument: str) -> None:
    conversation.leave(room_named(argument))


def _members(conversation: Conversation, argument: str) -> None:
    conversation.lists.members(room_named(argument))


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
    conversation.lists.mentions()


def _watch(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/watch requires a room: /watch ROOM")
    conversation.watch(room_named(argument))


def _hide(conversation: Conversation, argument: str) -> None:
    if not argument:
        raise UsageError("/hide requires a room: /hide ROOM")
    conversation.hide(room_named(argument))


def _ignore(conversation: Conversation, argument: str) -> None:
    conversation.ignore(_user("/ignore", argument) if argument else "")


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


def _kick(conversation: Conversation, argument: str) -> None:
    _, argument = without_options(argument, "/kick")
    user, reason = addressee(argument, "/kick")
    conversation.moderation.kick(user, without_time(reason, "/kick", "/ban USER TIME keeps USER out so long"))


def _ban(conversation: Conversation, argument: str) -> None:
    everywhere, argument = without_options(argument, "/ban", everywhere=True)
    conversation.moderation.ban(*sentence(argument, "/ban"), everywhere=everywhere)


def _unban(conversation: Conversation, argument: str) -> None:
    everywhere, argument = without_options(argument, "/unban", everywhere=True)
    conversation.moderation.unban(_user("/unban", argument), everywhere=everywhere)


def _mute(conversation: Conversation, argument: str) -> None:
    _, argument = without_options(argument, "/mute")
    conversation.moderation.mute(*sentence(argument, "/mute"))


def _unmute(conversation: Conversation, argument: str) -> None:
    _, argument = without_options(argument, "/unmute")
    conversation.moderation.unmute(_user("/unmute", argument))


def _close(conversation: Conversation, argument: str) -> None:
    _, argument = without_options(argument, "/close")
    conversation.moderation.close(without_time(argument, "/close", "the room is closed until /open"))


def _open(conversation: Conversation, argument: str) -> None:
    _, argument = without_options(argument, "/open")
    _no_argument("/open", argument)
    conversation.moderation.open()


def _bans(conversation: Conversation, argument: str) -> None:
    everywhere, argument = without_options(argument, "/bans", everywhere=True)
    _no_argument("/bans", argument)
    conversation.moderation.bans(everywhere=everywhere)


def _user(word: str, argument: str) -> str:
    """Return the one user that the argument of a command names."""
    user, text = addressee(argument, word)
    if text:
        raise UsageError(f'{word} takes one user: {word} USER, or {word} "USER" if the name has spaces')
    return user


def _show(conversation: Conversation, argument: str) -> None:
    seq, room = (*argument.split(None, 1), "", "")[:2]
    if not _is_number(seq):
        raise UsageError("/show requires the number of a message: /show SEQ, or /show SEQ ROOM")
    conversation.show(int(seq), room_named(room.strip()))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def _help(conversation: Conversation, argument: str) -> None:
    operands: list[tuple[str, str]] = []
    if argument == MODERATION:
        rows = [*_listed(MODERATION), ("then REASON", "for the user to see")]
        rows += [(EVERYWHERE, "ban, unban, bans: of"), ("", "the broker as a whole")]
    elif argument:
        word = command_of(f"/{argument.removeprefix('/')}")[0]
        command = _command(word, word)
        rows = [_described(command)]
        operands = [each for each in OPERANDS if each[0] in command.argument]
    else:
        rows = [*_listed(""), ("//TEXT", "send /TEXT"), *conversation.keys]
    conversation.transcript.listing(indented(rows) + [f"{INDENTED}{line}" for line in indented(operands)])


def _listed(topic: str) -> list[tuple[str, str]]:
    """Return the commands of a topic as its list has them, and what they do."""
    found = [command for command in COMMANDS.values() if command.topic == topic]
    rows = [
        (LISTED_AS.get(each.word, f"{each.word} {each.argument}"), LISTED_HELP.get(each.word, each.help))
        for each in found
    ]
    return [(label, text) for label, text in rows if label]


def _described(command: Command) -> tuple[str, str]:
    """Return a command with all its words and its argument, and what it does."""
    words = [command.word, *(alias for alias, word in ALIASES.items() if word == command.word)]
    return f"{', '.join(words)} {command.argument}".rstrip(), command.help


def _quit(conversation: Conversation, argument: str) -> None:
    raise Quit  # whatever is said about it: others are not told why one leaves


def _no_argument(word: str, argument: str) -> None:
    if argument:
        raise UsageError(f"{word} takes no argument")


COMMANDS: dict[str, Command] = {
    command.word: command
    for command in (
        Command("/list", "", "list the rooms", _list, asks=True),
        Command("/join", "ROOM", "go to a room", _join),
        Command("/leave", "[ROOM]", "leave a room", _leave),
        Command("/next", "", "to what is new", _next),
        Command("/members", "[ROOM]", "who is in a room", _members, asks=True),
        Command("/msg", "USER [TEXT]", "write to one user", _msg),
        Command("/me", "TEXT", "say what you do", _me),
        Command("/messages", "[N]", "latest; or PageUp", _messages, asks=True),
        Command("/unread", "", "show what is new", _unread, asks=True),
        Command("/mentions", "", "what is for you", _mentions),
        Command("/show", "SEQ [ROOM]", "more of a cut one", _show, asks=True),
        Command("/watch", "ROOM", "always show a room", _watch),
        Command("/hide", "ROOM", "count a room", _hide),
        Command("/ignore", "[USER]", "hide or show a user", _ignore),
        Command("/clear", "", "clear the screen", _clear),
        Command("/help", "[COMMAND]", "list the commands", _help),
        Command("/quit", "", "leave the chat", _quit),
        Command("/kick", "USER [REASON]", "put a user out", _kick, asks=True, topic=MODERATION),
        Command("/ban", f"[{EVERYWHERE}] USER [TIME] [REASON]", "put out, keep out", _ban, asks=True, topic=MODERATION),
        Command("/unban", f"[{EVERYWHERE}] USER", "let a user in again", _unban, asks=True, topic=MODERATION),
        Command("/mute", "USER [TIME] [REASON]", "silence a user", _mute, asks=True, topic=MODERATION),
        Command("/unmute", "USER", "let a user speak", _unmute, asks=True, topic=MODERATION),
        Command("/close", "[REASON]", "close it to others", _close, asks=True, topic=MODERATION),
        Command("/open", "", "open a room again", _open, asks=True, topic=MODERATION),
        Command("/bans", f"[{EVERYWHERE}]", "who is banned, muted", _bans, asks=True, topic=MODERATION),
    )
}
