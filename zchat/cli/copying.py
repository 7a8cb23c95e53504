"""The progress of a copy on a terminal, which a signal ends."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from zchat.broker.store.sqlite.backup import Content
from zchat.cli import ending
from zchat.cli.progress_line import RewrittenLine
from zchat.cli.text.phrases import counted, local_time

BEGIN = 1.0
"""Seconds before anything is shown, as with `zchat send`."""

EVERY = 0.25
"""Seconds between two rewrites of the line."""


class Copying:
    """The line on standard error that shows how much is copied while its `with` block runs.

    Args:
        shown: False if none is to be shown; without a terminal none is.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._due = time.monotonic() + BEGIN
        self._line = RewrittenLine()

    def __enter__(self) -> Copying:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.write("")

    def step(self, done: int, size: int) -> None:
        """Show how many bytes of how many are copied, if that is due.

        Raises:
            Ended: a signal has come.
        """
        if self._is_due():
            self._show(f"{done >> 20:,} of {size >> 20:,} MiB copied", f"{done >> 20:,} MiB", done, size)

    def step_messages(self, what: str, done: int, whole: int) -> None:
        """Show of how many messages how many are `what`, copied for example, if that is due.

        Raises:
            Ended: a signal has come.
        """
        if self._is_due():
            self._show(f"{done:,} of {whole:,} messages {what}", f"{done:,} {what}", done, whole)

    def _is_due(self) -> bool:
        if ending.asked():
            raise ending.Ended
        return self._shown and time.monotonic() >= self._due

    def _show(self, text: str, short: str, done: int, whole: int) -> None:
        self._due = time.monotonic() + EVERY
        self._line.write(text, short, f"{done * 100 // max(1, whole)}%")


def content_text(content: Content) -> str:
    """Return in words what a database holds."""
    text = f"{counted(content.messages, 'message')} in {counted(content.rooms, 'room')}"
    return f"{text}, the newest of {local_time(content.newest)}" if content.newest else text
