"""The log on standard error."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

import zchat as library
from tests.broker.raw import Raw
from tests.cli.outside import command, pipes, terminal
from tests.running import DEADLINE, ROOT, Start, eventually, read_now
from zchat.cli import logs
from zchat.cli.ending import LAST_SECONDS
from zchat.cli.logs import JsonFormatter, QueueHandler, TextFormatter

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
    where = ("--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--retain-days", "2.5", "--metrics", "127.0.0.1:*")
    running = start("broker", *where, "--log-format", "json", *options)
    eventually(lambda: '"listening"' in running.errors, "it listens")
    running.process.terminate()
    assert running.end() == 0
    assert running.text == "", "what is printed for people would be no JSON where a journal has both"
    events = [json.loads(line) for line in running.errors.splitlines()]
    metrics, listening, stopped = (each for each in events if each["level"] != "debug")
    assert metrics["event"] == "metrics"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", metrics["url"])
    assert listening.keys() - {"time", "clients", "message", "urls"} == {
        *("level", "logger", "event", "store", "new", "rooms", "messages", "retain_messages", "retain_days")
    }
    assert listening["urls"][0].startswith("tcp://127.0.0.1:")
    assert listening["clients"] > 10
    assert [listening[name] for name in ("event", "store", "new", "retain_days")] == ["listening", "memory:", True, 2.5]
    assert stopped["event"] == "stopped"
    assert stopped["counts"]["messages"] == 0
    assert stopped["uptime"] >= 0, "as of its last turn"
    assert re.fullmatch(
        r"stopped after \d+ s; messages stored: 0, delivered: 0; commands refused: 0", stopped["message"]
    )


def test_an_error_that_ends_the_command_is_an_event_too_where_the_log_is_json(start: Start, tmp_path: Path) -> None:
    running = start("broker", "--store", f"sqlite:{tmp_path}/no/z.db", "--log-format", "json")
    assert running.end() == 1
    (event,) = map(json.loads, running.errors.splitlines())
    assert (event["level"], event["event"]) == ("error", "error")
    assert "there is no folder" in event["message"]


def test_a_format_asked_for_after_the_command_keeps_the_level_asked_for_before(start: Start, tmp_path: Path) -> None:
    url = f"ipc://{tmp_path}/socket"
    running = start("--log-level", "error", "broker", "--bind", url, "--store", "memory:", "--log-format", "json")
    library.Client(url, user="bob", timeout=DEADLINE).close()
    running.process.terminate()
    assert running.end() == 0
    assert running.errors == ""


# -- nobody reads it -----------------------------------------------------------------------------------


def test_a_log_that_nobody_reads_stops_nobody_and_says_later_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipes(1) as (errors,), os.fdopen(os.dup(errors.into), "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        handler = QueueHandler()
        handler.setFormatter(JsonFormatter())
        count = 12_000
        for number in range(count):
            handler.handle(record(f"event {number}", event="behind"))
        assert 0 < handler.dropped < count
        lines: list[dict[str, object]] = []
        rest = b""

        def complete() -> bool:
            nonlocal rest
            *whole, rest = (rest + errors.read()).split(b"\n")
            lines.extend(map(json.loads, whole))
            return any(line["event"] == "log_dropped" for line in lines)

        eventually(complete, "it says so")
        handler.handle(record("the last", event="behind"))
        eventually(lambda: complete() and any(line["message"] == "the last" for line in lines), "it goes on")
        missing = [line["count"] for line in lines if line["event"] == "log_dropped"]
        assert missing == [handler.dropped]
        told = [line["message"] for line in lines if line["event"] == "behind"]
        assert len(told) == count - handler.dropped + 1
        assert told[-1] == "the last"
        numbers = [int(str(message).split()[1]) for message in told[:-1]]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("options", [[], ["--log-level", "debug"], ["--log-format", "json"]], ids=" ".join)
def test_a_broker_whose_log_nobody_reads_serves_and_stops_in_time(
    environment: dict[str, str], tmp_path: Path, options: list[str]
) -> None:
    url = f"ipc://{tmp_path / 'zchat'}"
    arguments = ("broker", "--bind", url, "--store", "memory:", *options)
    with pipes(2) as (out, errors), zmq.Context() as context:
        errors.fill()  # and of its output nobody reads anything either, but that fits
        with command(*arguments, environment=environment, stdout=out.into, stderr=errors.into) as process:
            with library.Client(url, user="bob", timeout=DEADLINE) as bob:
                room = bob.join("General")
                for number in range(1, 200):
                    raw = Raw(context, url, 10)
                    with raw.socket:
                        raw.greet(number)
                        raw.say(b"no frame of ours")
                        assert raw.hear()[0] == "error"
                    room.send(number, timeout=DEADLINE)
                assert bob.stats().counts["log_dropped"] == 0, "all of it waits"
            began = time.monotonic()
            process.terminate()
            assert process.wait(DEADLINE) == 0
            assert time.monotonic() - began < LAST_SECONDS - 1, "it is not ended by force"


def test_what_is_missing_in_the_log_is_counted_in_the_figures(environment: dict[str, str], tmp_path: Path) -> None:
    url = f"ipc://{tmp_path / 'zchat'}"
    arguments = ("broker", "--bind", url, "--store", "memory:", "--log-level", "info")
    with pipes(1) as (out,), open("/dev/full", "w") as full:
        running = command(*arguments, environment=environment, stdout=out.into, stderr=full.fileno())
        with running, library.Client(url, user="bob") as bob:
            eventually(lambda: bob.stats().counts["log_dropped"] == 1, "the event of its start is missing")


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), RecursionError(), ImportError()])
def test_a_line_that_can_not_be_formatted_is_counted_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What a loop logs that has no descriptor left would otherwise end that loop."""

    class Failing(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            if record.getMessage() == "one":
                raise error
            return super().format(record)

    with pipes(1) as (errors,), os.fdopen(os.dup(errors.into), "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        handler = QueueHandler()
        handler.setFormatter(Failing())
        handler.handle(record("one"))
        assert handler.dropped == 1
        handler.handle(record("another"))
        data = b""

        def complete() -> bool:
            nonlocal data
            data += errors.read()
            return b"log_dropped" in data

        eventually(complete, "it says so")
        assert [json.loads(line)["message"] for line in data.splitlines()] == [
            "another",
            "1 lines of the log were dropped because they could not be written",
        ]


WITHOUT_DESCRIPTORS = """
import logging, resource, sys
from zchat.cli import logs
assert "zchat.cli.text.columns" not in sys.modules
logs.load()
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
record = logging.LogRecord("zchat.web", logging.WARNING, "", 1, "said all the same", (), None)
print(logs.TextFormatter().format(record))
"""


def test_a_command_that_serves_can_log_its_first_line_without_a_descriptor() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "WARNING zchat.web: said all the same" in run.stdout


def test_a_line_that_was_taken_in_part_does_not_swallow_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def full_after_one(descriptor: int, data: bytes) -> int:
        taken.append(written(descriptor, data) if len(taken) != 1 else 0)
        if len(taken) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken[-1]

    with pipes(1) as (errors,), os.fdopen(os.dup(errors.into), "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        written = os.write
        monkeypatch.setattr("zchat.cli.streams.os.write", full_after_one)
        handler = QueueHandler()
        handler.setFormatter(JsonFormatter())
        handler.handle(record("x" * 8_000, event="behind"))
        handler.handle(record("whole", event="behind"))
        data = b""

        def complete() -> bool:
            nonlocal data
            data += errors.read()
            return b"log_dropped" in data

        eventually(complete, "the next one is taken")
        part, *others, rest = data.split(b"\n")
        assert part.endswith(b"xxx")
        assert [json.loads(line)["event"] for line in others] == ["behind", "log_dropped"]
        assert rest == b""


@pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])
def test_what_is_logged_for_a_terminal_waits_while_something_else_is_drawn_there(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    with (
        terminal() as (own, other),
        pipes(1) as (errors,),
        os.fdopen(os.dup(other if on_terminal else errors.into), "w") as stream,
    ):
        monkeypatch.setattr("sys.stderr", stream)
        handler = QueueHandler()
        monkeypatch.setattr(logs, "_handlers", [handler])
        handler.setFormatter(JsonFormatter())
        with logs.held():
            handler.handle(record("said", event="behind"))
            handler.flush()
            assert (b"said" in (read_now(own) + errors.read())) is not on_terminal
        handler.flush()
        assert (b"said" in read_now(own)) is on_terminal
