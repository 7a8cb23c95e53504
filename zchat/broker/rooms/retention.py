"""Retention: removing what a room need not keep, in small steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from zchat.broker.limits import CLOCK_JUMP, RETAIN_EVERY
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.wall_clock import SECOND, WallClock
from zchat.broker.settings import Settings
from zchat.broker.store.contract import NEVER, Failed, Store, Trimmed


class Retention:
    """The rounds through the rooms, every few seconds, one step of one room at a time.

    `rooms` are all rooms; `clock` says by which time messages are too old. `ended` is called after each step with
    why it failed, None if it didn't.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rooms: dict[str, Room],
        clock: WallClock,
        ended: Callable[[Failed | None], None],
    ) -> None:
        self._store = store
        self._all = rooms
        self._clock = clock
        self._ended = ended
        self._rooms: deque[Room] = deque()
        self._now = 0.0
        self._keep = settings.retain_messages
        self._age = int(settings.retain_days * 86_400_000_000)
        self.due = 0.0 if self._keep or self._age else float("inf")

    def tick(self, now: float) -> None:
        """Take the next step, which is due: of this round, or the first of another."""
        self._now = now
        settled = self._clock.settled(now) if self._age else None
        before = 0 if settled is None else max(0, settled.earliest - self._age)
        if not self._rooms and (self._keep or before):
            self._rooms.extend(room for room in self._all.values() if self._may_trim(room))
        if not self._rooms:
            self.due = now + RETAIN_EVERY
            return
        room = self._rooms.popleft()
        self.due = float("inf")  # until the store has answered
        ahead = NEVER if settled is None else settled.latest + int(CLOCK_JUMP * SECOND)
        self._store.trim(room.name, self._keep, before, partial(self._trimmed, room), ahead)

    def _may_trim(self, room: Room) -> bool:
        kept = room.last - room.first + 1
        return kept > 0 if self._age else kept > self._keep

    def _trimmed(self, room: Room, outcome: Trimmed | Failed) -> None:
        if isinstance(outcome, Failed):
            self._ended(outcome)
        else:
            self._ended(None)
            if outcome.more:
                self._rooms.appendleft(room)
        self.due = 0.0 if self._rooms else self._now + RETAIN_EVERY
