"""The syntax of typed lines: what is a command, and the user that `/msg` names."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from math import ceil

from zchat.cli.text.iso import span_meant
from zchat.errors import UsageError
from zchat.names import DIRECT

ALIASES = {
    "/part": "/leave",
    "/who": "/members",
    "/names": "/members",
    "/j": "/join",
    "/query": "/msg",
    "/exit": "/quit",
}
"""Other words for commands, which other chats have."""

EVERYWHERE = "--everywhere"
"""The option with which a moderator's command is about the broker as a whole, not about the room."""

_OPTION = re.compile(r'"(?:[^"]|"")+"|(?<!\S)(?:--\w\S*|[-\u2013\u2014]everywhere(?!\S))\s*', re.IGNORECASE)
"""An option, also with one of the dashes that programs for texts make of two; or what stands in double quotes."""

SURE = "/msg!"
"""The word of `/msg` to a user of whom nobody has seen anything."""


def is_command(line: str) -> bool:
    """Return True if a line is a command rather than text; `//` begins a text whose first character is `/`."""
    return line.startswith("/") and not line.startswith("//")


def command_of(line: str) -> tuple[str, str]:
    """Return the word of a command in lower case, the first of its words, and its argument.

    Any blank separates the two, and blanks around them don't count: a line may come from a file with CR LF.
    """
    word, *argument = line.split(maxsplit=1) or [""]
    word = word.lower()
    return ALIASES.get(word, word), argument[0].rstrip() if argument else ""


def is_quit(line: str) -> bool:
    """Return True if a line is the command that ends the chat."""
    return is_command(line) and command_of(line)[0] == "/quit"


def leads(line: str) -> bool:
    """Return True if a line is a command that leads to a room, or out of one: what follows is meant for there."""
    word, argument = command_of(line)
    if word in ("/msg", SURE):
        with suppress(UsageError):  # else it may have been meant to change the room
            return not addressee(argument)[1]
    return word in ("/join", "/next", "/msg", SURE, "/leave")


def says(line: str) -> bool:
    """Return True if a line is something to be said."""
    word, argument = command_of(line)
    return not is_command(line) or (word == "/me" and bool(argument)) or (word in ("/msg", SURE) and not leads(line))


def addressee(argument: str, word: str = "/msg") -> tuple[str, str]:
    """Return the user that the argument of `/msg`, or of another command, names, and the text after the name.

    The name is the first word, or stands in double quotes; a double quote within them is written
    twice, so that a name's owner can't choose where the name ends.

    Raises:
        UsageError: it names nobody.
    """
    argument = argument.removeprefix(DIRECT)
    quotes = argument.startswith('"')
    found = re.fullmatch(r'(?s)"((?:[^"]|"")+)"(?:\s+(.*))?' if quotes else r"(?s)(\S+)(?:\s+(.*))?", argument)
    if found is None and argument:
        raise UsageError(f'the closing quote is missing: {word} "USER"')
    if found is None:
        raise UsageError(f'{word} requires a user: {word} USER, or {word} "USER" if the name has spaces')
    return found[1].replace('""', '"') if quotes else found[1], found[2] or ""


def without_options(argument: str, word: str, *, everywhere: bool = False) -> tuple[bool, str]:
    """Return whether `EVERYWHERE` stands in the argument of a moderator's command, wherever, and the argument without.

    `everywhere`: True if the command has that option. What stands in double quotes is none.

    Raises:
        UsageError: it has an option that the command has not.
    """
    found = [option.strip() for option in _OPTION.findall(argument) if not option.startswith('"')]
    for option in found:
        if option.lower().lstrip("-\u2013\u2014") != EVERYWHERE.lstrip("-"):
            raise UsageError(f"{word} has no option {option}: in a REASON it stands in double quotes")
        if not everywhere:
            raise UsageError(f"{word} is about the room alone: /ban {EVERYWHERE} USER is about the broker as a whole")
    rest = _OPTION.sub(lambda found: found[0] if found[0].startswith('"') else "", argument)
    return bool(found), rest.rstrip()


def sentence(argument: str, word: str) -> tuple[str, int, str]:
    """Return the user that the argument of `/ban` or `/mute` names, for how many seconds, 0 for ever, and why.

    The time is one or several words before the reason: `bob 10m spam`, `bob for 1h 30m`.

    Raises:
        UsageError: it names nobody, or the time is none, or stands elsewhere.
    """
    user, text = addressee(argument, word)
    if text and not argument.startswith('"') and span_meant(user) is not None:
        raise UsageError(f"{user} stands after the user: {word} USER {user}")
    rest = re.sub(r"\Afor\s+(?=\d)", "", text)
    seconds = 0.0
    while rest[:1].isdigit():
        first, *others = rest.split(maxsplit=1)
        span = span_meant(first)
        if span == timedelta.max:
            raise UsageError(f"{first} is longer than any calendar: without a time it is for ever")
        if span:
            seconds += span.total_seconds()
            rest = others[0] if others else ""
        elif seconds:
            break
        else:
            raise UsageError(f"{first} is no time: write 30s, 10m, 1h, 2d or 1w, or begin the reason with a word")
    last = rest.split()[-1] if rest and not seconds else ""
    if span_meant(last) is not None:
        raise UsageError(f"{last} stands before the REASON: {word} {quoted(user)} {last} REASON")
    return user, ceil(seconds), rest


def without_time(reason: str, word: str, instead: str) -> str:
    """Return the reason of a moderator's command that takes no time; `instead`: what to do about one.

    Raises:
        UsageError: the reason begins with a time.
    """
    first = reason.removeprefix("for ").split()[:1]
    if first and span_meant(first[0]) is not None:
        raise UsageError(f"{word} takes no TIME: {instead}")
    return reason


def quoted(name: str) -> str:
    """Return a user's name as `/msg` and the commands of moderators read it."""
    bare = name.split() == [name] and not name.startswith(('"', "--"))
    return name if bare else '"' + name.replace('"', '""') + '"'
