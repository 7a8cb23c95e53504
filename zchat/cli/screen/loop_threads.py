"""The threads that an event loop of asyncio waits in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

from zchat.threads import no_threads

P = ParamSpec("P")
T = TypeVar("T")


class LoopThreads:
    """The threads that an event loop's waits are done in: all are there from the start, as the end requires some.

    What asyncio has for that starts them when they are needed, and one more to end them.

    Args:
        count: how many waits there may be at once; further ones begin when another is over.

    Raises:
        ZchatError: the system has no threads for it.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "zchat-loop")
        gate = Lock()
        try:
            with gate:
                for _ in range(count):  # each finds the ones before it waiting
                    self._pool.submit(gate.acquire).add_done_callback(lambda _: gate.release())
        except RuntimeError as error:
            raise no_threads(error) from error

    async def do(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what a call returns, or raise what it raises."""
        call = partial(copy_context().run, function, *args, **named)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
