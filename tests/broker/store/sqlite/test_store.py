from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import msgpack
import pytest

from tests.broker.store.driver import ALICE, BOB, DEADLINE, Clock, Driver, block
from tests.running import ROOT
from zchat.broker.store.contract import (
    Appended,
    Duplicate,
    Failed,
    ForgottenProducer,
    Full,
    Marked,
    Page,
    Stored,
    Trimmed,
)
from zchat.broker.store.epochs import MAX_EPOCHS
from zchat.broker.store.ledger import Ledger
from zchat.broker.store.sqlite import committer, reader, schema
from zchat.broker.store.sqlite.store import POLL_PAGES, SqliteStore
from zchat.errors import StoreError, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "z.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Driver]]:
    """Give a function that opens a store on the file, for `SqliteStore`'s options."""
    drivers: list[Driver] = []

    def make(**options: Any) -> Driver:
        drivers.append(Driver(lambda clock: SqliteStore(path, clock, **options), keeps=True))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.store.close()


@pytest.fixture
def store(opened: Callable[..., Driver]) -> Driver:
    return opened()


class Gate:
    """Hold up the thread that commits, so that what a test appends waits for one commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        turn = committer.Committer._turn

        def held(committer: committer.Committer, tasks: list[committer.Task]) -> None:
            self.reached.set()
            assert self.open.wait(DEADLINE)
            turn(committer, tasks)

        monkeypatch.setattr(committer.Committer, "_turn", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


@pytest.fixture
def full(opened: Callable[..., Driver]) -> Driver:
    """Give a store with a few blocks in it, whose disk has place for a few more."""
    driver = opened(max_pages=30)
    for number in range(1, 5):
        driver.stored(number, "x" * 20_000)
    return driver


def fill(driver: Driver, number: int, count: int = 20) -> list[Appended]:
    """Append more large blocks than there is place for, all at once, and return the answers."""
    answers: list[Appended] = []
    for each in range(number, number + count):
        driver.store.append(block(each, "x" * 20_000), answers.append)
    driver.wait(lambda: len(answers) == count)
    return answers


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# A disk that is full


def test_a_block_that_meets_a_full_disk_fails_and_so_does_all_behind_it_in_order(full: Driver) -> None:
    answers = fill(full, 5)
    kinds = [type(answer) for answer in answers]
    stored = kinds.count(Stored)
    assert kinds == [Stored] * stored + [Failed] * (20 - stored)
    failed = answers[-1]
    assert isinstance(failed, Failed)
    assert "database or disk is full" in failed.reason
    assert [message.seq for message in full.messages()] == list(range(1, 5 + stored))


def test_reading_goes_on_while_the_disk_is_full(full: Driver) -> None:
    fill(full, 5)
    assert full.blocks()[0].first == 1
    assert isinstance(full.append(5, "x" * 300_000), Failed)
    assert full.blocks(1)[0].first == 2


def test_a_block_that_failed_uses_up_no_number_and_is_stored_when_there_is_room(full: Driver) -> None:
    number = next(number for number in range(5, 99) if isinstance(full.append(number, "x" * 20_000), Failed))
    before = full.blocks()[-1].last
    assert full.trim(keep=2) == Trimmed(before - 1, False)
    again = full.stored(number, "x" * 20_000)
    assert again.block.first == before + 1
    assert full.append(number, "x" * 20_000) == Duplicate(before + 1, 1, full.clock.now)
    assert [message.seq for message in full.messages()] == [before - 1, before, before + 1]


def test_answers_that_wait_behind_a_block_that_fails_fail_with_it(full: Driver, gate: Gate) -> None:
    answers: list[Appended] = []
    for number in (5, 5, 7, 6):  # stored, the same again, out of order, stored: if there were room
        full.store.append(block(number, "x" * 300_000), answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 4)
    assert [type(answer) for answer in answers] == [Failed] * 4


def test_what_is_asked_in_the_moment_of_the_failure_is_decided_on_what_the_file_has(full: Driver) -> None:
    answers: list[Appended] = []

    def retry(answer: Appended) -> None:
        answers.append(answer)
        full.store.append(block(5, "small"), answers.append)

    full.store.append(block(5, "x" * 300_000), retry)
    full.wait(lambda: len(answers) == 2)
    assert isinstance(answers[0], Failed)
    assert isinstance(answers[1], Stored)
    assert answers[1].block.first == 5


def test_a_room_that_begins_anew_after_a_failure_is_no_other_rooms_log(full: Driver, gate: Gate) -> None:
    answers: list[Any] = []
    full.store.append(block(1, "x" * 300_000, room="Lost"), answers.append)
    full.store.read("Lost", 0, 9, 9, answers.append)
    full.store.trim("Lost", 1, 0, answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 3)
    assert {type(answer) for answer in answers} == {Failed, Page, Trimmed}
    full.stored(1, "a", "b", room="Other")
    assert full.texts("Lost") == []
    full.stored(1, "c", room="Lost")
    assert (full.texts("Other"), full.texts("Lost")) == (["a", "b"], ["c"])


def test_who_said_goodbye_while_the_disk_failed_is_forgotten_all_the_same(full: Driver) -> None:
    answers: list[Appended] = []
    full.store.append(block(5, "x" * 300_000), answers.append)
    full.store.forget(ALICE)
    full.wait(lambda: len(answers) == 1)
    assert isinstance(answers[0], Failed)
    for _ in range(2):
        assert full.append(5, "small") == ForgottenProducer()
        full.reopen()


def test_marks_that_wait_behind_a_block_that_fails_fail_with_it_and_those_of_the_file_stand(
    full: Driver, gate: Gate
) -> None:
    gate.open.set()
    full.mark(1)
    gate.open.clear()
    answers: list[Any] = []
    full.store.append(block(5, "x" * 300_000), answers.append)
    for seq, user in ((3, "bob"), (2, "bob"), (4, "carol")):
        full.store.mark("General", user, seq, answers.append)
    full.store.mark("Nowhere", "bob", 1, answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 5)
    assert {type(answer) for answer in answers} == {Failed}
    assert {answer.reason for answer in answers} == {answers[0].reason}
    assert full.store.marks() == [("General", "bob", 1)]
    assert (full.mark(2), full.mark(1, "carol")) == (Marked(2), Marked(1))
    assert full.marks() == [("General", "bob", 2), ("General", "carol", 1)]


def test_a_mark_that_failed_is_not_written_by_a_later_commit(full: Driver, gate: Gate) -> None:
    answers: list[Any] = []
    full.store.append(block(5, "x" * 300_000), answers.append)
    assert gate.reached.wait(DEADLINE)
    full.store.mark("General", "bob", 3, answers.append)
    full.store.forget(ALICE)  # which is committed although what was decided before it failed
    gate.open.set()
    full.wait(lambda: len(answers) == 2)
    assert {type(answer) for answer in answers} == {Failed}
    assert full.append(5, "small") == ForgottenProducer()
    assert full.marks() == []


def test_a_mark_asked_for_in_the_moment_of_the_failure_is_decided_on_what_the_file_has(full: Driver) -> None:
    answers: list[Any] = []

    def retry(answer: object) -> None:
        answers.append(answer)
        full.store.mark("General", "bob", 2, answers.append)

    full.store.append(block(5, "x" * 300_000), answers.append)
    full.store.mark("General", "bob", 3, retry)
    full.wait(lambda: len(answers) == 3)
    assert [type(answer) for answer in answers] == [Failed, Failed, Marked]
    assert answers[2] == Marked(2)
    assert full.marks() == [("General", "bob", 2)]


def test_a_mark_in_a_room_whose_first_block_fails_fails_and_is_no_other_rooms(full: Driver, gate: Gate) -> None:
    answers: list[Any] = []
    full.store.append(block(1, "x" * 300_000, room="Lost"), answers.append)
    full.store.mark("Lost", "bob", 1, answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 2)
    assert {type(answer) for answer in answers} == {Failed}
    full.stored(1, "a", room="Other")
    assert isinstance(full.mark(1, room="Lost"), Failed)
    assert full.marks() == []


def test_marks_fail_while_the_file_can_not_be_read_and_are_taken_when_it_can(
    full: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.mark(1)
    load = schema.load
    broken = itertools.count()

    def fails_for_a_while(connection: sqlite3.Connection, clock: Clock) -> Any:
        if next(broken) < 2:
            raise sqlite3.OperationalError("disk I/O error")
        return load(connection, clock)

    monkeypatch.setattr(schema, "load", fails_for_a_while)
    assert isinstance(full.append(5, "x" * 300_000), Failed)
    for seq in (1, 2):  # which a spoilt ledger would answer at once, and write
        assert full.mark(seq) == Failed(f"{full.store._path}: disk I/O error")  # type: ignore[attr-defined]
    assert full.mark(2) == Marked(2)
    assert full.marks() == [("General", "bob", 2)]


def test_an_epoch_begins_after_a_failure(full: Driver) -> None:
    first = full.stored(5, "before").epoch
    assert isinstance(full.append(6, "x" * 300_000), Failed)
    second = full.stored(6, "after")
    assert second.epoch != first
    (log,) = full.reopen()
    assert [epoch.first for epoch in log.epochs] == [1, second.block.first]


def test_a_file_that_can_not_be_read_again_is_tried_again_with_what_comes_next(
    full: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = schema.load
    broken = itertools.count()

    def fails_for_a_while(connection: sqlite3.Connection, clock: Clock) -> Any:
        if next(broken) < 4:
            raise sqlite3.OperationalError("disk I/O error")
        return load(connection, clock)

    monkeypatch.setattr(schema, "load", fails_for_a_while)
    assert isinstance(full.append(5, "x" * 300_000), Failed)
    assert full.trim(keep=1) == Failed(f"{full.store._path}: disk I/O error")  # type: ignore[attr-defined]
    for number in (5, 7, 6):  # which a spoilt ledger would take for the same again, too far ahead, and the next
        assert full.append(number, "small") == Failed(f"{full.store._path}: disk I/O error")  # type: ignore[attr-defined]
    assert full.stored(5, "small").block.first == 5


def test_a_store_closes_while_its_file_can_not_be_read(full: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: sqlite3.Connection, clock: Clock) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "load", fails)
        assert isinstance(full.append(5, "x" * 300_000), Failed)
        answers: list[Appended] = []
        full.store.append(block(5, "small"), answers.append)
        full.store.close()
        assert [type(answer) for answer in answers] == [Failed]
    full.open()
    assert full.stored(5, "small").block.first == 5


def test_a_file_that_another_program_has_locked_fails_what_waits_for_it(
    opened: Callable[..., Driver], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
    store = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.append(1, "a") == Failed(f"{path}: database is locked")
        other.execute("COMMIT")
        assert store.stored(1, "a").block.first == 1
        other.execute("BEGIN IMMEDIATE")
        assert store.mark(1) == Failed(f"{path}: database is locked")
        other.execute("COMMIT")
    assert store.store.marks() == []
    assert store.mark(1) == Marked(1)


def test_a_trim_that_fails_harms_nothing(store: Driver, path: Path) -> None:
    store.say("a", "b")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TRIGGER no BEFORE DELETE ON blocks BEGIN SELECT RAISE(ABORT, 'no'); END")
        assert store.trim(keep=1) == Failed(f"{path}: no")
        other.execute("DROP TRIGGER no")
    assert store.texts() == ["a", "b"]
    assert store.trim(keep=1) == Trimmed(2, False)


def test_a_read_that_fails_says_why(store: Driver, path: Path) -> None:
    store.say("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("ALTER TABLE blocks RENAME TO hidden")
        assert store.answer(store.store.read, "General", 0, 9, 9) == Failed(f"{path}: no such table: blocks")
        other.execute("ALTER TABLE hidden RENAME TO blocks")
    assert store.texts() == ["a"]


@pytest.mark.parametrize(("thread", "step"), [(committer.Committer, "_trim"), (reader.Reader, "_read")])
def test_a_thread_that_dies_is_told_of_and_the_store_still_closes(
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


# Commits, queues, closing


def test_nothing_can_be_read_before_it_is_committed(store: Driver, gate: Gate) -> None:
    answers: list[Appended] = []
    store.store.append(block(1, "a"), answers.append)
    assert gate.reached.wait(DEADLINE)
    assert store.blocks() == []
    assert answers == []
    gate.open.set()
    store.wait(lambda: answers)
    assert store.texts() == ["a"]


def test_what_arrives_during_a_commit_goes_into_the_next_one_together(
    store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    commit = committer.Committer._commit

    def counted(committer: committer.Committer, connection: sqlite3.Connection, tasks: list[committer.Task]) -> None:
        sizes.append(len(tasks))
        commit(committer, connection, tasks)

    monkeypatch.setattr(committer.Committer, "_commit", counted)
    monkeypatch.setattr(committer, "COMMIT_BLOCKS", 20)
    answers: list[Appended] = []
    store.store.append(block(1, "1"), answers.append)
    assert gate.reached.wait(DEADLINE)
    for number in range(2, 32):
        store.store.append(block(number, f"{number}"), answers.append)
    gate.open.set()
    store.wait(lambda: len(answers) == 31)
    assert sizes == [1, 20, 10]


def test_a_commit_takes_no_more_than_its_bytes(store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "COMMIT_BYTES", 1000)
    answers: list[Appended] = []
    for number in range(1, 5):
        store.store.append(block(number, "x" * 600), answers.append)
    gate.open.set()
    store.wait(lambda: len(answers) == 4)
    assert [message.seq for message in store.messages()] == [1, 2, 3, 4]


@pytest.mark.parametrize(("bound", "value"), [("QUEUE_BLOCKS", 3), ("QUEUE_BYTES", 40)])
def test_more_blocks_than_may_wait_are_refused_at_once(
    store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(f"zchat.broker.store.sqlite.store.{bound}", value)
    answers: list[Appended] = []
    for number in range(1, 4):
        store.store.append(block(number, "x" * 10), answers.append)
    assert answers == []
    assert isinstance(store.append(4, "x" * 10), Full)
    gate.open.set()
    store.wait(lambda: len(answers) == 3)
    assert store.stored(4, "x" * 10).block.first == 4


def test_marks_wait_for_their_commit_and_the_last_of_those_in_it_stands(store: Driver, gate: Gate, path: Path) -> None:
    answers: list[object] = []
    store.store.append(block(1, *"abcde"), answers.append)
    assert gate.reached.wait(DEADLINE)
    for seq, user in ((2, "bob"), (1, "carol"), (4, "bob"), (3, "bob"), (4, "bob")):
        store.store.mark("General", user, seq, answers.append)
    store.store.poll()
    assert answers == []
    gate.open.set()
    store.wait(lambda: len(answers) == 6)
    assert answers[1:] == [Marked(seq) for seq in (2, 1, 4, 4, 4)]
    assert rows(path, "SELECT room, user, seq FROM marks") == [(1, "bob", 4), (1, "carol", 1)]


def test_more_marks_than_may_wait_are_refused_at_once_and_blocks_are_not(
    store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_MARKS", 2)
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_BLOCKS", 2)
    answers: list[Any] = []
    store.store.append(block(1, *"abc"), answers.append)
    for seq in (1, 2):
        store.store.mark("General", "bob", seq, answers.append)
    assert isinstance(store.mark(3), Full)
    store.store.append(block(2, "d"), answers.append)
    assert isinstance(store.append(3, "e"), Full)
    assert answers == []
    gate.open.set()
    store.wait(lambda: len(answers) == 4)
    assert [type(answer) for answer in answers] == [Stored, Marked, Marked, Stored]
    assert store.mark(4) == Marked(4)
    assert store.stored(3, "e").block.first == 5


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


def test_more_pages_than_are_read_ahead_all_come(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    store.say("a")
    pages: list[object] = []
    for _ in range(3 * reader.READY_PAGES):
        store.store.read("General", 0, 9, 9, pages.append)
    store.wait(lambda: len(pages) == 3 * reader.READY_PAGES)
    assert all(isinstance(page, Page) and page.blocks for page in pages)


def test_one_poll_hands_over_a_bounded_number_of_pages_and_asks_for_another(store: Driver) -> None:
    store.say("a")
    pages: list[object] = []
    for _ in range(2 * POLL_PAGES):
        store.store.read("General", 0, 9, 9, pages.append)
    end = time.monotonic() + DEADLINE
    while len(store.store._reads._pages) < 2 * POLL_PAGES:  # type: ignore[attr-defined]
        assert time.monotonic() < end
    store._woken.clear()
    store.store.poll()
    assert len(pages) == POLL_PAGES
    assert store._woken.is_set()
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
        store.store.mark("General", f"user{number}", 1 + number % 3, answers.append)
    store.store.close()
    assert answers == [Marked(1 + number % 3) for number in range(100)]
    store.open()
    assert len(store.store.marks()) == 100


def test_closing_answers_every_read_and_trim(store: Driver) -> None:
    store.say(*"abc")
    answers: list[object] = []
    for _ in range(3 * reader.READY_PAGES):
        store.store.read("General", 0, 9, 9, answers.append)
    store.store.trim("General", 1, 0, answers.append)
    store.store.close()
    assert len(answers) == 3 * reader.READY_PAGES + 1


def test_closing_does_not_wait_for_a_disk_that_hangs(store: Driver, gate: Gate, path: Path) -> None:
    answers: list[object] = []
    store.store.append(block(1, "a"), answers.append)
    store.store.read("General", 0, 9, 9, answers.append)
    store.store.trim("General", 1, 0, answers.append)
    store.store.mark("General", "bob", 1, answers.append)
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
    store.store.mark("General", "bob", 1, answers.append)
    store.store.forget(ALICE)
    assert answers == [Failed("the store is closed")] * 4


def test_a_closed_store_is_one_file_and_a_lock(store: Driver, path: Path) -> None:
    store.say("a")
    store.store.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["z.db", "z.db.lock"]


def test_a_long_log_is_copied_into_the_file_as_it_grows(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "CHECKPOINT_BYTES", 100_000)
    for number in range(1, 51):
        store.stored(number, "x" * 20_000)
    assert path.stat().st_size > 500_000
    assert path.with_name("z.db-wal").stat().st_size < 500_000


# What is in the file


def test_the_file_says_what_was_stored(store: Driver, path: Path) -> None:
    for number in (1, 2):
        store.stored(number, "a", "b", room="Other")
    store.stored(1, "c", producer=BOB)
    now = store.clock.now
    assert rows(path, "SELECT id, name, first, last, timestamp FROM rooms") == [
        (1, "Other", 1, 4, now),
        (2, "General", 1, 1, now),
    ]
    assert rows(path, "SELECT id, first, timestamp, producer, number FROM blocks") == [
        ((1 << 40) + 2, 1, now, ALICE, 1),
        ((1 << 40) + 4, 3, now, ALICE, 2),
        ((2 << 40) + 1, 1, now, BOB, 1),
    ]
    ((results,),) = rows(path, "SELECT results FROM producers WHERE room = 1")
    assert msgpack.unpackb(results) == [1, 2, now, 3, 2, now]
    assert rows(path, "PRAGMA application_id") == [(0x7A636874,)]
    assert rows(path, "PRAGMA user_version") == [(len(schema.UPGRADES),)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_old_epochs_are_removed_and_the_newest_stay(store: Driver, path: Path) -> None:
    store.say("a", "b")
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO epochs VALUES (1, ?, 7)", [(first,) for first in range(2, MAX_EPOCHS + 10)])
    for _ in range(2):
        (log,) = store.open()
        assert len(log.epochs) == MAX_EPOCHS
        assert log.epochs[-1] == (7, MAX_EPOCHS + 9)
        store.store.close()
        assert rows(path, "SELECT count(*), max(first) FROM epochs") == [(MAX_EPOCHS, MAX_EPOCHS + 9)]


def test_a_producer_of_long_ago_is_removed_from_the_file(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    store.clock.now += 86_400_000_000
    store.stored(1, "b", producer=BOB)
    store.reopen()
    assert rows(path, "SELECT producer FROM producers") == [(BOB,)]


def test_everything_acknowledged_survives_a_kill(path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.broker.store.sqlite.writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout
    with writer.stdout as output:
        lines = [output.readline() for _ in range(100)]
        writer.kill()
        lines += [line for line in output if line.endswith("\n")]
    writer.wait(DEADLINE)
    told = dict(line.split() for line in lines)  # the last of each
    acknowledged, marked = int(told["stored"]), int(told["marked"])
    driver = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    messages = driver.messages()
    ((room, user, mark),) = driver.store.marks()
    again = driver.append(acknowledged // 3, "again")
    driver.store.close()
    assert len(messages) >= acknowledged >= 100
    assert (room, user) == ("General", "bob")
    assert len(messages) >= mark >= marked >= 50
    assert [(message.seq, message.body) for message in messages] == [
        (seq, f"{(seq + 2) // 3}") for seq in range(1, len(messages) + 1)
    ]
    assert isinstance(again, Duplicate)
    assert driver.logs[0].last == len(messages)
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_the_newest_epochs_of_each_room_are_those_that_are_remembered(store: Driver, path: Path) -> None:
    store.say("a")
    store.say("b", room="Other")
    with closing(sqlite3.connect(path)) as connection, connection:
        many = [(2, first, first) for first in range(2, MAX_EPOCHS + 10)]
        connection.executemany("INSERT INTO epochs VALUES (?, ?, ?)", [(1, 9, 9), *many])
        ledger = schema.load(connection, store.clock)
    assert list(ledger.rooms["General"].epochs)[1:] == [(9, 9)]
    assert list(ledger.rooms["Other"].epochs) == [(first, first) for _, first, _ in many[-MAX_EPOCHS:]]


def test_a_file_whose_tables_do_not_fit_together_is_refused(store: Driver, path: Path) -> None:
    store.say("a")
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM rooms")
    for _ in range(2):  # the lock is let go
        with pytest.raises(StoreError, match="damaged; restore a backup"):
            store.open()


def test_a_mark_beyond_a_log_that_lost_its_tail_goes_back_to_its_end_and_does_not_grow_with_it(
    store: Driver, path: Path
) -> None:
    store.stored(1, "a", "b")
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO marks VALUES (1, 'bob', 7)")
    store.open()
    assert store.store.marks() == [("General", "bob", 2)]
    store.stored(1, *"cdefgh", producer=BOB)
    assert store.marks() == [("General", "bob", 2)]


def test_a_file_with_a_mark_in_a_room_that_is_missing_is_refused(store: Driver, path: Path) -> None:
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO marks VALUES (1, 'bob', 7)")
    with pytest.raises(StoreError, match="a room, number 1, is missing: the file is damaged; restore a backup"):
        store.open()


# What can't be opened


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        SqliteStore(path).open(lambda: None)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_two_brokers_can_not_have_one_file(store: Driver, path: Path) -> None:
    text = refused(path)
    assert "another broker has" in text
    assert "stop it or use another file" in text
    store.say("still fine")
    store.reopen()


def test_two_brokers_can_not_have_one_file_under_two_names(store: Driver, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(StoreError, match="another broker"):
        SqliteStore(link).open(lambda: None)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE t (x)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 7; CREATE TABLE rooms (x)",
    ],
)
def test_a_database_of_another_program_is_left_alone(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    before = path.read_bytes()
    assert "is a database of another program; give the store a file of its own" in refused(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["z.db"]


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("dear diary, " * 100)
    assert "file is not a database" in refused(path)
    assert path.read_text() == "dear diary, " * 100
    assert os.listdir(path.parent) == ["z.db"]


def test_a_file_of_a_newer_zchat_is_refused(store: Driver, path: Path) -> None:
    store.store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.UPGRADES) + 1}")
    assert "was written by a newer zchat" in refused(path)


def test_a_file_of_an_older_zchat_is_upgraded(store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.say("a")

    def add_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE rooms ADD COLUMN topic TEXT")

    monkeypatch.setattr(schema, "UPGRADES", (*schema.UPGRADES, add_column))
    store.reopen()
    assert store.texts() == ["a"]
    assert rows(path, "PRAGMA user_version") == [(len(schema.UPGRADES),)]
    assert rows(path, "SELECT topic FROM rooms") == [(None,)]


def test_a_file_of_the_first_version_keeps_its_messages_and_takes_marks(
    path: Path, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with monkeypatch.context() as patch, closing(schema.connect(path, "FULL")) as connection:
        patch.setattr(schema, "UPGRADES", schema.UPGRADES[:1])
        schema.set_up(connection, path)
        stored = Ledger(clock).append(block(1, "a", "b"))
        assert isinstance(stored, Stored)
        first, last, timestamp, producer, data = stored.block
        results = msgpack.packb([first, last, timestamp])
        connection.execute("INSERT INTO rooms VALUES (1, 'General', 1, ?, ?)", (last, timestamp))
        connection.execute("INSERT INTO epochs VALUES (1, 1, ?)", (stored.epoch,))
        connection.execute("INSERT INTO producers VALUES (?, 1, 1, ?, ?)", (producer, results, timestamp))
        key = schema.key(1, last)
        connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, 1, ?)", (key, first, timestamp, producer, data))
    assert rows(path, "PRAGMA user_version") == [(1,)]
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'marks'") == []
    store = opened()
    assert (store.texts(), store.store.marks()) == (["a", "b"], [])
    assert store.append(1, "a", "b") == Duplicate(1, 2, timestamp)
    assert store.mark(1) == Marked(1)
    assert store.marks() == [("General", "bob", 1)]
    assert rows(path, "PRAGMA user_version") == [(2,)]


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.say("a")
    store.store.close()

    def breaks(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE rooms ADD COLUMN topic TEXT")
        connection.execute("no such statement")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "UPGRADES", (*schema.UPGRADES, breaks))
        assert "can't be used as a store" in refused(path)
    store.open()
    assert store.texts() == ["a"]


def test_an_empty_file_becomes_a_store(path: Path, opened: Callable[..., Driver]) -> None:
    path.touch()
    opened().say("a")
    assert rows(path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]


def test_places_that_can_not_hold_a_store_are_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a folder; name a file in it" in refused(tmp_path)
    assert "mend that, or name another file" in refused(tmp_path / "file" / "z.db")
    assert "mend that, or name another file" in refused(tmp_path / "file" / "folder" / "z.db")
    assert "mend that, or name another file" in refused(tmp_path / ("x" * 300))
    assert "mend that, or name another file" in refused(tmp_path / "nul\0.db")


OPENS = """
import os, sys
from zchat.broker.store.sqlite.store import POLL_PAGES, SqliteStore
from zchat.errors import StoreError

if os.geteuid() == 0:  # who may write everywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.chdir(sys.argv[1])
os.makedirs("locked")
for path in ("z.db", "locked/z.db"):
    store = SqliteStore(path)
    store.open(lambda: None)
    store.close()
os.chmod("z.db", 0o400)
os.remove("locked/z.db")
os.remove("locked/z.db.lock")
os.chmod("locked", 0o500)
for path in ("z.db", "locked/z.db"):
    try:
        SqliteStore(path).open(lambda: None)
    except StoreError as error:
        print(error)
sys.stdout.flush()
os._exit(0)  # whoever measures coverage can't write it down as this user
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such permissions")
def test_a_folder_or_file_that_must_not_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o777)
        run = subprocess.run(
            [sys.executable, "-c", OPENS, folder], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
        )
    assert (run.returncode, run.stderr) == (0, "")
    assert [("Permission denied" in line, "z.db" in line) for line in run.stdout.splitlines()] == [(True, True)] * 2


def test_a_place_without_write_ahead_logs_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "JOURNAL_MODE", "delete")
    assert "put the store on a local disk" in refused(path)


def test_only_the_owner_can_read_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "z.db"
    driver = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    driver.say("a")
    made = {
        each.name: each.stat().st_mode & 0o777 for each in [path.parent, path.parent.parent, *path.parent.iterdir()]
    }
    driver.store.close()
    assert made.pop("new") == made.pop("folder") == 0o700
    assert set(made) == {"z.db", "z.db-wal", "z.db-shm", "z.db.lock"}
    assert set(made.values()) == {0o600}


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
