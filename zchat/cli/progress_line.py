"""Progress on a terminal: one line, rewritten in place and removed at the end."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING

from zchat.cli.text.columns import terminal_width
from zchat.threads import RealThread, start

if TYPE_CHECKING:
    from zchat import Progress

BEGIN = 1.0
"""Seconds before anything is shown: what is done by then needs no progress."""

STEP = 0.25
"""Seconds between two samples: the figures can be read, and cost nothing."""

SPAN = 8
"""Samples that the speed is measured over: two seconds, so that it is steady and a standstill soon shows."""

ECHO = len("^C")
"""Columns that a terminal shows of Ctrl-C, where the cursor is: they begin no other row, and go with the line."""

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
        wait = BEGIN
        line = RewrittenLine()
        while not self._over.wait(wait):
            wait = STEP
            then, before = samples[0]
            now, stored = time.monotonic(), self._progress.stored
            samples.append((now, stored))
            line.write(*progress_texts(stored, (stored - before) / (now - then)))
        line.write("")


def progress_texts(stored: int, speed: float) -> tuple[str, ...]:
    """Return how many messages are stored, and how many per second, in texts that get shorter."""
    rate = f"{round(speed, -3 if speed >= 10_000 else 0):,.0f}"
    return f"{stored:,} messages stored, {rate} per second", f"{stored:,} stored, {rate}/s", f"{stored:,}"


class RewrittenLine:
    """A line of the terminal on standard error that is written again and again in place, and never wrapped by it."""

    def __init__(self) -> None:
        self._width = 0
        """Columns that have to be blank, or written again, for nothing of the line to be left."""

    def write(self, *texts: str) -> None:
        """Write the first text that fits in place of what is there, and nothing if none does."""
        columns = terminal_width(sys.stderr) or NARROW
        text = next((text for text in texts if len(text) + ECHO < columns), "")
        blank = min(self._width, columns - 1)  # what was wider was wrapped when the terminal became narrower
        if text or blank > 0:
            back = "\b" * (blank - len(text)) if text else "\r"
            with suppress(OSError, ValueError):  # the terminal is gone; what is done is what matters
                sys.stderr.write(f"\r{text.ljust(blank)}{back}")
                sys.stderr.flush()
        self._width = len(text) + ECHO if text else 0
