"""The lines that were typed in a chat: those that are not done yet, and those of before."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import History

from zchat.cli.chat.rooms import Place
from zchat.cli.chat.terminal import state_file

KEPT_BYTES = 256 << 10
"""Bytes of a file of lines from which on only its end is kept: some thousand lines."""

LONGEST = 10_000
"""Characters of a line that is kept: more than anybody types."""

_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs: bytes that were no text, as earlier versions kept them."""


class TypedLine(str):
    """A typed line, or the command that a key stands for."""

    __slots__ = ("leads_to", "meant")

    meant: Place
    """Where it is meant for."""
    leads_to: Place | None
    """Where it leads; None for nowhere."""

    def __new__(cls, text: str, meant: Place, leads_to: Place | None = None) -> TypedLine:
        """Make a line of a text."""
        line = super().__new__(cls, text)
        line.meant, line.leads_to = meant, leads_to
        return line


class TypedLines:
    """The queue of typed lines; the first is the one being done. The event loop's thread."""

    def __init__(self) -> None:
        self._lines: deque[TypedLine] = deque()
        self._begun = False
        """True while the first line is being done."""
        self.ended = asyncio.Event()
        """Set once no more lines will be typed."""
        self._moved = asyncio.Event()

    def put(self, line: TypedLine) -> None:
        """Add a line."""
        self._lines.append(line)
        self._moved.set()

    def end(self) -> None:
        """Record that no more lines will be typed."""
        self.ended.set()
        self._moved.set()

    async def next(self) -> TypedLine | None:
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
    def leads_to(self) -> Place | None:
        """Return where the lines that are not done lead: what is typed now is meant for that. None for nowhere."""
        return next((line.leads_to for line in reversed(self._lines) if line.leads_to), None)

    @property
    def waiting(self) -> list[TypedLine]:
        """Return the lines that are not done, including the one being done."""
        return list(self._lines)

    def withdraw(self, which: Callable[[TypedLine], bool] = lambda line: True) -> list[TypedLine]:
        """Return `which` of the lines that are not being done yet, and forget them."""
        lines = list(self._lines)[self._begun :]
        kept = [line for line in lines if not which(line)]
        self._lines = deque([*list(self._lines)[: self._begun], *kept])
        return [line for line in lines if which(line)]


class LinesOfBefore(History):
    """The lines typed before, in a file that only its owner can read. One thread.

    Each line of the file is a text as JSON. What can't be read or written is forgotten at the end.

    `path`: the file; None to keep the lines for this run alone.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._waits = True
        """False once others had the file locked for too long, until they have it no longer: each line would wait."""

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines, the latest first."""
        if self._path is None:
            return []
        lines, size = self._end(self._path)
        if size > KEPT_BYTES:
            with suppress(OSError), state_file.alone(self._path):
                lines, size = self._end(self._path)  # with what other chats have added, or after one has shortened it
                if size > KEPT_BYTES and state_file.is_own(self._path):
                    state_file.replace(self._path, b"\n".join(lines))
        return [text for line in reversed(lines) if (text := _text(line))]

    @staticmethod
    def _end(path: Path) -> tuple[list[bytes], int]:
        """Return the last lines of the file that are whole, and how many bytes it has."""
        try:
            end, size = state_file.read(path, KEPT_BYTES // 2)
        except OSError:
            return [], 0
        lines = end.split(b"\n")
        return lines[size > KEPT_BYTES // 2 :], size

    def store_string(self, string: str) -> None:
        """Add a line to the file."""
        if self._path is None or len(string) > LONGEST:
            return
        with suppress(OSError):
            self._waits = state_file.append(self._path, json.dumps(string).encode() + b"\n", waits=self._waits)


def _text(line: bytes) -> str:
    """Return the text of a line of the file, with U+FFFD for what is no text; "" if it has none."""
    with suppress(ValueError, RecursionError):
        text = json.loads(line)
        return _HALVES.sub("\ufffd", text) if isinstance(text, str) else ""
    return ""
