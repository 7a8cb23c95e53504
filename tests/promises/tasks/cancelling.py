"""Cancelling a task at one of its waits, chosen by its number, in each of the ways in which that comes about.

Once a task waits, its cancelling may come before anything else has its turn, after some turns of the loop, or in the
same turn in which what it waits for is there: then it has both, and gets the cancelling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

WAYS = ("at once", "a turn later", "three turns later", "as it is answered")
"""How a task is cancelled."""


class Cancelling:
    """A task that is cancelled at its wait number `at`, or, if that is 0, before it begins."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, way: str) -> None:
        self._at = at
        self._way = way
        self.count = 0
        """How often it has waited."""
        self.task = asyncio.get_running_loop().create_task(self._counted(work) if at else work)
        if not at:
            self.task.cancel()

    @property
    def done(self) -> bool:
        """True if it has ended before it was to be cancelled."""
        return self.count < self._at

    async def ended(self) -> object:
        """Wait until the task has ended, and return its result, or what it has raised."""
        return (await asyncio.gather(self.task, return_exceptions=True))[0]

    @coroutine
    def _counted(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        send: Callable[[Any], Any] = work.send
        given: Any = None
        while True:
            try:
                waited = send(given)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self._at:
                self._cancel(waited)
            try:
                send, given = work.send, (yield waited)
            except BaseException as error:
                send, given = work.throw, error

    def _cancel(self, waited: asyncio.Future[Any] | None) -> None:
        if self._way == "at once":
            self.task.cancel()
        elif self._way == "as it is answered" and waited is not None:
            waited.add_done_callback(lambda _: self.task.cancel())  # before the task is woken by it
        else:
            self._cancel_later(3 if self._way == "three turns later" else 1)

    def _cancel_later(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._cancel_later, turns - 1)
        else:
            self.task.cancel()
