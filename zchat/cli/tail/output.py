"""What `zchat tail` writes, and how far it was really written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from zchat.cli.tail.resume import Resume
from zchat.cli.text.message_lines import MessageLines
from zchat.json_form import json_line
from zchat.messages import Message, Position


class Output:
    """Write messages to standard output, whole batches at a time.

    `written` is called with the seq of the last message of each batch that was written. With `resume`,
    `where` says which position stands behind what was written or told, between two messages.
    """

    written: Callable[[int], object] | None = None
    resume: Resume | None = None
    where: Callable[[], Position]

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._display = MessageLines()
        self._clean = True
        self._writing = False
        self._safe: Position | None = None
        self.last = 0

    def write(self, message: Message) -> None:
        """Write a message, or have it written by the next `flush`."""
        line = json_line(message._asdict()) if self._as_json else self._display.message(message)
        self._writing = True
        sys.stdout.write(line + "\n")
        self._clean = self._writing = False
        self.last = message.seq

    def flush(self) -> None:
        """Write out what was written, and keep the position behind it if it is time to; between two messages."""
        if not self._clean:
            self._writing = True
            sys.stdout.flush()
            self._clean = True
            self._writing = False
            if self.written is not None:
                self.written(self.last)
        if self.resume is not None:
            self._safe = self.where()
            if self.resume.due:
                self.resume.keep(self._safe)

    def close(self) -> None:
        """Keep how far was written, at whatever moment it ended: too little if that isn't sure, never too much."""
        if self.resume is None or self._safe is None:
            return
        with suppress(OSError, ValueError):  # what nobody takes was not written
            if not self._writing:  # else a signal, or a failure, came amid a write, and its lines may be lost
                sys.stdout.flush()
            there = self.where()
            if not self._writing and there.epoch == self._safe.epoch and self._safe.seq <= self.last <= there.seq:
                self._safe = Position(there.epoch, self.last)  # one more may be taken, and not written
        self.resume.keep(self._safe)
