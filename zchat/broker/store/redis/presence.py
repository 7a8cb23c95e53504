"""Who is where, by sessions at which broker: what this broker has told, and what it was told, without I/O.

What this broker's own users are is told to the server, and compared with what that has whenever a partition is looked
at: whatever was lost, refused or swept is told again then. What is of other brokers comes by notices and snapshots,
which may overtake each other: each says which change it is, and what is older than the newest changes nothing. It ends
with its broker, which another one that tends the store finds out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

from zchat.broker.store.contract import Failed, Full, Present, Watcher
from zchat.broker.store.redis.attachment import Snapshot
from zchat.broker.store.redis.forms import present_of
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.requests import Here, Request
from zchat.names import fold

TELLING = 1000
"""Arrivals and departures of users that are on their way to the server at most; of the others only the latest waits."""

Key: TypeAlias = tuple[str, str]
"""Folded room and folded user."""


class MirroredPresence:
    """Who is where.

    `ask` sends a request for something that nobody waits for, `look` has a partition looked at as a whole, soon;
    `broker` is the id of this one.
    """

    def __init__(self, ask: Callable[[Request], None], look: Callable[[int], None], broker: bytes) -> None:
        self._ask = ask
        self._look = look
        self._broker = broker
        self._here: defaultdict[int, dict[Key, Present]] = defaultdict(dict)
        """Who is where by this broker, by partition."""
        self._untold: dict[Key, None] = {}
        """Of whom the server may know something else, and is yet to be told."""
        self._telling = 0
        self._there: defaultdict[int, dict[bytes, dict[Key, Present]]] = defaultdict(dict)
        """Who is where by the other brokers, as it was reported, by partition and broker."""
        self._changes: dict[int, int] = {}
        """By partition which change the newest is that is known of."""

    # -- what is of this broker ----------------------------------------------------------------------

    def come(self, present: Present) -> None:
        """See `Store.come`."""
        key = fold(present.room), fold(present.user)
        self._here[partition_of(key[0])][key] = present
        self._untold[key] = None
        self._tell()

    def go(self, room: str, user: str) -> None:
        """See `Store.go`; `room` is a folded name."""
        self._here[partition_of(room)].pop((room, user), None)
        self._untold[room, user] = None
        self._tell()

    def _tell(self) -> None:
        while self._untold and self._telling < TELLING:
            key = next(iter(self._untold))
            del self._untold[key]
            self._telling += 1
            self._ask(Here(*key, self._here[partition_of(key[0])].get(key)))

    def replied(self, request: Here, reply: Any) -> None:
        """Go on once something was told, or could not be: then what the server has is compared, soon."""
        self._telling -= 1
        if isinstance(reply, Full | Failed):
            self._look(partition_of(request.room))
        self._tell()

    # -- what has come -------------------------------------------------------------------------------

    def heard(self, notice: Notice, watcher: Watcher) -> None:
        """Report whom another broker has told to have come or gone (`H`), or who has gone with a broker (`G`)."""
        partition = notice.partition
        if notice.count <= self._changes.get(partition, 0):
            return
        self._changes[partition] = notice.count
        there = self._there[partition]
        if notice.kind == b"G":
            broker = notice.fields[0]
            if broker == self._broker:  # it was silent for so long that it was taken for ended
                self._compare(partition, {})
            self._replace(there, broker, {}, watcher)
            return
        field, value = notice.fields
        room, _, user = field.decode().partition("\0")
        known = there.setdefault(notice.broker, {})
        if value:
            known[room, user] = present = present_of(value)
            watcher.came(present, notice.broker)
        elif known.pop((room, user), None) is not None:
            watcher.went(room, user, notice.broker)

    def take_over(self, partition: int, snapshot: Snapshot, watcher: Watcher, *, anew: bool) -> None:
        """Report what a partition has that was not reported; `anew`: it is of a new run of the server."""
        found: defaultdict[bytes, dict[Key, Present]] = defaultdict(dict)
        for broker, present in snapshot.here:
            found[broker][fold(present.room), fold(present.user)] = present
        self._compare(partition, found.pop(self._broker, {}))
        if not anew and snapshot.changes.others < self._changes.get(partition, 0):
            return
        self._changes[partition] = snapshot.changes.others
        there = self._there[partition]
        for broker in [*there, *(each for each in found if each not in there)]:
            self._replace(there, broker, found[broker], watcher)

    def _compare(self, partition: int, told: dict[Key, Present]) -> None:
        """Tell the server what it has not of this broker's users, or has otherwise."""
        here = self._here[partition]
        for key in [*here, *(each for each in told if each not in here)]:
            if told.get(key) != here.get(key):
                self._untold[key] = None
        self._tell()

    def _replace(
        self, there: dict[bytes, dict[Key, Present]], broker: bytes, found: dict[Key, Present], watcher: Watcher
    ) -> None:
        """Report how who is where by a broker differs from what was reported."""
        known = there.pop(broker, {})
        if found:
            there[broker] = found
        for key, present in found.items():
            if known.get(key) != present:
                watcher.came(present, broker)
        for room, user in known:
            if (room, user) not in found:
                watcher.went(room, user, broker)
