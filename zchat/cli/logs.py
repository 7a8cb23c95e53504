"""The log on standard error: one line per event, as text or as JSON."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from zchat.broker.loop import FIELDS
from zchat.cli.text.columns import terminal_width, wrapped
from zchat.cli.text.safe import INDENT, safe
from zchat.json_form import json_line

LEVELS = ("debug", "info", "warning", "error")

FORMATS = ("text", "json")

DEFAULT_LEVEL = "info"
"""The level if only a format is given."""


class TextFormatter(logging.Formatter):
    """The formatter for text, in which nothing that others sent can steer the terminal or pass for a line.

    A traceback after an event's line is indented.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return an event as one line."""
        return "\n".join(wrapped([safe(super().formatMessage(record))], terminal_width(sys.stderr)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        """Return a traceback in lines of its own."""
        lines = [INDENT + safe(line) for line in super().formatException(ei).split("\n")]
        return "\n".join(wrapped(lines, terminal_width(sys.stderr)))


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


def _choose(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta[key] = value
            _begin(context.meta.get(_LEVEL, DEFAULT_LEVEL), context.meta.get(_FORMAT, "text"))

    return callback


def _begin(level: str, form: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


log_level = click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    expose_value=False,
    callback=_choose(_LEVEL),
    help="Log to standard error, from this level up.  [default: no log]",
)

log_format = click.option(
    "--log-format",
    type=click.Choice(FORMATS, case_sensitive=False),
    expose_value=False,
    callback=_choose(_FORMAT),
    help=f"Log each event as a line of text or a JSON object; without --log-level, from {DEFAULT_LEVEL} up.",
)
