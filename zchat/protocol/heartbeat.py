"""The heartbeat of a connection: when to ping, and whether the broker's silence means that it is lost."""

from __future__ import annotations

SOONEST = 0.05
"""Seconds between two pings at least, whatever the broker asks for."""

LATEST = 3600.0
"""Seconds that the broker may have itself pinged after, or be silent for, at most."""

STALL = 1.0
"""Seconds that a tick may be late before it means that this process stood still: silence doesn't count then."""


class Heartbeat:
    """When something was heard and said over a connection. Times are in seconds, as they are given."""

    __slots__ = ("_due", "_every", "_ping_at", "_silence", "heard", "judge_from", "said")

    def __init__(self) -> None:
        self.heard = 0.0  # when the broker was heard last
        self.said = 0.0  # when something was sent last
        self.judge_from = 0.0  # silence is judged from then on, because this process stood still
        self._due = 0.0  # when the next tick was due
        self._ping_at = 0.0
        self._every = 0.0  # seconds without a word of either side after which to ping
        self._silence = 0.0  # seconds of silence that end a connection

    def start(self, now: float) -> None:
        """Begin with a fresh connection."""
        self.heard = self._due = now

    def opened(self, now: float, every: float, silence: float) -> None:
        """Ping if nothing was heard or said for `every` seconds; `silence` seconds end the connection.

        They are what the broker says, within `SOONEST` and `LATEST`.
        """
        self.said = now
        self._every = _bounded(every)
        self._silence = min(silence, LATEST)
        self._ping_at = now + self._every

    def ponged(self, now: float, seconds: float) -> None:
        """Ping again when the broker asks for it: silent clients ping together, which is cheaper for it."""
        self._ping_at = now + _bounded(seconds)

    def tick(self, now: float) -> None:
        """Record the time; if that is late, silence doesn't count for a while."""
        if now > self._due + STALL:
            self.judge_from = now + STALL

    def due_at(self, due: float) -> float:
        """Record when the next tick is due, and return it."""
        self._due = due
        return due

    @property
    def lost_at(self) -> float:
        """Return when silence will have lasted too long."""
        return max(self.heard + self._silence, self.judge_from)

    @property
    def due(self) -> float:
        """Return when to ping or to judge silence."""
        return min(self._ping_at, self.lost_at)

    def ping(self, now: float) -> bool:
        """Return whether to ping now."""
        if now < self._ping_at:
            return False
        silent_since = min(self.heard, self.said)
        if now - silent_since < self._every / 2:
            self._ping_at = silent_since + self._every
            return False
        self._ping_at = now + self._every
        return True


def _bounded(seconds: float) -> float:
    return min(max(seconds, SOONEST), LATEST)
