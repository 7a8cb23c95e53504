"""What one user costs the broker's loop, as `zchat.broker.guard.shares` counts it."""

from __future__ import annotations

from math import exp2
from typing import Any

from zchat.broker.limits import CHEAP, EXPENSIVE_FOR, MAX_DEBT


class Account:
    """What one user, or where names are free one session, has cost the loop lately, and what of it waits.

    `share` is the part of the loop's time by which debt is paid back.
    """

    __slots__ = ("_longest", "_longest_at", "_settled_at", "debt", "share", "waiting")

    def __init__(self, share: float) -> None:
        self.share = share
        self.debt = 0.0
        """Seconds of the loop that are yet to be paid back, as of when it was last settled: at most so many by now."""
        self.waiting: list[Any] = []
        """The frames that wait, in the order in which they came: few, and an empty deque takes 760 bytes."""
        self._settled_at = 0.0
        self._longest = 0.0
        self._longest_at = 0.0

    def settle(self, now: float) -> float:
        """Pay back what time has paid back; return what is left."""
        debt = self.debt - (now - self._settled_at) * self.share
        self.debt = debt = debt if debt > 0.0 else 0.0
        self._settled_at = now
        return debt

    def charge(self, seconds: float, now: float) -> None:
        """Take into account that something has taken so long.

        What takes long holds up all that comes meanwhile, so beyond `CHEAP` it costs by the square of its time.
        """
        debt = self.debt - (now - self._settled_at) * self.share
        self._settled_at = now
        if seconds > CHEAP:
            if seconds > self._cost(now):
                self._longest = seconds
                self._longest_at = now
            seconds *= seconds / CHEAP
        debt = seconds + debt if debt > 0.0 else seconds
        self.debt = debt if debt < MAX_DEBT else MAX_DEBT

    def be_expensive(self, now: float) -> None:
        """Record that something is done for it that holds others up, as what takes longer than `CHEAP` does."""
        if self._cost(now) <= 2 * CHEAP:
            self._longest = 2 * CHEAP
            self._longest_at = now

    def is_cheap(self, now: float) -> bool:
        """Return whether nothing lately has taken longer than `CHEAP`."""
        return self._cost(now) <= CHEAP

    def _cost(self, now: float) -> float:
        """Return the seconds of the longest there was, less by half after each `EXPENSIVE_FOR`."""
        return self._longest * exp2((self._longest_at - now) / EXPENSIVE_FOR)
