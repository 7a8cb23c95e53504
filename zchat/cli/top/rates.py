"""The rates at which things happened between two samples of a broker."""

from __future__ import annotations

from typing import NamedTuple

from zchat.stats import Stats

MICRO = 1e-6
"""Seconds of a microsecond, the unit in which brokers report times."""


class Timing(NamedTuple):
    """How often something happened and how long it took; None where the broker doesn't say, or it did not happen."""

    rate: float | None
    """How many times per second."""
    mean: float | None
    """Mean seconds that it took."""
    share: float | None
    """Share of all time that it took, 0 to 1."""


class Rates:
    """The rates between two samples; without an earlier one, since the broker's start.

    A broker that was restarted in between counts from 0 again, so that there is no earlier sample.
    Times are those of the broker's clock. What the broker doesn't report is None everywhere.
    """

    def __init__(self, now: Stats, before: Stats | None) -> None:
        if before is not None and before.counts.get("started") != now.counts.get("started"):
            before = None
        self.stats = now
        """The later sample."""
        self.since_start = before is None
        """True if rates are averages since the broker's start."""
        uptime = now.counts.get("uptime")
        self.uptime = None if uptime is None else uptime * MICRO
        """Seconds since the broker's start."""
        self._before = before
        earlier = 0 if before is None else before.counts.get("uptime", 0)
        self._seconds = 0.0 if uptime is None else (uptime - earlier) * MICRO

    def total(self, name: str) -> int | None:
        """Return a count as it is now; `refused` is the sum over all codes."""
        return _count(self.stats, name)

    def rate(self, name: str) -> float | None:
        """Return by how much a count rose per second."""
        return self._per_second(_rise(_count(self.stats, name), self._before and _count(self._before, name)))

    def timing(self, name: str) -> Timing:
        """Return the timing of each `turn` or `commit`."""
        times, spent = self._measured(name)
        share = self._per_second(None if spent is None else spent * MICRO)
        return Timing(self._per_second(times), spent * MICRO / times if times and spent is not None else None, share)

    @property
    def commit_size(self) -> float | None:
        """Return how many bytes of blocks a commit had on average."""
        times, size = self._measured("commit_bytes")
        return size / times if times and size is not None else None

    @property
    def busiest(self) -> list[tuple[str, int, float | None, float | None]]:
        """Return the busiest rooms of the latest interval: name, members, messages and deliveries per second."""
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

    def _per_second(self, rise: float | None) -> float | None:
        return None if rise is None or self._seconds <= 0 else rise / self._seconds


def _rise(now: int | None, before: int | None) -> int | None:
    return None if now is None else now - (before or 0)


def _count(stats: Stats, name: str) -> int | None:
    return sum(stats.refused.values()) if name == "refused" else stats.counts.get(name)
