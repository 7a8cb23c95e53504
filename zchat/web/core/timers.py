"""What is due when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class Timer:
    """Something that is called once, unless it is cancelled before."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None] | None) -> None:
        self.call = call

    def cancel(self) -> None:
        """Have it not called."""
        self.call = None


class Timers:
    """All timers of a gateway, of which one timer of the loop's calls those that are due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._due)

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        """Have `call` called at a moment of `World.now`."""
        timer = Timer(call)
        heappush(self._due, (when, next(self._numbers), timer))
        return timer

    def turn(self, now: float) -> None:
        """Call what is due."""
        while self._due and self._due[0][0] <= now:
            timer = heappop(self._due)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call()
