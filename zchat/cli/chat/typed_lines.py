"""The lines that were typed in a chat and are not done yet."""

from __future__ import annotations

import asyncio
from collections import deque


class TypedLines:
    """The queue of typed lines; the first is the one being done. The event loop's thread."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._begun = False
        """True while the first line is being done."""
        self._ended = False
        self._moved = asyncio.Event()

    def put(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)
        self._moved.set()

    def end(self) -> None:
        """Record that no more lines will be typed."""
        self._ended = True
        self._moved.set()

    async def next(self) -> str | None:
        """Return the next line, once there is one; None after the last. The line before it is done by then."""
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
        """Return the lines that are not done, including the one being done."""
        return list(self._lines)

    def withdraw(self) -> list[str]:
        """Return the lines that are not being done yet, and forget them."""
        lines = list(self._lines)[self._begun :]
        for _ in lines:
            self._lines.pop()
        return lines
