"""The SQLite store's commits: what goes into one, what waits for it, and what a full or failing disk does."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.broker.store.driver import ALICE, Clock, Driver, block, duplicate
from tests.broker.store.sqlite.driver import Gate, fill, rows
from tests.running import DEADLINE
from zchat.broker.store.contract import (
    Appended,
    Failed,
    ForgottenProducer,
    Full,
    LogPage,
    Marked,
    Stored,
    Trimmed,
)
from zchat.broker.store.sqlite import committer, schema
from zchat.errors import StoreError

# A disk that is full


def test_a_block_that_meets_a_full_disk_fails_and_so_does_all_after_it_in_order(full: Driver) -> None:
    answers = fill(full, 5)
    kinds = [type(answer) for answer in answers]
    stored = kinds.count(Stored)
    assert kinds == [Stored] * stored + [Failed] * (20 - stored)
    failed = answers[-1]
    assert isinstance(failed, Failed)
    assert "database or disk is full" in failed.reason
    assert [message.seq for message in full.messages()] == list(range(1, 5 + stored))


def test_reading_goes_on_while_the_disk_is_full(full: Driver) -> None:
    answers = fill(full, 5)
    stored = sum(isinstance(answer, Stored) for answer in answers)  # all that a commit before the last could take
    assert full.blocks()[0].first == 1
    assert isinstance(full.append(5 + stored, "x" * 300_000), Failed)
    assert full.blocks(1)[0].first == 2


def test_a_block_that_failed_uses_up_no_number_and_is_stored_when_there_is_room(full: Driver) -> None:
    number = next(number for number in range(5, 99) if isinstance(full.append(number, "x" * 20_000), Failed))
    before = full.blocks()[-1].last
    assert full.trim(keep=2) == Trimmed(before - 1, False)
    again = full.stored(number, "x" * 20_000)
    assert again.block.first == before + 1
    assert full.append(number, "x" * 20_000) == duplicate(again)
    assert [message.seq for message in full.messages()] == [before - 1, before, before + 1]


def test_answers_that_wait_after_a_block_that_fails_fail_with_it(full: Driver, gate: Gate) -> None:
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
    assert {type(answer) for answer in answers} == {Failed, LogPage, Trimmed}
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


def test_marks_that_wait_after_a_block_that_fails_fail_with_it_and_those_of_the_file_stand(
    full: Driver, gate: Gate
) -> None:
    gate.open.set()
    full.mark(1)
    gate.open.clear()
    answers: list[Any] = []
    full.store.append(block(5, "x" * 300_000), answers.append)
    for seq, user in ((3, "bob"), (2, "bob"), (4, "carol")):
        full.store.set_read_mark("General", user, seq, answers.append)
    full.store.set_read_mark("Nowhere", "bob", 1, answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 5)
    assert {type(answer) for answer in answers} == {Failed}
    assert {answer.reason for answer in answers} == {answers[0].reason}
    assert full.store.read_marks() == [("General", "bob", 1)]
    assert (full.mark(2), full.mark(1, "carol")) == (Marked(2), Marked(1))
    assert full.marks() == [("General", "bob", 2), ("General", "carol", 1)]


def test_a_mark_that_failed_is_not_written_by_a_later_commit(full: Driver, gate: Gate) -> None:
    answers: list[Any] = []
    full.store.append(block(5, "x" * 300_000), answers.append)
    assert gate.reached.wait(DEADLINE)
    full.store.set_read_mark("General", "bob", 3, answers.append)
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
        full.store.set_read_mark("General", "bob", 2, answers.append)

    full.store.append(block(5, "x" * 300_000), answers.append)
    full.store.set_read_mark("General", "bob", 3, retry)
    full.wait(lambda: len(answers) == 3)
    assert [type(answer) for answer in answers] == [Failed, Failed, Marked]
    assert answers[2] == Marked(2)
    assert full.marks() == [("General", "bob", 2)]


def test_a_mark_in_a_room_whose_first_block_fails_fails_and_is_no_other_rooms(full: Driver, gate: Gate) -> None:
    answers: list[Any] = []
    full.store.append(block(1, "x" * 300_000, room="Lost"), answers.append)
    full.store.set_read_mark("Lost", "bob", 1, answers.append)
    gate.open.set()
    full.wait(lambda: len(answers) == 2)
    assert {type(answer) for answer in answers} == {Failed}
    full.stored(1, "a", room="Other")
    assert isinstance(full.mark(1, room="Lost"), Full)
    assert full.marks() == []


def test_marks_fail_while_the_file_can_not_be_read_and_are_taken_when_it_can(
    full: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.mark(1)
    load = schema.load
    broken = itertools.count()

    def fails_for_a_while(connection: sqlite3.Connection, clock: Clock, *, quotas: bool) -> Any:
        if next(broken) < 2:
            raise sqlite3.OperationalError("disk I/O error")
        return load(connection, clock, quotas=quotas)

    monkeypatch.setattr(schema, "load", fails_for_a_while)
    assert isinstance(full.append(5, "x" * 300_000), Failed)
    for seq in (1, 2):  # which a spoilt ledger would answer at once, and write
        assert full.mark(seq) == Failed(f"{path}: disk I/O error")
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
    full: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = schema.load
    broken = itertools.count()

    def fails_for_a_while(connection: sqlite3.Connection, clock: Clock, *, quotas: bool) -> Any:
        if next(broken) < 4:
            raise sqlite3.OperationalError("disk I/O error")
        return load(connection, clock, quotas=quotas)

    monkeypatch.setattr(schema, "load", fails_for_a_while)
    assert isinstance(full.append(5, "x" * 300_000), Failed)
    assert full.trim(keep=1) == Failed(f"{path}: disk I/O error")
    for number in (5, 7, 6):  # which a spoilt ledger would take for the same again, too far ahead, and the next
        assert full.append(number, "small") == Failed(f"{path}: disk I/O error")
    assert full.stored(5, "small").block.first == 5


def test_a_store_closes_while_its_file_can_not_be_read(full: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: sqlite3.Connection, clock: Clock, *, quotas: bool) -> Any:
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
    assert store.store.read_marks() == []
    assert store.mark(1) == Marked(1)


def test_a_trim_that_fails_harms_nothing(store: Driver, path: Path) -> None:
    store.say("a", "b")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TRIGGER no BEFORE DELETE ON blocks BEGIN SELECT RAISE(ABORT, 'no'); END")
        assert store.trim(keep=1) == Failed(f"{path}: no")
        other.execute("DROP TRIGGER no")
    assert store.texts() == ["a", "b"]
    assert store.trim(keep=1) == Trimmed(2, False)


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
        store.store.set_read_mark("General", user, seq, answers.append)
    store.store.poll(store.reports)
    assert answers == []
    gate.open.set()
    store.wait(lambda: len(answers) == 6)
    assert answers[1:] == [Marked(seq) for seq in (2, 1, 4, 4, 4)]
    assert rows(path, "SELECT room, user, seq FROM marks") == [(1, "bob", 4), (1, "carol", 1)]


def test_more_marks_than_may_wait_are_refused_at_once_and_blocks_are_not(
    store: Driver, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_OTHERS", 2)
    monkeypatch.setattr("zchat.broker.store.sqlite.store.QUEUE_BLOCKS", 2)
    answers: list[Any] = []
    store.store.append(block(1, *"abc"), answers.append)
    for seq in (1, 2):
        store.store.set_read_mark("General", "bob", seq, answers.append)
    assert isinstance(store.mark(3), Full)
    store.store.append(block(2, "d"), answers.append)
    assert isinstance(store.append(3, "e"), Full)
    assert answers == []
    gate.open.set()
    store.wait(lambda: len(answers) == 4)
    assert [type(answer) for answer in answers] == [Stored, Marked, Marked, Stored]
    assert store.mark(4) == Marked(4)
    assert store.stored(3, "e").block.first == 5


def test_a_long_log_is_copied_into_the_file_as_it_grows(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "CHECKPOINT_BYTES", 100_000)
    for number in range(1, 51):
        store.stored(number, "x" * 20_000)
    assert path.stat().st_size > 500_000
    assert path.with_name("z.db-wal").stat().st_size < 500_000


@pytest.mark.parametrize("word", ["impose", "lift"])
def test_a_sanction_whose_commit_failed_and_is_in_the_file_all_the_same_is_reported(
    store: Driver, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    def commit_and_fail(*arguments: Any) -> NoReturn:
        commit(*arguments)
        raise StoreError("the files have moved")

    ban = store.impose("ban").sanction
    commit = committer.Committer._commit
    with monkeypatch.context() as patch:
        patch.setattr(committer.Committer, "_commit", commit_and_fail)
        assert isinstance(getattr(store, word)("ban"), Failed)
    there = [ban._replace(number=2)] if word == "impose" else []
    assert store.store.sanctions() == there
    assert store.reports.of("recovered")[-1] == (there,)
