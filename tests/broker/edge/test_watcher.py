"""The thread that reads a broker's keys and rules again and again."""

from __future__ import annotations

import logging
import math
import threading

import pytest

from tests.running import DEADLINE
from zchat.broker.edge import watcher
from zchat.broker.edge.watcher import Watcher


class Read:
    """Count readings; there is something new while `new`."""

    def __init__(self, new: bool) -> None:
        self.new = new
        self.readings = threading.Semaphore(0)

    def read_again(self) -> bool:
        self.readings.release()
        return self.new


def test_all_is_read_and_what_is_new_is_reported() -> None:
    changed = threading.Event()
    old, new = Read(False), Read(True)
    watching = Watcher([new, old], changed.set)
    watching.start()
    try:
        watching.read_now()
        assert changed.wait(DEADLINE)
        assert old.readings.acquire(timeout=DEADLINE), "also what comes after something new"
    finally:
        watching.close()
    assert not watching.thread.is_alive()


def test_it_reads_by_itself_and_reports_nothing_where_nothing_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "READ_EVERY", 0.01)
    old = Read(False)
    watching = Watcher([old], lambda: pytest.fail("nothing is new"))
    watching.start()
    try:
        for _ in range(3):
            assert old.readings.acquire(timeout=DEADLINE)
    finally:
        watching.close()


def test_without_anything_to_read_there_is_no_thread() -> None:
    watching = Watcher([], lambda: None)
    watching.start()
    assert not watching.thread.is_alive()
    watching.close()


def test_a_thread_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "JOIN_SECONDS", 0.01)
    entered, hanging = threading.Event(), threading.Event()

    class Hung:
        def read_again(self) -> bool:
            entered.set()
            return hanging.wait(DEADLINE)

    watching = Watcher([Hung()], lambda: None)
    watching.start()
    watching.read_now()
    assert entered.wait(DEADLINE)
    watching.close()
    assert watching.thread.is_alive()
    hanging.set()
    watching.thread.join(DEADLINE)


def test_one_that_fails_is_logged_once_and_the_others_are_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    monkeypatch.setattr(watcher, "READ_EVERY", 0.01)
    changed = threading.Event()
    well = Read(True)

    class Failing:
        left = 3

        def read_again(self) -> bool:
            self.left -= 1
            if self.left >= 0:
                raise ValueError("of all things")
            return False

    watching = Watcher([Failing(), well], changed.set)
    watching.start()
    try:
        for _ in range(5):
            assert well.readings.acquire(timeout=DEADLINE)
        assert changed.is_set()
    finally:
        watching.close()
    assert [record.getMessage() for record in caplog.records] == [
        "reading fails, and changes nothing: Failing: ValueError: of all things",
        "reading has recovered: Failing",
    ]


def test_a_thread_that_reads_no_more_is_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    old = Read(False)
    watching = Watcher([old], lambda: None)
    for _ in range(2 * watcher.QUIET_CHECKS):  # it was never started
        watching.check(watching.due)
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "read no more" in record.getMessage()
    watching.start()
    try:
        for _ in range(2):  # with the second the first is over
            watching.read_now()
            assert old.readings.acquire(timeout=DEADLINE)
    finally:
        watching.close()
    watching.check(watching.due)
    assert [record.getMessage() for record in caplog.records[1:]] == ["keys and rules are read again"]


def test_nothing_is_said_of_a_thread_that_reads_now_and_then_or_has_nothing_to_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Watcher([], lambda: None).due == math.inf
    watching = Watcher([Read(False)], lambda: None)
    for _ in range(3):
        for _ in range(watcher.QUIET_CHECKS - 1):
            watching.check(watching.due)
        watching._rounds += 1
        watching.check(watching.due)
    assert not caplog.records
