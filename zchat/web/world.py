"""The world of the gateway's core: an event loop's clock and tasks, and clients of a broker."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from zchat.errors import ZchatError
from zchat.logs import web_log
from zchat.web.core.port import Client


class LoopPromise:
    """Something that one task waits for."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def __await__(self) -> Generator[Any, None, None]:
        return self._future.__await__()

    def keep(self) -> None:
        """Wake the task."""
        if not self._future.done():
            self._future.set_result(None)


class LoopWorld:
    """What `zchat.web.core.port.World` asks for, in the running event loop. `client` makes a user's client."""

    def __init__(self, client: Callable[[str], Client]) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self.now = self._loop.time
        self.wall = time.time
        self.fraction = random.random

    def chance(self) -> str:
        """Return a text that nobody can guess."""
        return secrets.token_urlsafe(16)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task; what it raises is a fault of the gateway's, but for what zchat raises on purpose."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, work.__qualname__))  # type: ignore[attr-defined]
        return task

    def promise(self) -> LoopPromise:
        """Return something to wait for."""
        return LoopPromise(self._loop)

    def client(self, user: str) -> Client:
        """Return a client for a user."""
        return self._client(user)

    def failed(self, what: str, error: BaseException) -> None:
        """Log a fault of the gateway's own."""
        web_log.error("%s failed: %s: %s", what, type(error).__name__, error, event="fault")

    async def finish(self, seconds: float) -> None:
        """Wait until all tasks have ended, some time at most; then cancel them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ZchatError):
            self.failed(f"the task {name}", error)  # which a task doesn't know that has ended at once
