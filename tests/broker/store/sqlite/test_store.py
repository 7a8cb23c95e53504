"""The SQLite store as a whole: its threads, its bounds, its end, and what survives a kill."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.broker.store.driver import ALICE, Driver, block
from tests.broker.store.sqlite.driver import Gate, rows
from tests.running import DEADLINE, ROOT
from zchat.broker.store.contract import (
    Appended,
    Duplicate,
    Failed,
    Full,
    Marked,
    Stored,
)
from zchat.broker.store.pages import READY_PAGES
from zchat.broker.store.sqlite import committer, reader
from zchat.broker.store.sqlite.store import POLL_PAGES, SqliteStore
from zchat.errors import StoreError, UsageError


@pytest.mark.parametrize(("thread", "step"), [(committer.Committer, "_trim"), (reader.Reader, "_read")])
def test_a_thread_that_dies_is_reported_and_the_store_still_closes(
    store: Driver, monkeypatch: pytest.MonkeyPatch, thread: type, step: str
) -> None:
    def fail(self: object, task: object) -> NoReturn:
        raise MemoryError("no place")

    store.say("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(thread, step, fail)
        answers: list[object] = []
        store.store.trim("General", 1, 0, answers.append)
        store.store.read("General", 0, 9, 9, answers.append)
        with pytest.raises(StoreError, match=r"MemoryError.*no place") as caught:
            store.wait(lambda: False)
        assert isinstance(caught.value.__cause__, MemoryError)
        store.store.close()
    assert len(answers) == 2
    store.open()
    assert store.texts()[-1] == "b"


def test_more_reads_or_trims_than_may_wait_are_refused_at_once(
    store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_READS", 1)
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_TRIMS", 1)
    answers: list[Any] = []
    store.store.append(block(1, "a"), answers.append)
    for _ in range(2):
        store.store.read("General", 0, 9, 9, answers.append)
        store.store.trim("General", 1, 0, answers.append)
    assert [type(answer) for answer in answers] == [Full, Failed]
    gate.open.set()
    store.wait(lambda: len(answers) == 5)


def test_one_poll_hands_over_a_bounded_number_of_pages_and_asks_for_another(store: Driver) -> None:
    store.say("a")
    pages: list[object] = []
    for _ in range(2 * POLL_PAGES):
        store.store.read("General", 0, 9, 9, pages.append)
    end = time.monotonic() + DEADLINE
    while len(store.store._reads._pages) < 2 * POLL_PAGES:  # type: ignore[attr-defined]
        assert time.monotonic() < end
    store.woken.clear()
    store.store.poll(store.reports)
    assert len(pages) == POLL_PAGES
    assert store.woken.is_set()
    store.wait(lambda: len(pages) == 2 * POLL_PAGES)


def test_closing_commits_and_answers_what_was_appended(store: Driver) -> None:
    answers: list[Appended] = []
    for number in range(1, 101):
        store.store.append(block(number, f"{number}"), answers.append)
    store.store.close()
    assert [answer.block.first for answer in answers if isinstance(answer, Stored)] == list(range(1, 101))
    store.open()
    assert len(store.texts()) == 100


def test_closing_commits_and_answers_every_mark(store: Driver) -> None:
    store.stored(1, *"abc")
    answers: list[object] = []
    for number in range(100):
        store.store.set_read_mark("General", f"user{number}", 1 + number % 3, answers.append)
    store.store.close()
    assert answers == [Marked(1 + number % 3) for number in range(100)]
    store.open()
    assert len(store.store.read_marks()) == 100


def test_closing_answers_every_read_and_trim(store: Driver) -> None:
    store.say(*"abc")
    answers: list[object] = []
    for _ in range(3 * READY_PAGES):
        store.store.read("General", 0, 9, 9, answers.append)
    store.store.trim("General", 1, 0, answers.append)
    store.store.close()
    assert len(answers) == 3 * READY_PAGES + 1


def test_closing_does_not_wait_for_a_disk_that_hangs(store: Driver, gate: Gate, path: Path) -> None:
    answers: list[object] = []
    store.store.append(block(1, "a"), answers.append)
    store.store.read("General", 0, 9, 9, answers.append)
    store.store.trim("General", 1, 0, answers.append)
    store.store.set_read_mark("General", "bob", 1, answers.append)
    assert gate.reached.wait(DEADLINE)
    store.store.close(0.01)
    assert [type(answer) for answer in answers] == [Failed] * 4
    with pytest.raises(StoreError, match="another broker"):
        SqliteStore(path).open(lambda: None)


def test_a_closed_store_says_so(store: Driver) -> None:
    store.store.close()
    answers: list[object] = []
    store.store.append(block(1, "a"), answers.append)
    store.store.read("General", 0, 9, 9, answers.append)
    store.store.trim("General", 1, 0, answers.append)
    store.store.set_read_mark("General", "bob", 1, answers.append)
    store.store.forget(ALICE)
    assert answers == [Failed("the store is closed")] * 4


def test_a_closed_store_is_one_file_and_a_lock(store: Driver, path: Path) -> None:
    store.say("a")
    store.store.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["z.db", "z.db.lock"]


def test_everything_acknowledged_survives_a_kill(path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.broker.store.sqlite.writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout
    with writer.stdout as output:
        lines = [output.readline() for _ in range(150)]
        writer.kill()
        lines += [line for line in output if line.endswith("\n")]
    writer.wait(DEADLINE)
    told = dict(line.split() for line in lines)  # the last of each
    acknowledged, marked, imposed = int(told["stored"]), int(told["marked"]), int(told["imposed"])
    driver = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    messages = driver.messages()
    ((room, user, mark),) = driver.store.read_marks()
    banned = [int(each.user.removeprefix("user")) for each in driver.store.sanctions()]
    again = driver.append(acknowledged // 3, "again")
    driver.store.close()
    assert len(messages) >= acknowledged >= 100
    assert (room, user) == ("General", "bob")
    assert len(messages) >= mark >= marked >= 50
    assert len(messages) >= banned[-1] >= imposed >= 50
    assert banned == list(range(3, banned[-1] + 1, 3))
    assert [(message.seq, message.body) for message in messages] == [
        (seq, f"{(seq + 2) // 3}") for seq in range(1, len(messages) + 1)
    ]
    assert isinstance(again, Duplicate)
    assert driver.logs[0].last == len(messages)
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_name_with_marks_of_a_url_is_just_a_name(tmp_path: Path) -> None:
    path = tmp_path / "what? 100%#ä.db"
    driver = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    driver.say("a")
    assert driver.texts() == ["a"]
    driver.store.close()
    assert path.exists()


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = SqliteStore("~/z.db")
    store.open(lambda: None)
    store.close()
    assert (tmp_path / "z.db").exists()


def test_a_durability_that_does_not_exist_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="FULL or NORMAL"):
        SqliteStore(path, synchronous="OFF")
