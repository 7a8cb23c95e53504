"""What `zchat send` shows of its progress on a terminal: one line, written over and over, gone at the end."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

from zchat import Progress

BEGIN = 1.0
"""Seconds before anything is shown: what is done by then needs no progress."""

STEP = 0.25
"""Seconds between two looks: the figures can be read, and cost nothing."""

SPAN = 8
"""Looks back that the speed is measured over: two seconds, so that it is steady and a standstill soon shows."""

NARROW = 40
"""Columns that are assumed of a terminal that doesn't tell."""


class Meter:
    """Show on standard error how many messages are stored, in a thread of its own, while its block runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._over = Event()
        self._thread = Thread(target=self._run, name="zchat-meter", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(STEP)  # it only waits for a terminal that takes nothing

    def _run(self) -> None:
        looks = deque([(time.monotonic(), self._progress.stored)], SPAN)
        wait, width = BEGIN, 0
        with suppress(OSError, ValueError):  # a terminal that has gone; the messages are what matters
            while not self._over.wait(wait):
                wait = STEP
                then, before = looks[0]
                now, stored = time.monotonic(), self._progress.stored
                looks.append((now, stored))
                line = meter_line(stored, (stored - before) / (now - then), _columns())
                self._write("\r" + line.ljust(width) + "\b" * max(0, width - len(line)))
                width = len(line)
            if width:
                self._write("\r" + " " * width + "\r")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def meter_line(stored: int, speed: float, columns: int) -> str:
    """Return how much is stored, and how many messages a second, in less than `columns` columns."""
    rate = f"{round(speed, -3 if speed >= 10_000 else 0):,.0f}"
    for line in (f"{stored:,} messages stored, {rate} a second", f"{stored:,} stored, {rate}/s", f"{stored:,}"):
        if len(line) < columns:
            return line
    return ""


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or NARROW
    except OSError:
        return NARROW
