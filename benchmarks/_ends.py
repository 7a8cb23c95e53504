"""What the peers that zchat is compared with have in common: a server that runs, an end on a loop of asyncio."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import Any, Self, TypeVar

TOGETHER = 1_000
"""Messages that are given to a client at once, as zchat's has them in one block."""

T = TypeVar("T")
Message = tuple[str, int, int, str, str]


@dataclass(frozen=True)
class Server:
    """Where a peer's server is."""

    url: str


def numbered(number: int, text: str) -> Message:
    """Return a message in the form of zchat's, numbered as it came."""
    return "", number, 0, "", text


def without(program: str, *packages: str) -> str:
    """Return what isn't installed of a program ("" for none) and the packages that its clients are, "" if all is."""
    missing = [program] if program and not shutil.which(program) else []
    return " and ".join([*missing, *(package for package in packages if not find_spec(package))])


@contextmanager
def running(*line: str) -> Iterator[None]:
    """Run a server while the block lasts."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


class LoopEnd:
    """A client and the event loop that it lives on, which runs while a call waits; one thread at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._arrived: deque[str] = deque()
        self._something = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.close()

    async def _end(self) -> None:
        await self._close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _close(self) -> None:
        raise NotImplementedError

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def _take(self, text: str) -> None:
        self._arrived.append(text)
        self._something.set()

    def messages(self, timeout: float) -> Iterator[Message]:
        """Yield messages as they come; ends after `timeout` seconds of silence."""
        numbers = count(1)
        while True:
            try:
                self._run(asyncio.wait_for(self._something.wait(), timeout))
            except TimeoutError:
                return
            self._something.clear()
            while self._arrived:
                yield numbered(next(numbers), self._arrived.popleft())
