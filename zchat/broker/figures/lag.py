"""Lag: the members that are behind the log, and by how much."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.limits import LAG_EVERY, LAG_NOTED, LAG_SHOWN
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room


class Lag(NamedTuple):
    """The number of messages of a room that a user's session has yet to be sent."""

    room: str
    user: str
    messages: int


class LagSampler:
    """The members behind the log, sampled every few seconds; `furthest` are those furthest behind, the first first.

    It is made anew at each sample and never changed: any thread may read it.
    """

    def __init__(self, rooms: dict[str, Room], counters: Counters, log_lines: LogLines) -> None:
        self._rooms = rooms
        self._counters = counters
        self._log_lines = log_lines
        self.due = 0.0
        """When `sample` is to be called."""
        self._far: dict[Member, bool] = {}  # whether that was logged
        self.furthest: tuple[Lag, ...] = ()

    def sample(self, now: float) -> None:
        """Sample; a member far behind in two samples in a row is logged."""
        self.due = now + LAG_EVERY
        lags: list[Lag] = []
        far: dict[Member, bool] = {}
        for room in self._rooms.values():
            if len(room.caught_up) == len(room.members):
                continue
            for member in room.members:
                messages = room.last - member.cursor
                if messages > 0 and member.follows:
                    lags.append(Lag(room.name, member.session.user, messages))
                    if messages >= LAG_NOTED:
                        far[member] = False
        counters = self._counters
        counters.lagging = len(lags)
        counters.behind = sum(lag.messages for lag in lags)
        self.furthest = tuple(heapq.nlargest(LAG_SHOWN, lags, key=lambda lag: lag.messages))
        counters.furthest = self.furthest[0].messages if lags else 0
        for member in far:
            if self._far.get(member) is False:  # far behind in the last sample already, and not logged
                lag = member.room.last - member.cursor
                user, name = member.session.user, member.room.name
                text = f"{user!r} is {lag:,} messages behind in {name!r}"
                self._log_lines.add("behind", text, room=name, user=user, count=lag)
            far[member] = member in self._far
        self._far = far
