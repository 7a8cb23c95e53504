"""The `zchat` command as the tests run it: a process, and waits that end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from _thread import start_new_thread
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Event
from typing import IO

ROOT = Path(__file__).parent.parent
ZCHAT = [sys.executable, "-m", "zchat"]
FORKING = ["-W", "ignore:This process:DeprecationWarning"]
"""How Python is called for a program that forks: from 3.12 on it warns of each fork while there are threads."""

OWN_HOST = "127." + ".".join(map(str, os.getpid().to_bytes(3))) if sys.platform == "linux" else "127.0.0.1"
"""This machine, for what comes back to its port: at 127.0.0.1 the tests of another process may have taken that."""

DEADLINE = 60.0
"""Seconds after which a wait has failed: long for a busy machine that measures coverage; no good run comes near."""

Zchat = Callable[..., "subprocess.CompletedProcess[str]"]


def output_of(program: str) -> str:
    """Return what a program in Python, run in a process of its own, writes to standard output; it must exit with 0."""
    line = [sys.executable, "-c", program]
    return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout


class Running:
    """Hold a command that runs: what it has written so far, and what is written to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._told: list[str] = []
        self._changed = Condition()
        self._read_all: list[Event] = []
        for lines, stream in ((self._lines, process.stdout), (self._told, process.stderr)):
            self._read_all.append(Event())
            # None of `threading`'s: coverage traces those, and Python 3.11 may refuse to begin that in two at once.
            start_new_thread(self._read, (lines, stream, self._read_all[-1]))

    @property
    def text(self) -> str:
        """What it has written to standard output."""
        return "".join(self._lines)

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return "".join(self._told)

    def _read(self, lines: list[str], stream: IO[str] | None, read_all: Event) -> None:
        assert stream
        try:
            for line in stream:
                with self._changed:
                    lines.append(line)
                    self._changed.notify_all()
        finally:
            read_all.set()

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
        for read_all in self._read_all:
            read_all.wait(DEADLINE)
        return code


Start = Callable[..., Running]


def read_now(descriptor: int) -> bytes:
    """Return what there is to be read, 64 KiB at most, nothing if there is nothing: it never waits."""
    return os.read(descriptor, 1 << 16) if select.select([descriptor], [], [], 0)[0] else b""


def read_to_the_end(descriptor: int) -> bytes:
    """Return what comes until nobody holds the other end any more, which has a deadline, at any silence."""
    found = b""
    try:
        while select.select([descriptor], [], [], DEADLINE)[0] and (more := os.read(descriptor, 1 << 16)):
            found += more
    except OSError:  # Linux's end of a terminal that nobody holds any more
        pass
    return found


def eventually(true: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Wait until something is true; `what` it is, or a function that says so once it has failed."""
    deadline = time.monotonic() + DEADLINE
    while True:
        begun = time.monotonic()
        if true():
            return
        now = time.monotonic()
        assert now < deadline, what if isinstance(what, str) else what()
        time.sleep(min(max(0.01, 5 * (now - begun)), 0.1))  # a screen takes a process: it is not asked for all the time
