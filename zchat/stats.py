"""The figures of a broker: counts, histograms, busy rooms."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple


class Histogram(NamedTuple):
    """How often values of which size occurred."""

    bounds: list[int]
    """The upper bounds of the intervals, ascending and inclusive."""
    counts: list[int]
    """How many values fell into each interval, and last, how many were above all bounds."""
    sum: int
    """The sum of all values."""

    @property
    def total(self) -> int:
        """Return how many values were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> int | None:
        """Return the lowest bound that a `share` of the values, 0 to 1, doesn't exceed.

        None if there are no values, or too many of them are above all bounds.
        """
        reached = list(accumulate(self.counts))
        if not reached or not reached[-1]:
            return None
        index = bisect_left(reached, max(1, math.ceil(share * reached[-1])))
        return self.bounds[index] if index < len(self.bounds) else None


class BusyRoom(NamedTuple):
    """A busy room, with its figures for the broker's latest interval."""

    name: str
    members: int
    """How many distinct users are in it."""
    messages: int
    """How many messages were stored."""
    deliveries: int
    """How many messages were delivered to members."""


class BrokerStats(NamedTuple):
    """The figures of one of the brokers that share a store."""

    id: str
    """What tells it from the others until it is restarted; "" of one that shares its store with none."""
    age: float
    """How many seconds ago it has told them, to the broker that was asked."""
    counts: dict[str, int]
    """What it has counted since its start, and what it holds: those of `Stats.counts` that brokers tell each other."""


class OverallStats(NamedTuple):
    """The figures of all brokers that share a store."""

    counts: dict[str, int]
    """What they have together. A user at several brokers is one of `users`; `rooms` and `furthest` are the largest."""
    brokers: list[BrokerStats]
    """What each of them has: first the one that was asked."""


class Stats(NamedTuple):
    """The figures of a broker. Direct rooms are named in none of them."""

    counts: dict[str, int]
    """What the broker has counted since its start, and what it holds, by the names in docs/command.md."""
    refused: dict[str, int]
    """How many commands were refused, by the code of the error."""
    lagging: list[tuple[str, str, int]]
    """The members furthest behind the log, as room, user and number of messages, the furthest first; sampled every
    five seconds."""
    times: dict[str, Histogram]
    """How long turns of the loop ("turn") and commits of the store ("commit") took, in microseconds, and how many
    bytes the commits had ("commit_bytes"). Empty if the broker is older."""
    busiest: list[BusyRoom]
    """The 20 rooms with the most messages in the latest interval, of `counts["interval"]` microseconds, the busiest
    first. Empty if the broker is older."""
