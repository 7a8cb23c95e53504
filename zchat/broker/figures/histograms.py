"""How long turns and commits take, and how large commits are: counted in buckets."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS_US = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)
"""Microseconds: from a turn that finds one frame to a disk that every user notices."""

BOUNDS_BYTES = tuple(1 << power for power in range(8, 25, 2))
"""Bytes: from a line of text (256) to the largest commit (16 MiB)."""


class Tally:
    """Values counted by the first of `bounds` that they do not pass, and summed up; those above all bounds come last.

    Written by the loop thread. Another thread that reads it may find a value in `counts` and not yet in `sum`.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0

    def add(self, value: int) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Histograms:
    """The tallies of the broker: `turn` and `commit` in microseconds, `commit_bytes` in bytes.

    A turn's time is what the loop was busy with between two sleeps, or between two polls of its socket.
    A commit's is that of the store's thread, from the first of its blocks that it takes to the disk's answer.
    """

    __slots__ = ("commit", "commit_bytes", "turn")

    def __init__(self) -> None:
        self.turn = Tally(BOUNDS_US)
        self.commit = Tally(BOUNDS_US)
        self.commit_bytes = Tally(BOUNDS_BYTES)

    def by_name(self) -> list[tuple[str, Tally]]:
        """Return the tallies with their names in the figures."""
        return [(name, getattr(self, name)) for name in ("turn", "commit", "commit_bytes")]
