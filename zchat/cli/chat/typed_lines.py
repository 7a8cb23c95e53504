"""The lines that were entered in a chat and are not done yet."""

from __future__ import annotations

import asyncio
from collections import deque


class Entered:
    """Keep lines in order, the one that is being done first. The event loop's thread."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._begun = False
        self._ended = False
        self._moved = asyncio.Event()

    def put(self, line: str) -> None:
        """Take a line."""
        self._lines.append(line)
        self._moved.set()

    def end(self) -> None:
        """Take note that no more lines come."""
        self._ended = True
        self._moved.set()

    async def next(self) -> str | None:
        """Return the next line, once there is one; None behind the last. The one before it is done."""
        if self._begun:
            self._lines.popleft()
            self._begun = False
        while not self._lines:
            if self._ended:
                return None
            self._moved.clear()
            await self._moved.wait()
        self._begun = True
        return self._lines[0]

    @property
    def waiting(self) -> list[str]:
        """Return the lines that are not done, that which is being done among them."""
        return list(self._lines)

    def withdraw(self) -> list[str]:
        """Return the lines that nobody has begun to do, and forget them."""
        lines = list(self._lines)[self._begun :]
        for _ in lines:
            self._lines.pop()
        return lines
