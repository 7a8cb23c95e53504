"""Waiting in an event loop: futures, which what changes something wakes, or their deadlines.

No locks: all of it belongs to one loop. A deadline wakes the future too, with another result, so that it can't be
mistaken for a cancellation of somebody else's.
"""

from __future__ import annotations

from asyncio import Future, TimerHandle, get_running_loop
from collections.abc import Generator
from heapq import heapify, heappop, heappush
from math import inf
from threading import TIMEOUT_MAX
from time import monotonic
from types import coroutine

Waiting = Future[bool]
"""A future for which a task waits: True once it is woken, False if its deadline came first."""

TIMER_LOST_AFTER = 1.0
"""Seconds after which a timer counts as lost that has not gone off: what a signal's handler raises may land in it."""

SWEEP = 64
"""Deadlines that are kept before those are removed whose waits have ended; then twice what is left."""


def wake(future: Waiting) -> None:
    """Wake the task that waits for a future, unless it waits no longer."""
    if not future.done():
        future.set_result(True)


@coroutine
def others() -> Generator[None, None, None]:
    """Let the loop's other tasks have their turn."""
    yield


class Deadlines:
    """The deadlines of many waits, for which one timer of the loop's is set: nearly all end long before.

    A timer each would cost a third of what a message does that is sent.
    """

    def __init__(self) -> None:
        self.over: Exception | None = None
        """Why nothing wakes any more what waits, None while something does."""
        self._due: list[tuple[float, int, Waiting]] = []  # a heap; those whose waits have ended are among them
        self._count = 0  # of all so far: what comes at one moment keeps its order by it
        self._sweep_at = SWEEP
        self._timer: TimerHandle | None = None
        self._timer_at = inf

    def limit(self, future: Waiting, seconds: float | None) -> Waiting:
        """Return the future, to be awaited: it is woken after `seconds` at the latest, None for no limit."""
        return self.by(future, inf if seconds is None else monotonic() + seconds)

    def by(self, future: Waiting, at: float) -> Waiting:
        """Return the future, to be awaited: it is woken at a moment of the monotonic clock at the latest, or `inf`."""
        if future.done():
            return future
        now = monotonic()
        if at <= now or self.over is not None:
            future.set_result(False)
            return future
        self._count += 1
        heappush(self._due, (at, self._count, future))
        if at < self._timer_at or self._timer_at < now - TIMER_LOST_AFTER:
            self._set(now)
        if len(self._due) >= self._sweep_at:
            self._due = [each for each in self._due if not each[2].done()]
            heapify(self._due)
            self._sweep_at = 2 * len(self._due) + SWEEP
        return future

    def end(self, error: Exception | None = None) -> None:
        """Wake all that waits, as if its time were over, and all that comes to wait, if `error` says why."""
        self.over = error
        for _, _, future in self._due:
            if not future.done():
                future.set_result(False)

    def _set(self, now: float) -> None:
        """Set the timer for what is due first. Each step is done before it is recorded: it may be broken off."""
        seconds = min(max(0.0, self._due[0][0] - now), TIMEOUT_MAX)
        timer = get_running_loop().call_later(seconds, self._expire)
        before, self._timer, self._timer_at = self._timer, timer, now + seconds
        if before is not None:
            before.cancel()

    def _expire(self) -> None:
        self._timer, self._timer_at = None, inf
        due, now = self._due, monotonic()
        try:
            while due and (due[0][0] <= now or due[0][2].done()):
                if not due[0][2].done():
                    due[0][2].set_result(False)
                heappop(due)
        finally:
            if due and due[0][0] < inf:
                self._set(now)


class Bell:
    """Wakes the tasks that wait for a change. It hands nothing over: a task that was woken checks for itself."""

    __slots__ = ("_deadlines", "waiting")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.waiting: list[Waiting] = []
        """What tasks wait for."""

    def ring(self) -> None:
        """Wake all tasks that wait."""
        if self.waiting:
            for future in self.waiting:
                wake(future)
            self.waiting = []  # last: an exception from a signal may come before

    async def wait(self, seconds: float | None) -> bool:
        """Wait until it rings; False if it doesn't within `seconds`, None for no limit."""
        future = get_running_loop().create_future()
        self.waiting.append(future)
        try:
            return await self._deadlines.limit(future, seconds)
        finally:
            if future in self.waiting:  # else it has rung
                self.waiting.remove(future)


class Flag:
    """Something that becomes true once, for which tasks wait."""

    __slots__ = ("_bell", "_set")

    def __init__(self, deadlines: Deadlines) -> None:
        self._bell = Bell(deadlines)
        self._set = False

    def set(self) -> None:
        """Make it true."""
        self._set = True
        self._bell.ring()

    async def wait(self, seconds: float | None) -> bool:
        """Wait until it is true; False if it isn't within `seconds`, None for no limit, 0 for a turn of the loop."""
        if not self._set and seconds is not None and seconds <= 0:
            await others()
        elif not self._set:
            await self._bell.wait(seconds)
        return self._set
