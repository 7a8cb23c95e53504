"""What the wall clock is worth: messages are dated by it, but nothing is removed by a time that may be a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.broker.limits import CLOCK_JUMP, SETTLING, START_SETTLING

SECOND = 1_000_000
"""Microseconds."""

_JUMP = CLOCK_JUMP * SECOND


class Bounds(NamedTuple):
    """What the time is for certain, in microseconds since 1970: not before the one, not after the other."""

    earliest: int
    latest: int


class WallClock:
    """The wall clock, compared with one that nobody sets: all that it was ahead of that within an hour is possible.

    `clock` returns the microseconds since 1970, as the store's does. `now` and all later times are seconds of a clock
    that never goes back.
    """

    def __init__(self, clock: Callable[[], int], now: float) -> None:
        self._clock = clock
        self._ahead = self._least = self._most = self._believed = self._ahead_of(now)
        self._since = now
        """When `_least` and `_most` began to be what they are of."""
        self._settling = START_SETTLING
        self._settled: Bounds | None = None

    def sample(self, now: float) -> int:
        """Compare the clocks; return the microseconds by which this one was set since the last sample.

        Return 0 if they are too few for a jump. To be called about once a second.
        """
        ahead = self._ahead_of(now)
        jump = ahead - self._ahead
        self._ahead = ahead
        self._least, self._most = min(self._least, ahead), max(self._most, ahead)
        if self._settled is None or abs(ahead - self._believed) <= _JUMP:
            self._believed = ahead
        if now - self._since >= self._settling:
            if self._most - self._least <= _JUMP:
                self._believed = ahead
            self._settled = Bounds(self._least, self._most)
            self._least, self._most, self._since, self._settling = ahead, ahead, now, SETTLING
        elif self._settled is not None:
            self._settled = Bounds(min(self._settled.earliest, ahead), max(self._settled.latest, ahead))
        return jump if abs(jump) > _JUMP else 0

    def time(self, now: float) -> int:
        """Return the microseconds since 1970 by which something ends for users.

        A clock that is set, but for the first seconds, is believed after `SETTLING` to twice that, until when time goes
        on from what it was: one that is wrong for a moment ends nothing early, and nothing late.
        """
        return self._believed + int(now * SECOND)

    def settled(self, now: float) -> Bounds | None:
        """Return what the time is for certain, None if the clock has only just begun.

        A clock that is set back makes it earlier at once, and one that is set ahead makes it later; that it isn't what
        it was before is believed after `SETTLING` to twice that.
        """
        if self._settled is None:
            return None
        microseconds = int(now * SECOND)
        return Bounds(self._settled.earliest + microseconds, self._settled.latest + microseconds)

    def _ahead_of(self, now: float) -> int:
        return self._clock() - int(now * SECOND)
