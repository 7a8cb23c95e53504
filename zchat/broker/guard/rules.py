"""Rules: what users may do in which rooms."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Final, NamedTuple, TypeAlias

from zchat.broker.limits import RULES_CACHE
from zchat.names import DIRECT, GUEST
from zchat.wire.commands import Right

Users: TypeAlias = frozenset[str] | None
"""Users by folded names; None for everybody."""

NOBODY: Final[frozenset[str]] = frozenset()

ALL = int(Right.SEE | Right.JOIN | Right.READ | Right.SEND | Right.MEMBERS | Right.CREATE | Right.MODERATE)
"""All that one may in a room."""

_IN_ROOM = ALL & ~(Right.CREATE | Right.MODERATE)


class Rate(NamedTuple):
    """How much may be sent in a second; 0 for as much as one likes."""

    messages: int = 0
    bytes: int = 0


class Table(NamedTuple):
    """The rules for the rooms that one table of the file names.

    Who may do what: a right takes those before it (to see, to join), as `Rules.rights` says.
    """

    names: tuple[str, ...]
    """Of the rooms, folded, with `*` and `?` as in a shell."""
    line: int = 0
    """Where the table begins in the file, 0 for none."""
    see: Users = None
    join: Users = None
    read: Users = None
    send: Users = None
    members: Users = None
    create: Users = None
    owners: frozenset[str] = NOBODY
    guests: int = 0
    """What guests may, as far as everybody may: rights as bits."""
    rate: Rate = Rate()
    """What all together may send to one of the rooms."""
    most: int = 0
    """The most members of a room; 0 for as many as there are sessions."""
    max_message: int = 0
    """Size of the largest message accepted there, in bytes; 0 for the broker's."""


ELSEWHERE = Table(("*",))
"""The table of the rooms that no other names, and what direct rooms have of one: no rate, and no bound of their own."""


def pattern_of(names: tuple[str, ...]) -> str:
    """Return the regular expression that a table's names stand for."""
    return "|".join(translate(name.replace("[", "[[]")) for name in names)


class Rules:
    """A broker's rules; never changed, but replaced by others. A `user` is a folded name, a `room` likewise.

    `operators` may everything but enter others' direct rooms, `stats` are sent figures, `direct` may open direct rooms.
    `makers_own`: who has made a room is one of its owners. `limits`: what one user may send.
    """

    __slots__ = ("_cache", "_pattern", "_table_of", "direct", "limits", "makers_own", "operators", "stats", "tables")

    def __init__(
        self,
        tables: tuple[Table, ...] = (),
        *,
        operators: frozenset[str] = NOBODY,
        stats: Users = NOBODY,
        direct: Users = None,
        makers_own: bool = True,
        limits: Rate = Rate(),  # noqa: B008  # a tuple
    ) -> None:
        self.tables = tables
        self.operators = operators
        self.stats = stats
        self.direct = direct
        self.makers_own = makers_own
        self.limits = limits
        self._pattern = re.compile("|".join(f"({pattern_of(table.names)})" for table in tables)) if tables else None
        self._table_of: dict[str, Table] = {}
        self._cache: dict[tuple[str, str, bool], int] = {}

    def table(self, room: str) -> Table:
        """Return the table that decides about a room: the first that names it. Not of direct rooms."""
        table = self._table_of.get(room)
        if table is None:
            if len(self._table_of) >= RULES_CACHE:
                self._table_of.clear()
            found = self._pattern.match(room) if self._pattern is not None else None
            table = ELSEWHERE if found is None else self.tables[(found.lastindex or 1) - 1]
            self._table_of[room] = table
        return table

    def at_broker(self, user: str) -> int:
        """Return what a user may at the broker as a whole: rights as bits."""
        if user in self.operators:
            return Right.STATS | Right.MODERATE
        return Right.STATS if _has(self.stats, user) and not user.startswith(GUEST) else Right.NOTHING

    def rights(self, user: str, room: str, made: bool) -> int:
        """Return what a user may in a room: rights as bits. `made`: the user has made the room.

        Nobody may join without seeing, or read, send or ask for the members without joining.
        """
        key = (user, room, made)
        rights = self._cache.get(key)
        if rights is None:
            if len(self._cache) >= RULES_CACHE:
                self._cache.clear()
            rights = self._cache[key] = int(self._rights(user, room, made))
        return rights

    def _rights(self, user: str, room: str, made: bool) -> int:
        guest = user.startswith(GUEST)
        if room.startswith(DIRECT):
            if user not in room[len(DIRECT) :].split("\n"):
                return Right.NOTHING
            opens = not guest and (_has(self.direct, user) or user in self.operators)
            return _IN_ROOM | (Right.CREATE if opens else Right.NOTHING)
        table = self.table(room)
        if user in self.operators or user in table.owners or (made and self.makers_own and not guest):
            return ALL
        rights = int(Right.NOTHING)
        for right, users, needed in (
            (Right.SEE, table.see, Right.NOTHING),
            (Right.JOIN, table.join, Right.SEE),
            (Right.READ, table.read, Right.JOIN),
            (Right.SEND, table.send, Right.JOIN),
            (Right.MEMBERS, table.members, Right.JOIN),
            (Right.CREATE, table.create, Right.SEE),
        ):
            given = users is None and table.guests & right if guest else _has(users, user)
            if given and rights & needed == needed:
                rights |= right
        return rights


def _has(users: Users, user: str) -> bool:
    return users is None or user in users
