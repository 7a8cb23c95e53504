"""The audit log on its way to the file: nothing waits for it, nothing is lost in silence, no line can be forged."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import running
from tests.running import DEADLINE
from zchat.broker.edge import audit
from zchat.broker.edge.audit import MAX_TEXT, QUIET_CHECKS, WRITING, AuditLog
from zchat.broker.figures.audit_trail import AuditLine, AuditTrail
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.errors import BadAudit
from zchat.transport.keys import fingerprint, make

NOON = 1_700_000_000_123_456


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[AuditLog]:
    made = AuditLog(str(path), lambda: NOON)
    made.start()
    yield made
    made.close(DEADLINE)


class Disk:
    """A disk that takes what it is given, or has no room, or doesn't answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.tries = 0
        self.answers = Event()
        self.answers.set()
        self._write = os.write
        monkeypatch.setattr(audit, "TRY_EVERY", 0.01)
        monkeypatch.setattr("zchat.broker.edge.audit_file.os.write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        self.tries += 1
        assert self.answers.wait(DEADLINE)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)


@pytest.fixture
def disk(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.full = False
    disk.answers.set()


class Core:
    """What a core has of it."""

    def __init__(self) -> None:
        self.audit = AuditTrail(lambda: NOON)
        self.counters = Counters()
        self.log_lines = LogLines()


def eventually(true: Callable[[], object]) -> None:
    running.eventually(true, "the audit log's thread does not come to it")


def ban(number: int) -> AuditLine:
    return AuditLine(NOON, "ban", "", {"by": "alice", "user": f"user {number}"})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


# -- lines --------------------------------------------------------------------------------------------


def test_a_line_is_an_object_with_its_fields_in_one_order(path: Path, log: AuditLog) -> None:
    key = make("alice").public
    fields: dict[str, str | int] = {
        "count": 3,
        "reason": "spam",
        "until": NOON + 1,
        "room": "Ops",
        "user": "bob",
        "by": "alice",
    }
    log.put([AuditLine(NOON, "ban", key, fields)])
    log.close(DEADLINE)
    assert path.read_text() == (
        '{"at": "2023-11-14T22:13:20.123456Z", "event": "ban", "by": "alice", '
        f'"key": "{fingerprint(key)}", "room": "Ops", "user": "bob", '
        '"until": "2023-11-14T22:13:20.123457Z", "reason": "spam", "count": 3}\n'
    )
    assert key not in path.read_text(), "keys are shown as what a person can compare"


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["by", "room", "user", "reason", "text", "address"]), st.text()))
def test_nothing_in_a_line_can_end_it_or_reach_a_terminal(fields: dict[str, str]) -> None:
    text = audit._text_of(AuditLine(NOON, "kick", "", dict(fields)))
    assert all(" " <= character <= "~" for character in text)
    read = json.loads(text)
    assert {name: read[name] for name in fields} == fields
    assert (read["at"], read["event"]) == ("2023-11-14T22:13:20.123456Z", "kick")


@pytest.mark.parametrize(
    "name", ['x"}\n{"event": "ban', "\x1b]0;owned\x07", "\u202egnp.exe", "\x9b31m", "\r", "\u2028", "\ud800", "\x7f"]
)
def test_a_name_that_would_be_another_line_or_steer_a_terminal_is_a_string(
    path: Path, log: AuditLog, name: str
) -> None:
    log.record("kick", user=name)
    log.close(DEADLINE)
    assert [line["user"] for line in lines(path)] == [name]
    assert path.read_bytes().isascii()
    assert not {*path.read_bytes()[:-1]} & {*range(0x20), 0x7F}


def test_a_text_without_end_is_cut(path: Path, log: AuditLog) -> None:
    log.record("refused", text="x" * 1_000_000)
    log.close(DEADLINE)
    assert [line["text"] for line in lines(path)] == ["x" * MAX_TEXT]


# -- where they go --------------------------------------------------------------------------------------


def test_what_was_recorded_before_the_end_is_in_the_file(path: Path) -> None:
    log = AuditLog(str(path), lambda: NOON)
    log.record("keys_read", count=2)
    log.start()
    log.put(map(ban, range(500)))
    log.close(DEADLINE)
    assert [line["event"] for line in lines(path)] == ["keys_read", *["ban"] * 500]
    assert not log.thread.is_alive()


def test_what_can_t_be_opened_is_refused_and_a_start_that_fails_leaves_no_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadAudit):
        AuditLog(str(tmp_path), lambda: NOON).start()

    def no_more(thread: object) -> None:
        raise ValueError("no more threads")

    monkeypatch.setattr(audit, "start", no_more)
    log = AuditLog(str(path), lambda: NOON)
    with pytest.raises(ValueError, match="no more"):
        log.start()
    log.close(DEADLINE)
    assert not path.exists()


def test_without_a_place_nothing_is_kept() -> None:
    log = AuditLog(False, lambda: NOON)
    log.start()
    log.put(map(ban, range(10)))
    log.close(DEADLINE)
    assert not log.thread.is_alive()
    assert not log._waiting


class Handler(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def handling(name: str, handler: logging.Handler) -> Iterator[None]:
    """Have a logger's lines handled in the block."""
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def test_handlers_of_its_logger_get_the_lines_and_no_other_logger_s() -> None:
    own, others = Handler(), Handler()
    with handling("zchat.audit", own), handling("zchat", others), handling("", others):
        log = AuditLog(True, lambda: NOON)
        log.start()
        log.record("kick", by="%s", user="bob")
        log.close(DEADLINE)
    [line] = own.texts
    assert json.loads(line) | {"at": ""} == {"at": "", "event": "kick", "by": "%s", "user": "bob"}
    assert others.texts == []


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_handler_that_raises_keeps_no_line_from_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def emit(_: object) -> None:
        raise error

    handler = Handler()
    monkeypatch.setattr(handler, "emit", emit)
    with handling("zchat.audit", handler), handling("zchat.broker", handler):
        log = AuditLog(str(path), lambda: NOON)
        log.start()
        log.put(map(ban, range(3)))
        log.close(DEADLINE)
    assert len(lines(path)) == 3


def test_a_handler_that_raises_each_time_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "well" not in record.getMessage():
                raise ZeroDivisionError

    with handling("zchat.audit", Failing()):
        log = AuditLog(True, lambda: NOON)
        log.start()
        for event in ("kick", "kick", "well", "kick", "kick"):
            log.record(event)
        log.close(DEADLINE)
    assert caplog.messages.count("a handler of zchat.audit has failed") == 2, "once for as long as it fails"


def test_a_file_that_was_moved_is_followed_by_a_new_one_that_says_so(path: Path, log: AuditLog) -> None:
    log.put([ban(1)])
    eventually(lambda: not log._waiting)
    path.rename(path.with_name("audit.jsonl.1"))
    log.follow()
    eventually(path.exists)
    log.put([ban(2)])
    log.close(DEADLINE)
    assert [line["event"] for line in lines(path)] == ["reopened", "ban"]
    assert len(lines(path.with_name("audit.jsonl.1"))) == 1


def test_a_file_that_was_removed_is_noticed_before_a_line_is_lost(path: Path, log: AuditLog, disk: Disk) -> None:
    log.put([ban(1)])
    eventually(lambda: not log._waiting)
    path.unlink()
    log._follow_at = 0.0  # the second is over
    log.put([ban(2)])
    log.close(DEADLINE)
    assert {line["event"] for line in lines(path)} == {"reopened", "ban"}


def test_lines_wait_while_something_else_stands_in_the_place_of_the_file(path: Path, log: AuditLog, disk: Disk) -> None:
    path.unlink()
    path.mkdir()
    log.follow()
    log.put([ban(1)])
    eventually(lambda: "Is a directory" in log._failing)
    path.rmdir()
    eventually(lambda: not log._failing)
    log.close(DEADLINE)
    assert {line["event"] for line in lines(path)} == {"reopened", "ban"}


# -- a disk that is full or slow ------------------------------------------------------------------------


def test_on_a_full_disk_lines_wait_and_are_all_there_once_there_is_room(path: Path, log: AuditLog, disk: Disk) -> None:
    core = Core()
    disk.full = True
    log.put(map(ban, range(20)))
    eventually(lambda: disk.tries > 3)
    log.check(1.0, core)
    log.check(2.0, core)
    [line] = core.log_lines.take()
    assert (line.text, line.grave) == (f"{WRITING} fails: No space left on device", True)
    disk.full = False
    eventually(lambda: not log._waiting)
    eventually(lambda: not log._failing)
    log.check(3.0, core)
    for now in (4.0, 100.0):
        core.log_lines.tick(now)
    assert [line.text for line in core.log_lines.take()] == [f"{WRITING} has recovered"]
    assert [line["user"] for line in lines(path)] == [f"user {number}" for number in range(20)]
    assert core.counters.audit_left_out == 0


def test_what_finds_no_room_to_wait_is_counted_and_a_line_says_how_many_are_missing(
    path: Path, log: AuditLog, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 5)
    core = Core()
    core.audit.left_out = 100
    disk.full = True
    log.put(map(ban, range(12)))
    log.check(1.0, core)
    assert core.counters.audit_left_out == 107
    disk.full = False
    eventually(lambda: not log._waiting and not log._missing)
    log.put([ban(99)])
    log.close(DEADLINE)
    assert [line.get("user", line.get("count")) for line in lines(path)] == [
        *(f"user {number}" for number in range(5)),
        7,
        "user 99",
    ]
    assert lines(path)[5] | {"at": ""} == {"at": "", "event": "left_out", "reason": "not_written", "count": 7}


def test_the_count_of_what_is_missing_stands_where_it_is_missing(
    path: Path, log: AuditLog, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 5)
    disk.answers.clear()
    log.put(map(ban, range(8)))
    eventually(lambda: disk.tries)
    disk.answers.set()
    eventually(lambda: len(log._waiting) < 3)
    log.put([ban(8)])
    log.close(DEADLINE)
    found = [line["event"] for line in lines(path)]
    assert found == ["ban"] * 5 + ["left_out", "ban"]


def test_a_disk_that_does_not_answer_holds_up_nobody_and_is_no_secret(
    log: AuditLog, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core()
    disk.answers.clear()
    log.put([ban(1)])
    eventually(lambda: disk.tries)
    for now in range(QUIET_CHECKS + 2):
        log.put([ban(2)])
        log.check(float(now), core)
    [line] = core.log_lines.take()
    assert line.fields["what"] == WRITING
    assert "was written" in line.text
    log.close(0.01)
    [record] = [each for each in caplog.records if each.name == "zchat.broker"]
    assert "lines of the audit log are missing: they could not be written in time" in record.getMessage()
    disk.answers.set()
    log.thread.join(DEADLINE)
    assert not log._waiting, "in the end it has answered"


def test_one_that_is_busy_is_no_trouble(log: AuditLog) -> None:
    core = Core()
    for number in range(3 * QUIET_CHECKS):
        log.put([ban(number)])
        eventually(lambda: not log._waiting)
        with log._lock:  # the thread may not take it
            log._waiting.append(ban(0))  # as if another had come at once
            log.check(float(number), core)
            log._waiting.clear()
    assert core.log_lines.take() == []


def test_what_can_t_be_written_at_the_end_is_lost_and_logged(
    log: AuditLog, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.full = True
    log.put(map(ban, range(3)))
    eventually(lambda: log._failing)
    log.close(DEADLINE)
    [record] = [each for each in caplog.records if each.name == "zchat.broker"]
    assert record.getMessage() == "3 lines of the audit log are missing: No space left on device"
