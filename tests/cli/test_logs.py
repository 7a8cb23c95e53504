"""The log on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from tests.running import Start
from zchat.cli.logs import JsonFormatter, TextFormatter

HOSTILE = "bob\x1b[2J\x9b\n2026-01-01 00:00:00,000 ERROR zchat.broker: all is lost\r\u202e\x7f"


def record(message: str, failed: bool = False, **fields: object) -> logging.LogRecord:
    """Return a record as the broker's logger makes it."""
    error = None
    if failed:
        try:
            raise ValueError(message)
        except ValueError:
            error = sys.exc_info()
    made = logging.LogRecord("zchat.broker", logging.INFO, __file__, 1, "%s", (message,), error)
    made.created = 1_700_000_000.25
    made.__dict__["fields"] = fields
    return made


def test_a_hostile_name_makes_no_second_line_of_text_and_steers_nothing() -> None:
    line = TextFormatter().format(record(HOSTILE))
    assert line.isprintable()
    assert "INFO zchat.broker: bob␛[2J" in line


def test_a_tracebacks_lines_can_pass_for_no_event() -> None:
    first, *others = TextFormatter().format(record(HOSTILE, failed=True)).split("\n")
    assert first.isprintable()
    assert any("ValueError" in line for line in others)
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_an_event_is_one_json_object_with_what_it_is_about() -> None:
    line = JsonFormatter().format(record(HOSTILE, event="behind", room="General", user=HOSTILE, count=3))
    assert line.isascii()
    assert not re.search(r"[\x00-\x1f\x7f]", line), "nothing steers, no second line"
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "zchat.broker",
        "message": HOSTILE,
        "event": "behind",
        "room": "General",
        "user": HOSTILE,
        "count": 3,
    }


def test_a_traceback_is_a_field_of_the_json_object() -> None:
    line = JsonFormatter().format(record("no", failed=True))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: no")


@pytest.mark.parametrize("options", [[], ["--log-level", "debug"]])
def test_the_broker_logs_json_when_asked_to(start: Start, options: list[str]) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--log-format", "json", *options)
    running.until("clients: about")
    running.process.terminate()
    assert running.end() == 0
    events = [json.loads(line) for line in running.errors.splitlines()]
    assert [each["event"] for each in events] == ["listening", "stopped"]
    assert events[0].keys() == {"time", "level", "logger", "message", "event", "urls"}
    assert events[0]["urls"][0].startswith("tcp://127.0.0.1:")


def test_a_format_asked_for_behind_the_command_keeps_the_level_asked_for_before(start: Start) -> None:
    running = start(
        "--log-level", "error", "broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--log-format", "json"
    )
    running.until("clients: about")
    running.process.terminate()
    assert running.end() == 0
    assert running.errors == ""
