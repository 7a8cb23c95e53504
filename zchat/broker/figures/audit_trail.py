"""What the core has to record about who came in and what was done to whom: kept until the loop has it written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

from zchat.broker.limits import AUDIT_EVERY, AUDIT_FOR_OPERATORS, AUDIT_KEPT_FREE, AUDIT_LINES, AUDIT_LINES_A_USER
from zchat.broker.port import Peer

ROUTINE = frozenset(("let_in", "turned_away", "wrong_name", "session_ended", "cut", "refused"))
"""Events that anyone can cause as often as they like: they leave room for the others."""

Field: TypeAlias = str | int


class AuditLine(NamedTuple):
    """One line of the audit log."""

    at: int
    """When it happened, in microseconds since 1970."""
    event: str
    """What kind of line it is."""
    key: str
    """The public key of the connection that it is about; "" for none. Its fingerprint is written."""
    fields: dict[str, Field]
    """What the line is about, without what is empty."""


class _Gathered:
    """What has happened several times within a second: one line."""

    __slots__ = ("at", "count", "key")

    def __init__(self, at: int, key: str) -> None:
        self.at = at
        self.key = key
        """The key, "" once it was another."""
        self.count = 0


class AuditTrail:
    """The lines for the audit log, in order, and bounded: how many a second there were beyond that is a line too.

    `clock` returns the microseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lines: list[AuditLine] = []
        self._gathered: dict[tuple[str, ...], _Gathered] = {}
        self._ends = -inf  # when the present second ends
        self.used = 0
        """Lines of the present second that there was room for: `take` is to be called while there are any."""
        self._of_users: Counter[str] = Counter()
        self._too_many: Counter[str] = Counter()
        """Of those who have had all lines of one user, how many more there were."""
        self.left_out = 0
        """Lines that were left out, since the start."""
        self._reported = 0  # how many of them a line has reported

    def add(self, event: str, peer: Peer, *, operator: bool = False, **fields: Field) -> None:
        """Record an event that a peer has caused or met, with the fields that aren't empty.

        `operator`: an operator has done it, for which there is room that nobody else takes up.
        """
        if self._is_room(event, peer.user, operator=operator):
            about: dict[str, Field] = {"address": peer.address or "", "via": peer.via}
            about.update(fields)
            self._lines.append(_line(self._clock(), event, peer.key or "", about))

    def gather(
        self,
        event: str,
        reason: str,
        *,
        address: str = "",
        key: str = "",
        user: str = "",
        via: str = "",
        count: int = 1,
    ) -> None:
        """Record an event of a kind that comes in floods: one line a second for an address, a user and a reason."""
        about = (event, reason, address, user, via)
        gathered = self._gathered.get(about)
        if gathered is None:
            if not self._is_room(event, user, count):
                return
            gathered = self._gathered[about] = _Gathered(self._clock(), key)
        elif key != gathered.key:
            gathered.key = ""
        gathered.count += count

    def take(self, now: float) -> list[AuditLine]:
        """Return the lines since the last time; once a second is over also those that were gathered in it."""
        if now >= self._ends:
            self._finish()
            self._ends = now + AUDIT_EVERY
        lines, self._lines = self._lines, []
        return lines

    def take_all(self) -> list[AuditLine]:
        """Return all that is left, at the end."""
        return self.take(inf)

    def _finish(self) -> None:
        """End a second: what was gathered in it is complete, and there is room again."""
        for (event, reason, address, user, via), each in self._gathered.items():
            fields: dict[str, Field] = {"address": address, "user": user, "reason": reason, "count": each.count}
            fields["via"] = via
            self._lines.append(_line(each.at, event, each.key, fields))
        self._gathered.clear()
        for user, count in self._too_many.items():
            self._lines.append(AuditLine(self._clock(), "left_out", "", {"by": user, "count": count}))
        self._reported += self._too_many.total()
        self._too_many.clear()
        if self.left_out > self._reported:
            self._lines.append(AuditLine(self._clock(), "left_out", "", {"count": self.left_out - self._reported}))
            self._reported = self.left_out
        self.used = 0
        self._of_users.clear()

    def _is_room(self, event: str, user: str, count: int = 1, *, operator: bool = False) -> bool:
        """Take room for a line, if there is any; else count what it would have said."""
        of_user = self._of_users[user] if user else 0
        most = AUDIT_LINES - AUDIT_KEPT_FREE if event in ROUTINE else AUDIT_LINES
        if operator:
            most += AUDIT_FOR_OPERATORS
        if of_user >= AUDIT_LINES_A_USER:
            self._too_many[user] += count
        if self.used >= most or of_user >= AUDIT_LINES_A_USER:
            self.left_out += count
            return False
        self.used += 1
        if user:
            self._of_users[user] = of_user + 1
        return True


def _line(at: int, event: str, key: str, fields: dict[str, Field]) -> AuditLine:
    return AuditLine(at, event, key, {name: value for name, value in fields.items() if value not in ("", 0)})
