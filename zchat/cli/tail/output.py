"""What `zchat tail` writes, and how far it was really written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from zchat import Room
from zchat.cli.streams import check_written, written
from zchat.cli.tail.resume import ResumeFile
from zchat.cli.text.colours import rows, styled_message
from zchat.cli.text.columns import terminal_text, terminal_width
from zchat.cli.text.iso import iso_time
from zchat.cli.text.message_lines import MessageLines, cut_with
from zchat.json_form import json_line
from zchat.messages import Message, Position

BATCH_BYTES = 1 << 16
"""Bytes that are gathered before they are written: what a pipe holds."""

CUT = cut_with("with --json, or in a pipe, all are shown")
"""How a long message is shown on a terminal."""


class Output:
    """The messages written to standard output, whole batches at a time, and which of them really were.

    Args:
        as_json: True for one JSON object per message, False for lines to read.
        written: called after each batch that was written, for each of its rooms with the seq of the last message.
        own: the user's name, if each line is to name its room, or the two of a direct one; None: none does.
    """

    def __init__(
        self, as_json: bool, written: Callable[[str, int], object] | None = None, *, own: str | None = None
    ) -> None:
        self.last = 0
        """The seq of the last message that was written whole."""
        self._as_json = as_json
        self._current = None if own is None else ""
        self._written = written
        self._lines = MessageLines(own=own or "")
        self._waiting: list[bytes] = []
        """Lines that wait to be written."""
        self._ends: list[tuple[int, str, int]] = []
        """Where each of these ends, in bytes, and the room and seq of its message."""
        self._bytes = 0
        """How many bytes they are."""

    def write(self, message: Message) -> None:
        """Write a message, now or with the next `flush`."""
        line = json_line(fields(message)) if self._as_json else self._line(message)
        data = f"{line}\n".encode(sys.stdout.encoding, sys.stdout.errors or "strict")
        self._waiting.append(data)
        self._bytes += len(data)
        self._ends.append((self._bytes, message.room, message.seq))
        if self._bytes >= BATCH_BYTES:
            self._write()

    def _line(self, message: Message) -> str:
        width = terminal_width(sys.stdout)
        if width is None:
            return self._lines.message(message, self._current)
        styled = styled_message(self._lines.parts(message, self._current, cut=CUT), message.user, "")
        return terminal_text(rows(styled, width), width)

    def flush(self) -> None:
        """End a batch, between two messages: write what was not written yet."""
        if self._waiting:
            self._write()

    def _write(self) -> None:
        data, ends = b"".join(self._waiting), self._ends
        self._waiting, self._ends, self._bytes = [], [], 0
        before = written()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            self.last = ends[-1][2]
        except OSError:
            done = written() - before
            self.last = max((seq for end, _, seq in ends if end <= done), default=self.last)
            raise
        if self._written is not None:
            check_written()
            for room, seq in {room: seq for _, room, seq in ends}.items():
                self._written(room, seq)


def fields(message: Message) -> dict[str, object]:
    """Return the fields of a message as JSON has them."""
    room, seq, timestamp, user, body = message
    return {
        "room": room,
        "seq": seq,
        "timestamp": timestamp,
        "time": iso_time(timestamp),
        "user": user,
        "body": body,
    }


class ResumableOutput(Output):
    """An output whose position is kept in a file.

    Args:
        as_json: as in `Output`.
        resume: the file.
        room: the room that is written, as it was joined.
        last: the seq after which writing begins.
    """

    def __init__(self, as_json: bool, resume: ResumeFile, room: Room, last: int) -> None:
        super().__init__(as_json)
        self.last = self._start = last
        self._resume = resume
        self._room = room
        self._epoch = room.position.epoch
        self._following = False
        """False while messages of the history are written, True while those that the room receives are."""
        self._safe: Position | None = None
        """The position after the last batch; None before the first."""

    def follow(self) -> None:
        """Record that what is written from now on is what the room receives."""
        self._following = True
        self.flush()

    def flush(self) -> None:
        """End a batch, and keep the position after it if that is due."""
        super().flush()
        due = self._resume.due
        if due:
            check_written()
        self._safe = self._position()
        if due:
            self._resume.keep(self._safe)

    def close(self) -> None:
        """Keep how far was written, wherever it ended: too little if that isn't certain, never too much.

        Raises:
            OSError: what was written is not there after all; what was kept before stays.
            ResumeError: it can't be kept.
        """
        with suppress(OSError):  # what nobody reads was not written
            super().flush()
        check_written()
        if self._safe is None:
            if self.last == self._start:
                return
            self._safe = Position(self._epoch, self._start)
        there = self._position()
        if there.epoch == self._safe.epoch and self._safe.seq <= self.last <= there.seq:
            self._safe = Position(there.epoch, self.last)  # more may have been taken than was written
        self._resume.keep(self._safe)

    def _position(self) -> Position:
        return self._room.position if self._following else Position(self._epoch, self.last)
