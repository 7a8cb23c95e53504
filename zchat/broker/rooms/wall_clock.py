"""What the wall clock is worth: messages are dated by it, but nothing is removed by a time that may be a mistake."""

from __future__ import annotations

from collections.abc import Callable

from zchat.broker.limits import CLOCK_JUMP, SETTLING, START_SETTLING

SECOND = 1_000_000
"""Microseconds."""


class WallClock:
    """The wall clock, compared with one that nobody sets: the least that it was ahead of that within an hour counts.

    `clock` returns the microseconds since 1970, as the store's does. `now` and all later times are seconds of a clock
    that never goes back.
    """

    def __init__(self, clock: Callable[[], int], now: float) -> None:
        self._clock = clock
        self._ahead = self._least = self._ahead_of(now)
        self._since = now
        """When `_least` began to be the least."""
        self._settling = START_SETTLING
        self._settled: int | None = None

    def sample(self, now: float) -> int:
        """Compare the clocks; return the microseconds by which this one was set since the last sample.

        Return 0 if they are too few for a jump. To be called about once a second.
        """
        ahead = self._ahead_of(now)
        jump = ahead - self._ahead
        self._ahead = ahead
        self._least = min(self._least, ahead)
        if now - self._since >= self._settling:
            self._settled = self._least
            self._least, self._since, self._settling = ahead, now, SETTLING
        elif self._settled is not None:
            self._settled = min(self._settled, ahead)
        return jump if abs(jump) > CLOCK_JUMP * SECOND else 0

    def settled(self, now: float) -> int | None:
        """Return the microseconds since 1970 that are certain to have passed, None if the clock has only just begun.

        A clock that is set back is believed at once, one that is set ahead after `SETTLING` to twice that.
        """
        return None if self._settled is None else self._settled + int(now * SECOND)

    def _ahead_of(self, now: float) -> int:
        return self._clock() - int(now * SECOND)
