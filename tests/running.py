"""The `zchat` command as the tests run it: a process, and waits that end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import IO

ROOT = Path(__file__).parent.parent
ZCHAT = [sys.executable, "-m", "zchat"]
FORKING = ["-W", "ignore:This process:DeprecationWarning"]
"""How Python is called for a program that forks: from 3.12 on it warns of each fork while there are threads."""

DEADLINE = 60.0
"""Seconds after which a wait has failed: long for a busy machine that measures coverage; no good run comes near."""

Zchat = Callable[..., "subprocess.CompletedProcess[str]"]


class Running:
    """Hold a command that runs: what it has written so far, and what is written to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._told: list[str] = []
        self._changed = Condition()
        self._readers = [
            Thread(target=self._read, args=(self._lines, process.stdout), daemon=True),
            Thread(target=self._read, args=(self._told, process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def text(self) -> str:
        """What it has written to standard output."""
        return "".join(self._lines)

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return "".join(self._told)

    def _read(self, lines: list[str], stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                lines.append(line)
                self._changed.notify_all()

    def until(self, text: str) -> str:
        """Wait until it has written `text`; return everything that it has written."""
        searched, end = 0, ""

        def written() -> bool:  # what was searched before is not searched again: it may be megabytes
            nonlocal searched, end
            end += "".join(self._lines[searched:])
            searched = len(self._lines)
            if text in end:
                return True
            end = end[-len(text) :]
            return False

        with self._changed:
            assert self._changed.wait_for(written, DEADLINE), (text, self.text, self.errors)
        return self.text

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its input, and return its exit code."""
        if self.process.stdin:
            self.process.stdin.close()
        code = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code


Start = Callable[..., Running]


def eventually(true: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Wait until something is true; `what` it is, or a function that says so once it has failed."""
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.01)
