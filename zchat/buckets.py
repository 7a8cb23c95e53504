"""Token buckets: so much a second of something, and so much at once."""

from __future__ import annotations


class Bucket:
    """What may be taken of something: `rate` a second, `burst` at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def wait(self, now: float) -> float:
        """Return the seconds until there is one to take, 0 if there is."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._rate

    def take(self, amount: float = 1) -> None:
        """Take an amount, where there is one at least; what it is more than there was delays the next."""
        self._left -= amount
