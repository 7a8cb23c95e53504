"""A world with one clock and one source of chance: what happens in it depends on its seed alone."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

START = 1_000.0
"""Where the simulated monotonic clock begins."""

EPOCH_US = 1_700_000_000_000_000
"""What the simulated wall clock shows then, in microseconds since 1970."""


class Violation(AssertionError):
    """Tell that a promise was broken."""


class World:
    """Keep the events to come, in the order of their time and, at the same time, of their making.

    All chance is `random`. `faults` counts what went wrong on purpose, `delivered` messages
    that applications took. `broken` is what must end the run although it was raised where
    somebody catches it. The trace is a hash over everything that was noted, in order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = START
        self.steps = 0
        self.faults = 0
        self.delivered = 0
        self.shift_us = 0
        self.jump_us = 0
        self.broken: Exception | None = None
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._tie = count()
        self._trace = hashlib.blake2b(digest_size=16)
        self.log: Callable[[str], object] | None = None

    @property
    def trace(self) -> str:
        """Return the hash over all that was noted so far."""
        return self._trace.hexdigest()

    def clock(self) -> int:
        """Tell the wall clock's microseconds, which are wrong while it has jumped."""
        return self.true_clock() + self.jump_us

    def true_clock(self) -> int:
        """Tell the microseconds that a right clock shows."""
        return EPOCH_US + self.shift_us + int((self.now - START) * 1_000_000)

    def after(self, seconds: float, call: Callable[..., object], *arguments: Any) -> None:
        """Have something called `seconds` from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._tie), call, arguments))

    def note(self, what: str, *data: bytes) -> None:
        """Add to the trace."""
        update = self._trace.update
        update(b"%s %.9f" % (what.encode(), self.now))
        for each in data:
            update(each)
        if self.log is not None:
            self.log(f"{self.now - START:9.4f} {what} {b' '.join(data)!r:.150}")

    def fault(self, what: str) -> None:
        """Count a fault and add it to the trace."""
        self.faults += 1
        self.note(f"fault: {what}")

    def run(self, until: float) -> None:
        """Let everything happen that happens up to a time."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(events)
            self.steps += 1
            call(*arguments)
            if self.broken is not None:
                raise self.broken
        self.now = until
