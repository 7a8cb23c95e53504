"""The syntax of typed lines: what is a command, and the user that `/msg` names."""

from __future__ import annotations

import re
from contextlib import suppress

from zchat.errors import UsageError
from zchat.names import DIRECT

ALIASES = {"/part": "/leave", "/who": "/members"}
"""Other words for commands, which other chats have."""


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


def if_it_fails(line: str) -> str:
    """Return why the lines after a line must not be sent if it fails; "" if they may be.

    They are meant for another room than those before, or not to be said at all.
    """
    word, argument = command_of(line)
    if word in ("/leave", "/quit"):
        return f"an earlier {word} failed"
    if word == "/msg":
        with suppress(UsageError):  # else it may have been meant to change the room
            if addressee(argument)[1]:
                return ""
    return "you were not in that room" if word in ("/join", "/msg") else ""


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


def quoted(name: str) -> str:
    """Return a user's name as `/msg` reads it."""
    return '"' + name.replace('"', '""') + '"' if name.split() != [name] or name.startswith('"') else name
