"""When to try another connection: waits that grow and are spread by chance, and how long a greeting may take."""

from __future__ import annotations

from zchat.protocol.port import Chance

GREET_SECONDS = 1.0
"""Seconds that a later greeting may take before another connection is tried."""

RETRY_FIRST = 0.05
"""Seconds between two connections at least: a broker that refuses is not asked hundreds of times a second."""

RETRY_MAX = 0.5
"""Seconds between two connections at most, so that messages flow within a second of the broker's return."""

STEADY = 1.0
"""Seconds that a connection must have been open for waits to begin small again after it."""


class Reconnect:
    """The times of the next connection and of the greeting over it, in seconds, as they are given."""

    __slots__ = ("_most", "_opened_at", "_random", "greet_by", "retry_at")

    def __init__(self, random: Chance) -> None:
        self._random = random
        self._most = RETRY_FIRST  # seconds that the last wait could be
        self._opened_at = 0.0
        self.greet_by = 0.0  # when the greeting has taken too long
        self.retry_at = 0.0  # when to try another connection

    def start(self, now: float) -> None:
        """Record that a connection is tried."""
        self.greet_by = now + GREET_SECONDS

    def opened(self, now: float) -> None:
        """Record that its greeting is answered."""
        self._opened_at = now

    def lost(self, now: float, *, was_open: bool) -> None:
        """Choose when to try the next one; `was_open`: the greeting over the one that is lost had been answered."""
        if was_open and now - self._opened_at >= STEADY:
            self._most = RETRY_FIRST
        self._most = min(2 * self._most, RETRY_MAX)
        self.retry_at = now + self._random.uniform(RETRY_FIRST, self._most)
