"""The progress of `zchat send` on a terminal: one line, rewritten in place and removed at the end."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from threading import Event
from types import TracebackType

from zchat import Progress
from zchat.cli.text.columns import terminal_width
from zchat.threads import RealThread, start

BEGIN = 1.0
"""Seconds before anything is shown: what is done by then needs no progress."""

STEP = 0.25
"""Seconds between two samples: the figures can be read, and cost nothing."""

SPAN = 8
"""Samples that the speed is measured over: two seconds, so that it is steady and a standstill soon shows."""

NARROW = 40
"""Columns assumed of a terminal that is gone."""


class ProgressLine:
    """The line on standard error that shows how many messages are stored while its `with` block runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._over = Event()
        self._thread = RealThread(self._run, "zchat-progress")

    def __enter__(self) -> None:
        start(self._thread)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(STEP)  # it only waits for a terminal that takes nothing

    def _run(self) -> None:
        samples = deque([(time.monotonic(), self._progress.stored)], SPAN)
        wait, width = BEGIN, 0
        with suppress(OSError, ValueError):  # the terminal is gone; the messages are what matters
            while not self._over.wait(wait):
                wait = STEP
                then, before = samples[0]
                now, stored = time.monotonic(), self._progress.stored
                samples.append((now, stored))
                line = progress_text(stored, (stored - before) / (now - then), terminal_width(sys.stderr) or NARROW)
                self._write("\r" + line.ljust(width) + "\b" * max(0, width - len(line)))
                width = len(line)
            if width:
                self._write("\r" + " " * width + "\r")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def progress_text(stored: int, speed: float, columns: int) -> str:
    """Return how many messages are stored, and how many per second, in fewer than `columns` columns."""
    rate = f"{round(speed, -3 if speed >= 10_000 else 0):,.0f}"
    for line in (f"{stored:,} messages stored, {rate} per second", f"{stored:,} stored, {rate}/s", f"{stored:,}"):
        if len(line) < columns:
            return line
    return ""
