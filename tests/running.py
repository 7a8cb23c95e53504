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
        self.text = ""
        self.errors = ""
        self._changed = Condition()
        self._readers = [
            Thread(target=self._read, args=("text", process.stdout), daemon=True),
            Thread(target=self._read, args=("errors", process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                setattr(self, name, getattr(self, name) + line)
                self._changed.notify_all()

    def until(self, text: str) -> str:
        """Wait until it has written `text`; return everything that it has written."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text, DEADLINE), (text, self.text, self.errors)
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
