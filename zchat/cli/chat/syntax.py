"""The syntax of typed lines: what is a command, and the user that `/msg` names."""

from __future__ import annotations

import re

from zchat.errors import UsageError
from zchat.names import DIRECT


def is_command(line: str) -> bool:
    """Return True if a line is a command rather than text; `//` begins a text whose first character is `/`."""
    return line.startswith("/") and not line.startswith("//")


def changes_room(line: str) -> bool:
    """Return True if the lines that follow are meant for another room than those before."""
    word, _, argument = line.rstrip().partition(" ")
    if word != "/msg":
        return word == "/join"
    try:
        return not addressee(argument.strip())[1]
    except UsageError:  # it may have been meant to
        return True


def addressee(argument: str) -> tuple[str, str]:
    """Return the user that the argument of `/msg` names, and the text after the name.

    The name is the first word, or stands in double quotes; a double quote within them is written
    twice, so that a name's owner can't choose where the name ends.

    Raises:
        UsageError: it names nobody.
    """
    argument = argument.removeprefix(DIRECT)
    quotes = argument.startswith('"')
    found = re.fullmatch(r'"((?:[^"]|"")+)"(?:\s+(.*))?' if quotes else r"(\S+)(?:\s+(.*))?", argument)
    if found is None and argument:
        raise UsageError('the closing quote is missing: /msg "USER" TEXT')
    if found is None:
        raise UsageError('/msg requires a user: /msg USER TEXT, or /msg "USER" TEXT if the name has spaces')
    return found[1].replace('""', '"') if quotes else found[1], found[2] or ""


def quoted(name: str) -> str:
    """Return a user's name as `/msg` reads it."""
    return '"' + name.replace('"', '""') + '"' if name.split() != [name] or name.startswith('"') else name
