"""The read marks that the server keeps, as far as this broker has reported them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Protocol, TypeAlias

from zchat.broker.limits import USER_READ_MARKS
from zchat.broker.store.contract import MAX_READ_MARKS, Full, Marked, Watcher
from zchat.broker.store.quotas import Quota
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.requests import Call, Request, SetReadMark, Unmark

GONE_KEPT = 1_000
"""Marks that are gone of which it is known until when: a look at the server that was taken before may come later."""

Mark: TypeAlias = tuple[str, str]
"""A folded room and a folded user."""


class Named(Protocol):
    """What has a name: a log."""

    name: str


class MirroredMarks:
    """The read marks; with `quotas` each user has a bounded number. `ask` sends what nobody waits for."""

    def __init__(self, ask: Callable[[Request], None], *, quotas: bool) -> None:
        self._ask = ask
        self.kept: dict[Mark, tuple[int, int]] = {}
        """By room and user the seq, and the time at which it moved."""
        self._gone: dict[Mark, int] = {}
        """When those that are gone had moved for the last time."""
        self._quota: Quota[Mark] | None = Quota(USER_READ_MARKS) if quotas else None

    def is_full(self, user: str) -> bool:
        """Return whether no read mark of a user may be kept beside those that are."""
        if len(self.kept) < MAX_READ_MARKS:
            return False
        return self._quota is None or self._quota.displaced(user) is None

    def keep(self, mark: Mark, seq: int, moved: int) -> None:
        """Note where a mark stands."""
        self.kept[mark] = seq, moved
        self._gone.pop(mark, None)
        if self._quota is not None:
            self._quota.used(mark[1], mark)

    def remove(self, mark: Mark, room: str, watcher: Watcher) -> None:
        """Report that a mark is gone; `room` is its room's name, here and below."""
        self._let_go(mark)
        watcher.marked(room, mark[1], 0)

    def retain(self, partition: int, marks: Container[Mark], logs: Mapping[str, Named], watcher: Watcher) -> None:
        """Report that those of a partition are gone that are not among `marks`."""
        for mark in [mark for mark in self.kept if mark not in marks and partition_of(mark[0]) == partition]:
            self.remove(mark, logs[mark[0]].name, watcher)

    def compare(self, mark: Mark, seq: int, moved: int, room: str, watcher: Watcher, *, anew: bool) -> None:
        """Report where a mark stands, if it has moved; `anew`: or if it has gone back, as the server lost its end."""
        if not anew and moved <= self._gone.get(mark, -1):
            return  # as it was before
        known = self.kept.get(mark, (0, 0))[0]
        if seq > known or (anew and seq != known):
            self.keep(mark, seq, moved)
            watcher.marked(room, mark[1], seq)

    def heard(self, kind: bytes, mark: Mark, fields: tuple[int, ...], room: str, watcher: Watcher) -> None:
        """Report what another broker has done with a mark: moved it (`M`), or removed it."""
        if kind == b"M":
            seq, moved = fields
            self.compare(mark, seq, moved, room, watcher, anew=False)
        elif mark in self.kept and self.kept[mark][1] <= fields[0]:  # else it has moved since
            self.remove(mark, room, watcher)

    def replied(
        self, call: Call, request: SetReadMark, reply: Any, logs: Mapping[str, Named], watcher: Watcher
    ) -> None:
        """Report and answer what came of a mark that was to be moved: the script's reply."""
        assert call.done is not None
        word, *rest = reply
        if word == b"none":
            call.done(Full("the room has no log yet, so there is nothing to mark as read"))
            return
        if word == b"crowded":
            call.done(Full(f"{MAX_READ_MARKS} read marks are kept, and there is no place for another"))
            return
        seq = rest[0]
        mark = request.room, request.user
        displaced = None
        known = self.kept.get(mark)
        if known is None or known[0] < seq:
            if word == b"marked":
                if known is None and self._quota is not None:
                    displaced = self._displace(request.user)
                self.keep(mark, seq, rest[1])
            watcher.marked(logs[request.room].name, request.user, seq)
        gone = None
        if displaced is not None:
            gone = logs[displaced[0]].name, displaced[1]
            watcher.marked(*gone, 0)
        call.done(Marked(seq, gone))

    def _displace(self, user: str) -> Mark | None:
        """Return the mark that goes if a user gets a further one, once it is on its way out; None if none does."""
        assert self._quota is not None
        displaced = self._quota.displaced(user)
        if displaced is not None:
            self._ask(Unmark(*displaced, self._let_go(displaced)))
        return displaced

    def _let_go(self, mark: Mark) -> int:
        """Keep a mark no longer; return when it had moved for the last time."""
        _, moved = self.kept.pop(mark)
        if self._quota is not None:
            self._quota.remove(mark[1], mark)
        self._gone[mark] = moved
        if len(self._gone) > GONE_KEPT:
            del self._gone[next(iter(self._gone))]
        return moved
