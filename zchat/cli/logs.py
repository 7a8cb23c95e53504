"""The log on standard error: one line per event, as text or as JSON."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Condition, Lock
from typing import Any

import click
from click.core import ParameterSource

from zchat.cli.streams import Writing
from zchat.cli.text.safe import INDENT, safe
from zchat.json_form import json_line
from zchat.logs import FIELDS, broker_log
from zchat.threads import RealThread, start

LEVELS = ("debug", "info", "warning", "error")

FORMATS = ("text", "json")

DEFAULT_LEVEL = "info"
"""The level if only a format is given."""

UNASKED_LEVEL = "warning"
"""The level if nothing is asked for: what somebody should look after."""

QUEUE_SIZE = 1 << 20
"""Characters of lines that may wait to be written: the events of some minutes."""

FLUSH_SECONDS = 0.3
"""Seconds that the end of the command waits for the next line to be taken."""


class TextFormatter(logging.Formatter):
    """The formatter for text, in which nothing that others sent can steer the terminal or pass for a line.

    A traceback after an event's line is indented.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return an event as one line."""
        return _rows([safe(super().formatMessage(record))])

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        """Return a traceback in lines of its own."""
        lines = [INDENT + safe(line) for line in super().formatException(ei).split("\n")]
        return _rows(lines)


def _rows(lines: list[str]) -> str:
    """Return safe lines as what fits the terminal."""
    from zchat.cli.text.columns import terminal_text, terminal_width, wrapped  # takes long to load; see `load`

    width = terminal_width(sys.stderr)
    return terminal_text(wrapped(lines, width), width)


class JsonFormatter(logging.Formatter):
    """The formatter for JSON: one object in ASCII with `time`, `level`, `logger`, `message` and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= getattr(record, FIELDS, {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json_line(fields)


_LEVEL, _FORMAT = "zchat.log_level", "zchat.log_format"  # shared by the contexts of the program and a command
_GIVEN = "given: "
"""What the key of a value follows where the contexts keep whether it was on the command line."""


def _choose(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is None or parameter.name is None:
            return
        given = context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
        if given or not context.meta.get(_GIVEN + key):  # what was typed before the command stands before its file
            context.meta[key], context.meta[_GIVEN + key] = value, given
            begin(context.meta.get(_LEVEL, DEFAULT_LEVEL), context.meta.get(_FORMAT, "text"))

    return callback


class QueueHandler(logging.Handler):
    """The handler that writes to standard error in a thread of its own, so that a thread that logs never waits.

    Lines that find the queue full, or that can't be formatted or written, are dropped and counted; how many they are is
    an event of its own once lines are taken again. It raises nothing: `asyncio` logs in its loop, which that would end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        """How many lines were dropped."""
        self._reported = 0
        """How many of these the log has reported."""
        self._lines: deque[str] = deque()
        self._size = 0
        """How many characters wait, the line that is being written included."""
        self._changed = Condition(Lock())
        """Held to change the queue, never while a line is written."""
        self._cut = False
        """True if only a part of the line before was taken."""
        self._held = False
        """True while lines for a terminal wait, as something else is drawn there."""
        start(RealThread(self._run, "zchat-log"))

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written soon."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # what it requires can't be loaded, or the record is wrong
            with self._changed:
                self._drop()
            return
        with self._changed:
            if self._size + len(line) > QUEUE_SIZE:
                self._drop()
                return
            self._size += len(line)
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, for as long as lines are taken."""
        with self._changed:
            before = -1
            while self._size not in (0, before):
                before = self._size
                self._changed.wait(FLUSH_SECONDS)

    def hold(self, held: bool) -> None:
        """Have the lines for a terminal wait from now on, or no longer."""
        with self._changed:
            self._held = held
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            sink = Writing(sys.stderr.fileno(), "standard error")
        except (OSError, ValueError):  # it is no file
            sink = Writing(2, "standard error")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines and not (self._held and sink.isatty()))
                line = self._lines.popleft()
            taken = self._write(sink, line)
            with self._changed:
                self._size -= len(line)
                if not taken:
                    self._drop()
                missing = self.dropped - self._reported if taken and self._size < QUEUE_SIZE // 2 else 0
                self._changed.notify_all()
            if missing and self._write(sink, self._missing(missing)):
                self._reported += missing

    def _write(self, sink: Writing, text: str) -> bool:
        data = text.encode(sys.stderr.encoding, "backslashreplace")
        before = sink.written
        try:
            sink.write(b"\n" + data if self._cut else data)
        except OSError:
            self._cut = self._cut or sink.written > before
            return False
        self._cut = False
        return True

    def _drop(self) -> None:
        self.dropped += 1
        broker_log.dropped += 1

    def _missing(self, count: int) -> str:
        text = "%d lines of the log were dropped because they could not be written"
        record = logging.LogRecord("zchat.broker", logging.WARNING, __file__, 0, text, (count,), None)
        setattr(record, FIELDS, {"event": "log_dropped", "count": count})
        return self.format(record) + "\n"


_handlers: list[QueueHandler] = []
"""The handler of this process, once it logs."""


def begin(level: str = UNASKED_LEVEL, form: str = "text") -> None:
    """Log to standard error from a level up, in one of the `FORMATS`, as asked for the last time."""
    if not _handlers:
        _handlers.append(QueueHandler())
        logging.getLogger().addHandler(_handlers[0])
    _handlers[0].setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.getLogger().setLevel(level.upper())


@contextmanager
def held() -> Iterator[None]:
    """Have the log's lines wait until the block is left, if they go to a terminal: something else is drawn there."""
    for handler in _handlers:
        handler.hold(True)
    try:
        yield
    finally:
        for handler in _handlers:
            handler.hold(False)


def load() -> None:
    """Load what lines require, for a command that serves: it may have no descriptor left when it logs its first one."""
    import zchat.cli.text.columns  # noqa: F401


def is_json() -> bool:
    """Return True if events are logged as JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in _handlers)


log_level = click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    expose_value=False,
    callback=_choose(_LEVEL),
    help="Log to standard error, from this level up.  [default: warnings and errors]",
)

log_format = click.option(
    "--log-format",
    type=click.Choice(FORMATS, case_sensitive=False),
    expose_value=False,
    callback=_choose(_FORMAT),
    help=f"Log each event as a line of text or a JSON object; without --log-level, from {DEFAULT_LEVEL} up.",
)
