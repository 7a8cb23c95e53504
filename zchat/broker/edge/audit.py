"""The audit log: who came in, and what was done to whom, written by a thread of its own.

A slow or full disk stops nobody: lines wait, up to a bound, and how many are missing beyond it is a line once there is
room again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from threading import Lock
from time import monotonic
from typing import Protocol

from zchat.broker.edge.audit_file import AuditFile
from zchat.broker.figures.audit_trail import AuditLine, AuditTrail, Field
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.errors import BadAudit
from zchat.json_form import json_line
from zchat.logs import broker_log, ending_children
from zchat.threads import Bell, RealThread, start
from zchat.transport.keys import fingerprint

audit_log = logging.getLogger("zchat.audit")
# Names and addresses of people are in it: they get into no other log than that of a handler that is its own.
audit_log.propagate = False
audit_log.setLevel(logging.INFO)

MAX_WAITING = 10_000
"""Lines that may wait to be written, a few megabytes: ten seconds of as many as there can be, and mostly hours."""

TRY_EVERY = 1.0
"""Seconds between two tries to write what could not be written, and between two checks whether the file was moved."""

QUIET_CHECKS = 10
"""Checks, a second apart, in which lines waited and none was written, after which that is a trouble."""

MAX_TEXT = 1_000
"""Characters of one field: three times the longest of a broker's own."""

WRITING = "writing the audit log"
"""What fails then, as the log has it."""

_EPOCH = datetime(1970, 1, 1)

_FIRST = ("by", "via", "key", "address", "room", "user", "until", "reason", "text")
"""The fields that come first, after `at` and `event`."""


_fingerprint = lru_cache(1_000)(fingerprint)  # of the keys of a second's lines


class Core(Protocol):
    """What is asked of a broker's core."""

    audit: AuditTrail
    counters: Counters
    log_lines: LogLines


class AuditLog:
    """The lines on their way to the file and to the handlers of the logger `zchat.audit`.

    `place` is the file's path, True for the handlers alone, False if nothing is to be kept. `clock` returns the
    microseconds since 1970.
    """

    def __init__(self, place: str | bool, clock: Callable[[], int]) -> None:
        self._path = place if isinstance(place, str) else None
        self._file: AuditFile | None = None
        self._clock = clock
        self._on = place is not False
        self._lock = Lock()
        """Held to change what waits, never while a line is written."""
        self._waiting: deque[AuditLine] = deque()
        self._missing = 0  # lines that found no room, and that no line has reported
        self._lost = 0  # the same since the start
        self._done = 0  # lines that are written
        self._failing = ""  # why no line can be written
        self._checked = 0  # lines that were written at the last check
        self._quiet = 0  # checks since one was
        self._handed_on: AuditLine | None = None  # the last line that the logger's handlers were given
        self._handlers_fail = False  # with the line before
        self._follow_at = 0.0  # when it is next checked whether the file was moved
        self._asked = False
        self._begun = False
        self._over = False
        self._bell = Bell()
        self.thread = RealThread(self._run, "zchat-audit")
        """What writes, and calls the handlers."""
        self.due = 0.0 if self._on else inf
        """The time of the next check."""

    def start(self) -> None:
        """Open the file, and begin to write, if there is anywhere to write to.

        Raises:
            BadAudit: the file can't be used.
        """
        if not self._on:
            return
        file = None if self._path is None else AuditFile(self._path)
        try:
            self._file = file
            start(self.thread)
        except BaseException:
            if file is not None:
                file.undo()
            raise
        self._begun = True

    def record(self, event: str, *, key: str = "", **fields: Field) -> None:
        """Have a line written that is about the broker itself, with the fields that aren't empty. Any thread."""
        self.put([AuditLine(self._clock(), event, key, {name: each for name, each in fields.items() if each != ""})])

    def put(self, lines: Iterable[AuditLine]) -> None:
        """Have lines written soon; never waits. Any thread."""
        if not self._on:
            return
        with self._lock:
            for line in lines:
                if len(self._waiting) >= MAX_WAITING:
                    self._missing += 1
                    self._lost += 1
                else:
                    self._report_missing()
                    self._waiting.append(line)
        self._bell.ring()

    def follow(self) -> None:
        """Have the file opened anew if it was moved. Any thread."""
        self._asked = True
        self._bell.ring()

    def check(self, now: float, core: Core) -> None:
        """Report to the core whether lines can be written, and how many are missing. The loop's thread, when due."""
        self.due = now + TRY_EVERY
        core.counters.audit_left_out = core.audit.left_out + self._lost
        self._quiet = self._quiet + 1 if self._waiting and self._done == self._checked else 0
        self._checked = self._done
        if reason := self._failing:
            core.log_lines.trouble(WRITING, reason)
        elif self._quiet >= QUIET_CHECKS:
            core.log_lines.trouble(WRITING, f"for {QUIET_CHECKS * TRY_EVERY:g} s none of those that wait was written")
        elif not self._quiet:
            core.log_lines.well(WRITING)

    def close(self, seconds: float) -> None:
        """Write what waits, within so many seconds; what can't be is lost, and logged."""
        self._over = True
        if not self._begun:
            return
        self._bell.ring()
        self.thread.join(seconds)
        left = len(self._waiting) + self._missing
        if left:
            reason = self._failing or "they could not be written in time"
            text = "%d lines of the audit log are missing: %s"
            broker_log.error(text, left, reason, event="audit_left_behind", count=left, reason=reason)

    def _report_missing(self) -> None:
        """Put a line about those that found no room in their place; the lock is held."""
        if self._missing:
            fields: dict[str, Field] = {"reason": "not_written", "count": self._missing}
            self._waiting.append(AuditLine(self._clock(), "left_out", "", fields))
            self._missing = 0

    # -- the thread's --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    self._follow()
                    self._write()
                    self._failing = ""
                except BadAudit as error:
                    self._failing = str(error)
                except OSError as error:
                    self._failing = error.strerror or str(error)
                if self._over and self._failing:
                    return
        finally:
            if self._file is not None:
                self._file.close()

    def _wait(self) -> bool:
        """Wait until something is to be done; False if nothing is, and nothing ever will be."""
        self._bell.wait(self._is_called, TRY_EVERY if self._failing else None)
        return bool(self._waiting or self._missing or not self._over)

    def _is_called(self) -> bool:
        return bool(self._over or self._asked or ((self._waiting or self._missing) and not self._failing))

    def _follow(self) -> None:
        """Open the file anew if it was moved or removed; every second, or when asked to."""
        now = monotonic()
        if self._file is None or not (self._asked or now >= self._follow_at):
            self._asked = False
            return
        self._asked = False
        if self._file.follow():
            broker_log.info("the audit log was moved or removed, and begun anew", event="audit_reopened")
            self.record("reopened")
        self._follow_at = now + TRY_EVERY

    def _write(self) -> None:
        """Write the first of the lines that wait, if there is one."""
        with self._lock:
            if not self._waiting:
                self._report_missing()
            line = self._waiting[0] if self._waiting else None
        if line is None:
            return
        text = _text_of(line)
        if line is not self._handed_on:
            self._handed_on = line
            self._hand_on(text)
        if self._file is not None:
            self._file.write(text.encode() + b"\n")
        with self._lock:
            self._waiting.popleft()
        self._done += 1

    def _hand_on(self, text: str) -> None:
        try:
            with ending_children():
                audit_log.info("%s", text)
            self._handlers_fail = False
        except BaseException:  # a handler is the program's, and may raise anything
            if not self._handlers_fail:
                broker_log.exception("a handler of zchat.audit has failed", event="audit_handler_failed")
            self._handlers_fail = True


def _text_of(line: AuditLine) -> str:
    """Return a line as JSON in ASCII, without its end."""
    fields: dict[str, Field] = {"at": _time(line.at), "event": line.event}
    found = line.fields | ({"key": _fingerprint(line.key)} if line.key else {})
    for name in (*_FIRST, *found):
        if name in found and name not in fields:
            value = found[name]
            if isinstance(value, str):
                value = value[:MAX_TEXT]
            fields[name] = _time(value) if name == "until" and isinstance(value, int) else value
    return json_line(fields)


def _time(microseconds: int) -> str:
    """Return a time of UTC as ISO 8601 has it, with microseconds."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds") + "Z"
