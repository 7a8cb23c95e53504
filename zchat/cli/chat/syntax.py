"""The syntax of typed lines: what is a command, and the user that `/msg` names."""

from __future__ import annotations

import re
from contextlib import suppress

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


def if_it_fails(line: str) -> str:
    """Return why the lines after a line must not be sent if it fails; "" if they may be.

    They are meant for another room than those before, or not to be said at all.
    """
    if command_of(line)[0] == "/leave":
        return "an earlier /leave failed"
    return "you were not in that room" if goes_elsewhere(line) else ""


def goes_elsewhere(line: str) -> bool:
    """Return True if a line is a command that leads to a room."""
    word, argument = command_of(line)
    if word in ("/msg", SURE):
        with suppress(UsageError):  # else it may have been meant to change the room
            return not addressee(argument)[1]
    return word in ("/join", "/next", "/msg", SURE)


def without_texts(lines: list[str]) -> tuple[list[str], list[str]]:
    """Return which of some lines are meant for a room that could not be reached, and those to do all the same.

    The latter are commands that don't depend on the room, and everything from one on that leads to a room.
    """
    refused: list[str] = []
    for number, line in enumerate(lines):
        if is_command(line) and goes_elsewhere(line):
            return refused, [each for each in lines[:number] if each not in refused] + lines[number:]
        if not is_command(line) or command_of(line)[0] in ("/me", "/leave"):
            refused.append(line)
    return refused, [each for each in lines if each not in refused]


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
