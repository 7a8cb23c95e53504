"""The busiest rooms: how much was stored and delivered there lately."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from zchat.broker.limits import BUSIEST_SHOWN
from zchat.broker.rooms.room import Room


class RoomTraffic(NamedTuple):
    """The traffic of a room: the users in it, and the messages stored there and delivered in the last interval."""

    room: str
    members: int
    messages: int
    deliveries: int


class Busiest:
    """What rooms have at each sample, compared with the sample before.

    `rooms` are those open to all in which most was stored, the first of all first; none in which
    nothing was. `interval` is how many microseconds lie between the two samples, 0 before the
    second. Both are made anew at each sample and never changed: any thread may read them.
    """

    def __init__(self, rooms: dict[str, Room]) -> None:
        self._rooms = rooms
        self._sampled: float | None = None
        self.rooms: tuple[RoomTraffic, ...] = ()
        self.interval = 0

    def sample(self, now: float) -> None:
        """Compare and begin the next interval."""
        busy: list[RoomTraffic] = []
        for room in self._rooms.values():
            messages = room.last - room.sampled
            if messages or room.delivered:
                if messages and not room.direct:
                    busy.append(RoomTraffic(room.name, room.users, messages, room.delivered))
                room.sampled = room.last
                room.delivered = 0
        self.rooms = tuple(heapq.nlargest(BUSIEST_SHOWN, busy, key=lambda each: each.messages))
        self.interval = 0 if self._sampled is None else round((now - self._sampled) * 1_000_000)
        self._sampled = now
