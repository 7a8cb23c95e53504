"""The heartbeat of a connection: when to ping, and whether the broker's silence means that it is lost."""

from __future__ import annotations

STALL = 1.0
"""Seconds that a tick may be late before it means that this process stood still: silence doesn't count then."""


class Heartbeat:
    """Keep when something was heard and said; times in seconds, as they are given.

    `judge_from`: silence is judged from then on, because this process stood still.
    """

    __slots__ = ("_due", "_every", "_ping_at", "_silence", "heard", "judge_from", "said")

    def __init__(self) -> None:
        self.heard = self.said = self.judge_from = 0.0
        self._due = self._ping_at = self._every = self._silence = 0.0

    def start(self, now: float) -> None:
        """Begin with a fresh connection."""
        self.heard = self._due = now

    def opened(self, now: float, every: float, silence: float) -> None:
        """Ping when nothing was heard or said for `every` seconds, and stand no silence of `silence` seconds."""
        self.said = now
        self._every = every
        self._silence = silence
        self._ping_at = now + every

    def ponged(self, now: float, seconds: float) -> None:
        """Ping again when the broker asks for it: silent clients ping together, which is cheaper for it."""
        self._ping_at = now + seconds

    def look(self, now: float) -> None:
        """Take note of the time; if that is late, nobody's silence counts for a while."""
        if now > self._due + STALL:
            self.judge_from = now + STALL

    def until(self, due: float) -> float:
        """Take note that the next look is due at `due`, and return it."""
        self._due = due
        return due

    @property
    def lost_at(self) -> float:
        """Return when silence will have lasted too long."""
        return max(self.heard + self._silence, self.judge_from)

    @property
    def due(self) -> float:
        """Return when to look again."""
        return min(self._ping_at, self.lost_at)

    def ping(self, now: float) -> bool:
        """Tell whether to ping now."""
        if now < self._ping_at:
            return False
        silent_since = min(self.heard, self.said)
        if now - silent_since < self._every / 2:
            self._ping_at = silent_since + self._every
            return False
        self._ping_at = now + self._every
        return True
