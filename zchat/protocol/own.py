"""Own messages: a session is not sent them, so its position has to be moved over them."""

from __future__ import annotations

from bisect import insort
from collections import deque
from operator import itemgetter

from zchat.messages import Position

MAX_OWN_RANGES = 1_000
"""Ranges of own messages remembered that lie ahead of the position; beyond, a position waits for a notification."""


class OwnRanges:
    """Remember where own messages lie that a position hasn't reached yet."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: deque[tuple[int, int, int]] = deque()

    def add(self, epoch: int, first: int, last: int) -> None:
        """Take note of own messages from `first` to `last`, the last of them in `epoch`."""
        ranges = self._ranges
        if ranges and ranges[-1][2] + 1 == first:
            ranges[-1] = (epoch, ranges[-1][1], last)
        elif len(ranges) < MAX_OWN_RANGES:  # a block that was put off is answered behind later ones
            insort(ranges, (epoch, first, last), key=itemgetter(1))

    def clear(self) -> None:
        """Forget them: the log may have lost them."""
        self._ranges.clear()

    def pass_over(self, position: Position) -> Position:
        """Return the position moved over all that follows it without a break."""
        ranges = self._ranges
        while ranges and ranges[0][1] <= position.seq + 1:
            epoch, _, last = ranges.popleft()
            if last > position.seq:
                position = Position(epoch, last)
        return position
