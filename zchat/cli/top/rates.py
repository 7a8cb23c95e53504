"""From what a broker told twice to what happened a second in between."""

from __future__ import annotations

from typing import NamedTuple

from zchat import Stats

MICRO = 1e-6
"""Seconds of a microsecond, in which brokers tell times."""


class Took(NamedTuple):
    """Hold how often a second something happened, its mean time in seconds, and its share of all time.

    None: the broker doesn't tell it, or it did not happen.
    """

    rate: float | None
    mean: float | None
    share: float | None


class Rates:
    """Tell what happened a second between two answers of a broker; without an earlier one, since its start.

    A broker that was started again meanwhile has counted anew: it is one without an earlier answer.
    Times are those of the broker's own clock. What it doesn't tell is None everywhere.

    `since_start`: whether it is since the start. `uptime`: of the broker, in seconds.
    """

    def __init__(self, now: Stats, before: Stats | None) -> None:
        if before is not None and before.counts.get("started") != now.counts.get("started"):
            before = None
        self.stats = now
        self.since_start = before is None
        uptime = now.counts.get("uptime")
        self.uptime = None if uptime is None else uptime * MICRO
        self._before = before
        earlier = 0 if before is None else before.counts.get("uptime", 0)
        self._seconds = 0.0 if uptime is None else (uptime - earlier) * MICRO

    def total(self, name: str) -> int | None:
        """Return a count as it is now; `refused` is the sum over all codes."""
        return _count(self.stats, name)

    def rate(self, name: str) -> float | None:
        """Return how much a count rose a second."""
        return self._a_second(_rise(_count(self.stats, name), self._before and _count(self._before, name)))

    def took(self, name: str) -> Took:
        """Return what each `turn` or `commit` took."""
        times, spent = self._measured(name)
        share = self._a_second(None if spent is None else spent * MICRO)
        return Took(self._a_second(times), spent * MICRO / times if times and spent is not None else None, share)

    @property
    def commit_size(self) -> float | None:
        """Return how many bytes of blocks a commit had on average."""
        times, size = self._measured("commit_bytes")
        return size / times if times and size is not None else None

    @property
    def busiest(self) -> list[tuple[str, int, float | None, float | None]]:
        """Return the busiest rooms: name, members, messages and deliveries a second at the broker's last look."""
        seconds = self.stats.counts.get("interval", 0) * MICRO
        return [
            (room, members, messages / seconds if seconds else None, deliveries / seconds if seconds else None)
            for room, members, messages, deliveries in self.stats.busiest
        ]

    def _measured(self, name: str) -> tuple[int | None, int | None]:
        """Return how many values a histogram got, and their sum."""
        now = self.stats.times.get(name)
        before = self._before and self._before.times.get(name)
        if now is None:
            return None, None
        return _rise(now.total, before and before.total), _rise(now.sum, before and before.sum)

    def _a_second(self, rise: float | None) -> float | None:
        return None if rise is None or self._seconds <= 0 else rise / self._seconds


def _rise(now: int | None, before: int | None) -> int | None:
    return None if now is None else now - (before or 0)


def _count(stats: Stats, name: str) -> int | None:
    return sum(stats.refused.values()) if name == "refused" else stats.counts.get(name)
