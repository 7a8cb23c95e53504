"""The lines that were typed in a chat: those that are not done yet, and those of before."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path
from prompt_toolkit.history import History

KEPT_BYTES = 256 << 10
"""Bytes of a file of lines from which on only its end is kept: some thousand lines."""

LONGEST = 10_000
"""Characters of a line that is kept: more than anybody types."""


class TypedLines:
    """The queue of typed lines; the first is the one being done. The event loop's thread."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._begun = False
        """True while the first line is being done."""
        self.ended = asyncio.Event()
        """Set once no more lines will be typed."""
        self._moved = asyncio.Event()

    def put(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)
        self._moved.set()

    def end(self) -> None:
        """Record that no more lines will be typed."""
        self.ended.set()
        self._moved.set()

    async def next(self) -> str | None:
        """Return the next line, once there is one; None after the last. The line before it is done by then."""
        if self._begun:
            self._lines.popleft()
            self._begun = False
        while not self._lines:
            if self.ended.is_set():
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


class LinesOfBefore(History):
    """The lines typed before, in a file that only its owner can read. One thread.

    Each line of the file is a text as JSON. What can't be read or written is forgotten at the end.

    `path`: the file; None to keep the lines for this run alone.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines, the latest first."""
        if self._path is None:
            return []
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
            with open(descriptor, "rb") as file:
                if os.name == "posix" and os.fstat(descriptor).st_mode & 0o077:
                    os.fchmod(descriptor, 0o600)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - KEPT_BYTES // 2))
                end = file.read(KEPT_BYTES // 2)
        except OSError:
            return []
        lines = end.split(b"\n")
        if size > KEPT_BYTES // 2:
            del lines[0]  # not whole
        if size > KEPT_BYTES:
            self._replace(b"\n".join(lines))
        return [text for line in reversed(lines) if (text := _text(line))]

    def store_string(self, string: str) -> None:
        """Add a line to the file."""
        if self._path is None or len(string) > LONGEST:
            return
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path, json.dumps(string).encode() + b"\n", os.O_APPEND)

    def _replace(self, data: bytes) -> None:
        assert self._path is not None
        with suppress(OSError):
            new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            self._write(new, data, os.O_EXCL)
            new.replace(self._path)

    @staticmethod
    def _write(path: Path, data: bytes, flags: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)


def state_file(name: str) -> Path:
    """Return where something is kept for the next time."""
    return user_state_path("zchat", appauthor=False) / name


def _text(line: bytes) -> str:
    """Return the text of a line of the file, "" if it has none."""
    with suppress(ValueError):
        text = json.loads(line)
        return text if isinstance(text, str) else ""
    return ""
