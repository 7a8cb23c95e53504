"""The store `memory:`: logs that end with the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from zchat.broker.store.blocks import Blocks
from zchat.broker.store.contract import (
    CLOSE_SECONDS,
    NEVER,
    TRIM_BLOCKS,
    Append,
    Appended,
    Failed,
    Full,
    Imposed,
    Lifted,
    LogPage,
    Marked,
    Places,
    RoomLog,
    Sanction,
    Store,
    Stored,
    TooMany,
    Trimmed,
    Watcher,
)
from zchat.broker.store.ledger import Ledger, LogEnds, count_old, now

MAX_ROOM_MESSAGES = 1_000_000
"""Messages kept a room: days of a busy one."""

MAX_BYTES = 256 << 20
"""Bytes of memory for the blocks of all rooms, as `Block.cost` counts them: fits any machine."""

STALE_PLACES = 1024
"""Places of dropped blocks that are put up with in the order of appends before it is written anew."""


class _Log:
    """A room's blocks; `stale` of its oldest places in the order of appends are of dropped ones."""

    __slots__ = ("blocks", "room", "stale")

    def __init__(self, room: LogEnds) -> None:
        self.room = room
        self.blocks = Blocks()
        self.stale = 0


class MemoryStore(Store):
    """The store that keeps logs in memory. Reads are answered at once, all else by the next `poll`.

    Beyond `max_room_messages` (in a room) and `max_bytes` (over all rooms, in the order of
    their appends) the oldest blocks go, though never the newest of all. `clock` returns the
    microseconds since 1970 (None: the system's).
    """

    def __init__(
        self,
        clock: Callable[[], int] | None = None,
        max_room_messages: int = MAX_ROOM_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._ledger = Ledger(clock or now)
        self._max_room_messages = max_room_messages
        self._max_bytes = max_bytes
        self._logs: dict[str, _Log] = {}
        self._order: deque[_Log] = deque()  # one place a block, in the order of appends over all rooms
        self._stale = 0
        self._cost = 0
        self._answers: deque[tuple[Callable[[Any], None], Any, Any]] = deque()
        """What `poll` has yet to call, with the answer, and what that reports: an `Append`, a room, a room and user, or
        nothing."""
        self._trimmed: dict[str, int] = {}
        """Rooms that a bound was reached in since the last `poll`, with their new first seq."""

    def open(self, wake: Callable[[], None], *, quotas: bool = False) -> list[RoomLog]:
        """See `Store.open`; there is never a room yet, and `wake` is never called."""
        if quotas:
            self._ledger.keep_quotas()
        return []

    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        """See `Store.append`."""
        answer = self._ledger.append(append)
        if type(answer) is Stored:
            log = self._logs.get(append.room)
            if log is None:
                log = self._logs[append.room] = _Log(self._ledger.rooms[append.room])
            self._cost += log.blocks.append(answer.block)
            self._order.append(log)
            room = log.room
            if self._cost > self._max_bytes or room.last - room.first >= self._max_room_messages:
                self._keep_bounds(log)
        self._answers.append((done, answer, append))

    def set_read_mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        """See `Store.set_read_mark`."""
        stood = self._ledger.read_marks.get((room, user))
        answer = self._ledger.set_read_mark(room, user, seq)
        moved = type(answer) is Marked and answer.seq != stood
        self._answers.append((done, answer, (room, user) if moved else None))

    def read_marks(self) -> list[tuple[str, str, int]]:
        """See `Store.read_marks`."""
        return self._ledger.all_read_marks()

    def impose(
        self, sanction: Sanction, places: Places, done: Callable[[Imposed | TooMany | Full | Failed], None]
    ) -> None:
        """See `Store.impose`."""
        self._answers.append((done, self._ledger.impose(sanction, places), None))

    def lift(
        self, room: str, user: str, kind: str, done: Callable[[Lifted | Full | Failed], None], number: int = 0
    ) -> None:
        """See `Store.lift`."""
        self._answers.append((done, self._ledger.lift(room, user, kind, number), None))

    def sanctions(self) -> list[Sanction]:
        """See `Store.sanctions`."""
        return self._ledger.sanctions()

    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[LogPage | Full | Failed], None]
    ) -> None:
        """See `Store.read`."""
        log = self._logs.get(room)
        done(LogPage(log.blocks.after(after, max_bytes, upto) if log else []))

    def trim(
        self, room: str, keep: int, before: int, done: Callable[[Trimmed | Failed], None], ahead: int = NEVER
    ) -> None:
        """See `Store.trim`."""
        log = self._logs.get(room)
        if log is None:
            self._answers.append((done, Trimmed(1, False), None))
            return
        dated = ((block.last, block.timestamp) for block in log.blocks)
        old = count_old(dated, log.room.last, keep, before, ahead)
        for _ in range(min(old, TRIM_BLOCKS)):
            self._drop_in_place(log)
        self._answers.append((done, Trimmed(log.room.first, old > TRIM_BLOCKS), room))

    def forget(self, producer: bytes) -> None:
        """See `Store.forget`."""
        self._ledger.forget(producer)

    def expire(self, before: int, now: int) -> None:
        """See `Store.expire`."""
        self._ledger.expire(before, now)

    def poll(self, watcher: Watcher) -> None:
        """See `Store.poll`."""
        answers = self._answers
        while answers:
            done, answer, about = answers.popleft()
            kind = type(answer)
            if kind is Stored:
                watcher.grew(about.room, answer.block, answer.epoch, about.user)
            elif kind is Trimmed and about:
                watcher.trimmed(about, answer.first)
            elif kind is Marked and about:
                room, user = about
                watcher.marked(room, user, answer.seq)
                if answer.displaced is not None:
                    room, user = answer.displaced
                    watcher.marked(room, user, 0)
            elif kind is Imposed:
                watcher.imposed(answer.sanction)
            elif kind is Lifted and answer.sanction is not None:
                watcher.lifted(answer.sanction)
            done(answer)
        if self._ledger.displaced:
            watcher.forgot(len(self._ledger.displaced))
            self._ledger.displaced.clear()
        if self._trimmed:
            for room, first in self._trimmed.items():
                watcher.trimmed(room, first)
            self._trimmed.clear()

    def close(self, seconds: float = CLOSE_SECONDS) -> str:
        """See `Store.close`."""
        while self._answers:
            done, answer, _ = self._answers.popleft()
            done(answer)
        return ""

    def _keep_bounds(self, log: _Log) -> None:
        room = log.room
        while room.last - room.first >= self._max_room_messages and len(log.blocks) > 1:
            self._drop_in_place(log)
            self._trimmed[room.name] = room.first
        while self._cost > self._max_bytes and len(self._order) - self._stale > 1:
            oldest = self._order.popleft()
            if oldest.stale:
                oldest.stale -= 1
                self._stale -= 1
            else:
                self._drop(oldest)
                self._trimmed[oldest.room.name] = oldest.room.first

    def _drop_in_place(self, log: _Log) -> None:
        """Drop a room's oldest block and leave its place in the order, as a search for it would cost more."""
        self._drop(log)
        log.stale += 1
        self._stale += 1
        if self._stale > STALE_PLACES and self._stale * 2 > len(self._order):
            self._order = deque(log for log in self._order if not self._skip(log))

    def _skip(self, log: _Log) -> bool:
        if not log.stale:
            return False
        log.stale -= 1
        self._stale -= 1
        return True

    def _drop(self, log: _Log) -> None:
        block = log.blocks.drop()
        log.room.first = block.last + 1
        self._cost -= block.cost
