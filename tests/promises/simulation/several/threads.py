"""Threads in simulated time: the real code of a store's threads runs, one piece after another, and waits in the world.

Each is a fiber, which gives way where a thread would wait: so the same seed runs the same way. Those of one process
stand still with it, and end with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from tests.promises.simulation.world import World

T = TypeVar("T")

SWITCH = 0.00005
"""Seconds until a thread goes on that was waited for."""


class Ended(BaseException):
    """End a thread whose process was killed."""


class Program:
    """Be a process, as far as its threads are concerned. `stopped_until` tells until when it stands still."""

    def __init__(self, world: World, stopped_until: Callable[[], float]) -> None:
        self.world = world
        self.alive = True
        self.stopped_until = stopped_until
        self._fibers: list[Fiber] = []
        self.at_end: list[Callable[[], object]] = []
        """What is done when it ends, however it does."""

    def start(self, run: Callable[[], object]) -> Fiber:
        """Begin a thread."""
        fiber = Fiber(self, run)
        self._fibers = [each for each in self._fibers if not each.dead]
        self._fibers.append(fiber)
        fiber.go_on(0.0)
        return fiber

    def end(self) -> None:
        """End at once: no thread goes on, wherever it is."""
        if self.alive:
            self.alive = False
            for fiber in self._fibers:
                if fiber is not getcurrent():
                    fiber.go_on(0.0)
            for each in self.at_end:
                each()


class Fiber(greenlet):  # type: ignore[misc]
    """Be one thread."""

    def __init__(self, program: Program, run: Callable[[], object]) -> None:
        super().__init__(self._run, parent=_hub())
        self.program = program
        self.joiners: deque[Fiber] = deque()
        self._function = run
        self._ticket = 0

    def _run(self) -> None:
        try:
            self._function()
        except Ended:
            pass
        finally:
            wake(self.joiners)

    def go_on(self, seconds: float) -> None:
        """Have it go on from where it waits, so many seconds from now; what comes later is forgotten then."""
        self.program.world.after(seconds, self._resume, self._ticket)

    def _resume(self, ticket: int) -> None:
        program = self.program
        if self.dead or ticket != self._ticket:
            return
        if not program.alive:
            if self:
                self.throw(Ended)
            return
        if program.stopped_until() > program.world.now:
            self.go_on(min(program.stopped_until() - program.world.now, 0.1))  # it may end earlier
            return
        self._ticket += 1
        self.switch()

    def wait(self, seconds: float | None) -> None:
        """Give way until `go_on` is called, so many seconds at most."""
        if self.program.alive:
            if seconds is not None:
                self.go_on(max(0.0, seconds))
            _hub_of(self).switch()
        if not self.program.alive:
            raise Ended


def _hub() -> greenlet:
    """Return what runs the world."""
    current = getcurrent()
    return _hub_of(current) if isinstance(current, Fiber) else current


def _hub_of(fiber: Fiber) -> greenlet:
    assert fiber.parent is not None
    return fiber.parent


def current() -> Fiber:
    """Return the thread that runs."""
    fiber = getcurrent()
    assert isinstance(fiber, Fiber), "this waits, and runs in no thread"
    return fiber


def wake(waiting: deque[Fiber]) -> None:
    """Have all go on that wait."""
    while waiting:
        waiting.popleft().go_on(SWITCH)


def wait_for(ready: Callable[[], Any], waiting: deque[Fiber], seconds: float | None) -> bool:
    """Wait until something is so, as long as those that `waiting` has are woken whenever it may be; return whether."""
    fiber = current()
    world = fiber.program.world
    deadline = None if seconds is None else world.now + seconds
    while not ready():
        left = None if deadline is None else deadline - world.now
        if left is not None and left <= 0:
            return False
        waiting.append(fiber)
        fiber.wait(left)
        if fiber in waiting:
            waiting.remove(fiber)
    return True


class Thread:
    """Be a `RealThread` of the process that makes it."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._fiber: Fiber | None = None
        self._program = current().program

    def start(self) -> None:
        """Begin."""
        self._fiber = self._program.start(self._run)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._fiber is not None:
            fiber = self._fiber
            wait_for(lambda: fiber.dead, fiber.joiners, timeout)

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        return self._fiber is not None and not self._fiber.dead


class Queue(Generic[T]):
    """Be a `SimpleQueue`."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiting: deque[Fiber] = deque()

    def put(self, item: T) -> None:
        """Put something in."""
        self._items.append(item)
        wake(self._waiting)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the first out; raises Empty."""
        if not wait_for(lambda: self._items, self._waiting, timeout):
            raise Empty
        return self._items.popleft()

    def get_nowait(self) -> T:
        """Take the first out; raises Empty."""
        if not self._items:
            raise Empty
        return self._items.popleft()


class Places:
    """Be a `Semaphore`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: deque[Fiber] = deque()

    def acquire(self) -> None:
        """Take a place, once there is one."""
        wait_for(lambda: self._count, self._waiting, None)
        self._count -= 1

    def release(self) -> None:
        """Give one back."""
        self._count += 1
        wake(self._waiting)


class Lock:
    """Be a lock."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Fiber] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it."""
        if not wait_for(lambda: not self._taken, self._waiting, None if timeout < 0 else timeout):
            return False
        self._taken = True
        return True

    def release(self) -> None:
        """Let it go."""
        self._taken = False
        wake(self._waiting)


class Time:
    """Be the module `time` of threads that live in a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        """Return the world's time."""
        return self._world.now

    def perf_counter_ns(self) -> int:
        """Return it in nanoseconds."""
        return int(self._world.now * 1_000_000_000)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        wait_for(lambda: False, deque(), seconds)
