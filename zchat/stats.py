"""What a broker tells of itself: counts, histograms, busy rooms."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple


class Histogram(NamedTuple):
    """Hold how often values of which size were counted.

    `counts[i]` is how many were over `bounds[i - 1]` and not over `bounds[i]`; the last, of which
    there is one more than bounds, how many were over them all. `sum` is that of the values.
    """

    bounds: list[int]
    counts: list[int]
    sum: int

    @property
    def total(self) -> int:
        """Return how many values were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> int | None:
        """Return the lowest of the bounds that a share of the values, 0 to 1, doesn't pass.

        None if nothing was counted, or so many values were over all bounds.
        """
        reached = list(accumulate(self.counts))
        if not reached or not reached[-1]:
            return None
        index = bisect_left(reached, max(1, math.ceil(share * reached[-1])))
        return self.bounds[index] if index < len(self.bounds) else None


class BusyRoom(NamedTuple):
    """Describe a busy room: distinct users in it, messages stored and messages delivered in the last interval."""

    name: str
    members: int
    messages: int
    deliveries: int


class Stats(NamedTuple):
    """Hold what a broker tells of itself.

    `counts`: what it has counted since its start and what it holds, by name, as docs/command.md
    lists them. `refused`: how many commands it refused, by code. `lagging`: the members that are
    furthest behind the log, as room, user and number of messages, the furthest first. `times`:
    how long its turns took ("turn") and its store's commits ("commit"), in microseconds, and how
    many bytes these had ("commit_bytes"). `busiest`: the 20 rooms in which most was said between
    its last two looks, `counts["interval"]` microseconds apart, the busiest first. It looks every
    five seconds, and tells nothing of direct rooms in `lagging` and `busiest`. An older broker
    tells no times and no busiest rooms: they are empty.
    """

    counts: dict[str, int]
    refused: dict[str, int]
    lagging: list[tuple[str, str, int]]
    times: dict[str, Histogram]
    busiest: list[BusyRoom]
