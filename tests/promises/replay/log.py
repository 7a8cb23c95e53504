"""An IRC channel's log, as what somebody did in a room: came, went, said something."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from zchat.names import fold

SERVER = "irc.server"
"""The user who says the server's notices: no nick holds a dot."""

_WITHIN_NAMES = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%/@#")
"""What stands for itself in a user's name."""


class Join(NamedTuple):
    """A nick came into the channel."""

    nick: str


class Leave(NamedTuple):
    """A nick left the channel."""

    nick: str


class Rename(NamedTuple):
    """A nick goes on under another one."""

    nick: str
    new: str


class Line(NamedTuple):
    """A nick said or did something; None is the server, with a notice."""

    nick: str | None
    text: str


class Come(NamedTuple):
    """A user who is not in the room joins it."""

    user: str


class Go(NamedTuple):
    """A user who is in the room leaves it."""

    user: str


class Say(NamedTuple):
    """A user who is in the room says something."""

    user: str
    text: str


class Stretch(NamedTuple):
    """A part of what happens in the room: who comes at its beginning, what happens one by one, who goes at its end."""

    comings: list[Come]
    acts: list[Act]
    goings: list[Go]


Step = Join | Leave | Rename | Line
Act: TypeAlias = Come | Go | Say

_MESSAGE = re.compile(r"\[\d\d:\d\d\] <([^>]+)>(?: (.*))?", re.DOTALL)
_ACTION = re.compile(r"\[\d\d:\d\d\]  \* (\S+) ?(.*)", re.DOTALL)
_JOIN = re.compile(r"=== (.+)  has joined #.*", re.DOTALL)
_LEAVE = re.compile(r"=== (.+)  has left #.*", re.DOTALL)
_RENAME = re.compile(r"=== (.+) is now known as (.+)", re.DOTALL)
_OLD_ACTION = re.compile(r"=== ([\w\[\]\\`^{|}-]+) (.*)", re.DOTALL | re.ASCII)
_NOTICE = re.compile(r"=== (.*)", re.DOTALL)


def steps(log: str) -> Iterator[Step]:
    r"""Read a log, a line a step. Only \n ends a line: what else breaks lines elsewhere is text here.

    Raises:
        ValueError: a line is none of those that a log has.
    """
    for number, line in enumerate(log.removesuffix("\n").split("\n"), 1):
        if found := _MESSAGE.fullmatch(line):
            yield Line(found[1], found[2] or "")
        elif found := _ACTION.fullmatch(line):
            yield Line(found[1], f"* {found[2]}")
        elif found := _JOIN.fullmatch(line):
            yield Join(found[1])
        elif found := _LEAVE.fullmatch(line):
            yield Leave(found[1])
        elif found := _RENAME.fullmatch(line):
            yield Rename(found[1], found[2])
        elif found := _OLD_ACTION.fullmatch(line):
            yield Line(found[1], f"* {found[2]}")
        elif found := _NOTICE.fullmatch(line):
            yield Line(None, found[1])
        else:
            raise ValueError(f"line {number} is not a log's: {line!r}")


def acts(log: str) -> Iterator[Act]:
    """Tell what happens in the room: everybody comes before he speaks, and nobody is there twice.

    Nicks that differ in case alone are one user. Who speaks without a join came unseen, just
    now; who joins again, or whose nick another takes, had gone unseen; who leaves and was never
    seen did nothing. A rename is a leave and a join. At the end everybody leaves.
    """
    here: dict[str, str] = {}

    def gone(nick: str) -> Iterator[Act]:
        if user := here.pop(fold(user_of(nick)), None):
            yield Go(user)

    def come(nick: str) -> Iterator[Act]:
        user = user_of(nick)
        here[fold(user)] = user
        yield Come(user)

    for step in steps(log):
        match step:
            case Join(nick):
                yield from gone(nick)
                yield from come(nick)
            case Leave(nick):
                yield from gone(nick)
            case Rename(nick, new):
                yield from gone(nick)
                yield from gone(new)
                yield from come(new)
            case Line(nick, text):
                user = SERVER if nick is None else user_of(nick)
                if fold(user) not in here:
                    here[fold(user)] = user
                    yield Come(user)
                yield Say(here[fold(user)], text)
    yield from map(Go, here.values())


def stretches(script: Sequence[Act], size: int) -> Iterator[Stretch]:
    """Have those who come or go within `size` acts do so together, all that is said being said in the same order.

    Who comes is there a little earlier than in the script, and who goes a little later. A user who goes and comes
    again in one stretch does that where the script has it.
    """
    for begin in range(0, len(script), size):
        part = script[begin : begin + size]
        first = {id(act) for act in {fold(act.user): act for act in reversed(part)}.values() if isinstance(act, Come)}
        last = {id(act) for act in {fold(act.user): act for act in part}.values() if isinstance(act, Go)}
        yield Stretch(
            [act for act in part if isinstance(act, Come) and id(act) in first],
            [act for act in part if id(act) not in first | last],
            [act for act in part if isinstance(act, Go) and id(act) in last],
        )


def user_of(nick: str) -> str:
    """Return the name that zchat has for a nick: what its names can't hold is written as %XX, a byte of UTF-8 each.

    That is everything but letters, digits and signs of ASCII, and `%/@#` of the signs.
    `urllib.parse.unquote` gives the nick back.
    """
    return quote(nick, safe=_WITHIN_NAMES)
