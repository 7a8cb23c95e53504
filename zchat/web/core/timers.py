"""What is due when, and what tasks wait by: their turn, and what becomes of something."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from types import TracebackType

from zchat.web.core.port import Promise

SWEEP = 64
"""Timers that are kept before those are removed that were cancelled; then twice what is left."""


class Timer:
    """Something that is called once, unless it is cancelled before."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None] | None) -> None:
        self.call = call

    def cancel(self) -> None:
        """Have it not called."""
        self.call = None


class Timers:
    """All timers of a gateway, of which one timer of the loop's calls those that are due.

    One that is cancelled may have been due in a year: nothing of it is kept but, for a while, its entry.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Timer]] = []  # a heap; those that were cancelled are among them
        self._numbers = count()
        self._sweep_at = SWEEP

    def __len__(self) -> int:
        return len(self._due)

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        """Have `call` called at a moment of `World.now`."""
        timer = Timer(call)
        heappush(self._due, (when, next(self._numbers), timer))
        if len(self._due) >= self._sweep_at:
            self._due = [each for each in self._due if each[2].call is not None]
            heapify(self._due)
            self._sweep_at = 2 * len(self._due) + SWEEP
        return timer

    def turn(self, now: float) -> None:
        """Call what is due."""
        while self._due and self._due[0][0] <= now:
            timer = heappop(self._due)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call()


class Turn:
    """What one task at a time may have, in the order in which they came or another. `promise`: `World.promise`."""

    def __init__(self, promise: Callable[[], Promise]) -> None:
        self._promise = promise
        self._taken = False
        self._waiting: list[Promise] = []

    async def __aenter__(self) -> None:
        while self._taken:
            promise = self._promise()
            self._waiting.append(promise)
            await promise
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = False
        waiting, self._waiting = self._waiting, []
        for promise in waiting:  # all: the first may have been cancelled meanwhile
            promise.keep()


class Outcome:
    """What becomes of something, for which any number of tasks wait. `promise`: `World.promise`."""

    def __init__(self, promise: Callable[[], Promise]) -> None:
        self._promise = promise
        self._known = False
        self._error: Exception | None = None
        self._waiting: list[Promise] = []

    def settle(self, error: Exception | None = None) -> None:
        """Record that it is done, or why it is not; the first time counts."""
        if not self._known:
            self._known, self._error = True, error
            waiting, self._waiting = self._waiting, []
            for promise in waiting:
                promise.keep()

    async def wait(self) -> None:
        """Wait until it is done.

        Raises:
            Exception: it is not, and why.
        """
        while not self._known:
            promise = self._promise()
            self._waiting.append(promise)
            await promise
        if self._error is not None:
            raise self._error
