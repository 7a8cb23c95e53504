"""The client's faces, each with the methods of `zchat.Client`, so that what is true of all is tested over all.

A test that takes the fixture `face` runs over threads, over asyncio, and in the files of `UVLOOP` over uvloop; with
`--uvloop` (`make test-faces`) everywhere. What is true of threads alone has the mark `threads_alone`, with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from inspect import isawaitable, ismethod
from itertools import islice
from threading import Thread
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import pytest

import zchat
from tests.loop import KINDS, new_loop
from tests.running import DEADLINE

T = TypeVar("T")

UVLOOP = ("test_client.py", "test_joined_rooms.py", "test_progress.py", "test_reading.py")
"""The files whose tests run over uvloop in any case: much of what waits, in little time."""

AHEAD = 1_000
"""Bodies of one `send_many` that its thread makes ahead of the task that sends them."""


class Raised(Exception):
    """What a thread raised that a task waits for. The error itself might end the loop, as KeyboardInterrupt does."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error


class Loop:
    """An event loop that runs in a thread of its own, and what others have done there."""

    def __init__(self, kind: str) -> None:
        self._loop = new_loop(kind)
        self._thread = Thread(target=self._loop.run_forever, name=f"test-{kind}", daemon=True)
        self._thread.start()
        self._rooms: WeakValueDictionary[zchat.AsyncRoom, Adapter] = WeakValueDictionary()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a task; what it returns can be waited for in any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function in the loop, await what it returns if that is to be awaited, and return it adapted."""

        async def called() -> Any:
            found = function(*map(inner, arguments), **options)
            return await found if isawaitable(found) else found

        return self.adapted(self.begin(called()).result(2 * DEADLINE))

    def adapted(self, found: Any) -> Any:
        """Return something in the form in which threads use it; a room's is one as long as it is held."""
        if isinstance(found, zchat.AsyncRoom):
            return self._rooms.setdefault(found, BlockingRoom(self, found))
        return Iterating(self, found) if isinstance(found, AsyncIterator) else found

    def ring(self, event: asyncio.Event) -> None:
        """Set an event of the loop."""
        self._loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End the loop, in which no task may be left but this."""

        async def left() -> set[asyncio.Task[Any]]:
            await asyncio.sleep(0)  # of what was cancelled just now
            return asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}

        try:
            assert not (tasks := self.begin(left()).result(DEADLINE)), tasks
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE)
            self._loop.close()


class Adapter:
    """An object of a loop whose methods are called in other threads, and block these."""

    def __init__(self, loop: Loop, inner: Any) -> None:
        self.loop = loop
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return partial(self.loop.call, found) if ismethod(found) else found

    def __repr__(self) -> str:
        return repr(self.inner)


def inner(given: Any) -> Any:
    """Return what an adapter stands for; anything else is itself."""
    return given.inner if isinstance(given, Adapter) else given


class Blocking(Adapter):
    """A `zchat.AsyncClient` as a `zchat.Client`. A handler is called in a thread that takes the events."""

    def __init__(
        self, loop: Loop, *arguments: Any, on_event: Callable[[zchat.Event], object] | None = None, **options: Any
    ) -> None:
        super().__init__(loop, zchat.AsyncClient(*arguments, **options))
        self.connect()
        self._taking: Thread | None = None
        if on_event is not None:
            self._taking = Thread(target=take_events, args=(self.events(), on_event), daemon=True)
            self._taking.start()

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, timeout: float = 5.0) -> None:
        self.loop.call(self.inner.close, timeout)
        if self._taking is not None:
            self._taking.join(DEADLINE)


def take_events(events: Iterator[zchat.Event], handler: Callable[[zchat.Event], object]) -> None:
    with suppress(zchat.ZchatError):  # how the client has ended, which `wait` says
        for event in events:
            handler(event)


class BlockingRoom(Adapter):
    """A `zchat.AsyncRoom` as a `zchat.Room`."""

    def send_many(self, bodies: Any, **options: Any) -> Any:
        """Send them; what makes them one by one is called in this thread, where it may wait for others."""
        send = partial(self.inner.send_many, **options)
        if not isinstance(bodies, Iterator):
            return self.loop.call(send, bodies)
        source = Source(self.loop)
        sending = self.loop.begin(send(source.bodies()))
        try:
            for body in bodies:
                source.put(body)
                while source.is_full and not sending.done():
                    time.sleep(0.001)
                if sending.done():
                    break
        except BaseException as error:
            source.end(error)
        else:
            source.end(None)
        try:
            return sending.result(2 * DEADLINE)
        except Raised as raised:
            raise raised.error from None


class Source:
    """What a thread makes for a task, in order, and how it ends."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._made: deque[tuple[Any]] = deque()
        self._more = asyncio.Event()
        self._is_awaited = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, body: Any) -> None:
        """Hand a body over."""
        self._made.append((body,))
        self._ring()

    def end(self, error: BaseException | None) -> None:
        """Make this the end, or the error."""
        self._error = error
        self._ended = True
        self._ring()

    @property
    def is_full(self) -> bool:
        """True if enough waits."""
        return len(self._made) >= AHEAD

    def _ring(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self._loop.ring(self._more)

    async def bodies(self) -> AsyncIterator[Any]:
        """Yield the bodies, in the loop."""
        while True:
            while self._made:
                yield self._made.popleft()[0]
            self._more.clear()
            self._is_awaited = True
            if self._made:
                continue
            if self._ended:
                break
            await self._more.wait()
        if self._error is not None:
            raise Raised(self._error)


class Iterating(Iterator[Any]):
    """What `async for` would take, taken by `for`."""

    def __init__(self, loop: Loop, taken: AsyncIterator[Any]) -> None:
        self._loop = loop
        self._taken = taken

    def __next__(self) -> Any:
        try:
            return self._loop.call(anext, self._taken)
        except StopAsyncIteration:
            raise StopIteration from None

    def take(self, count: int) -> list[Any]:
        """Take so many at most."""

        async def taken() -> list[Any]:
            found: list[Any] = []
            while len(found) < count:
                try:
                    found.append(await anext(self._taken))
                except StopAsyncIteration:
                    break
            return found

        return cast("list[Any]", self._loop.call(taken))


def first(iterator: Iterator[T], count: int) -> list[T]:
    """Take `count` at most of what is iterated over; at once, where each would go to another thread and back."""
    return iterator.take(count) if isinstance(iterator, Iterating) else list(islice(iterator, count))


class BlockingProgress(zchat.Progress):
    """The progress of a task's `send_many`, for which a thread waits."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def settle(self, timeout: float | None) -> bool:
        return cast(bool, self._loop.call(self.settled, timeout))


class Face:
    """How a test makes a client, and a progress to follow, of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.loop = Loop(kind) if kind != "threads" else None

    def client(self, *arguments: Any, **options: Any) -> zchat.Client:
        """Connect one, with the arguments of `zchat.Client`."""
        if self.loop is None:
            return zchat.Client(*arguments, **options)
        return cast(zchat.Client, Blocking(self.loop, *arguments, **options))

    def progress(self) -> zchat.Progress:
        """Return one that follows nothing yet."""
        return zchat.Progress() if self.loop is None else BlockingProgress(self.loop)


def kinds(metafunc: pytest.Metafunc) -> tuple[str, ...]:
    """Return the faces over which a test runs."""
    if metafunc.definition.get_closest_marker("threads_alone") is not None:
        return ("threads",)
    if metafunc.config.getoption("--uvloop") or metafunc.definition.path.name in UVLOOP:
        return ("threads", "asyncio", "uvloop")
    return ("threads", "asyncio")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run the tests of all faces over uvloop everywhere")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_loop" in metafunc.fixturenames:
        kinds_of_loops = KINDS if metafunc.config.getoption("--uvloop") else ("asyncio",)
        metafunc.parametrize("loop_kind", kinds_of_loops, indirect=True)
    if "face" in metafunc.fixturenames:
        metafunc.parametrize("face", kinds(metafunc), indirect=True, scope="module")


@pytest.fixture(scope="module")
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Give one face; no task may be left of what it was used for."""
    face = Face(request.param)
    yield face
    if face.loop is not None:
        face.loop.close()
