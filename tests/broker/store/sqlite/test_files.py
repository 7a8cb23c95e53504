"""The store's files while others move, remove and replace them, and what a start that fails leaves of them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY as ANYTHING

import pytest

import zchat
from tests.broker.raw import ANY
from tests.broker.store.driver import BOB, Driver
from tests.broker.store.sqlite.driver import refused
from tests.running import DEADLINE, ROOT, eventually
from zchat.broker import Broker
from zchat.broker.store.contract import Failed, Stored
from zchat.broker.store.sqlite import committer
from zchat.broker.store.sqlite.files import StoreFiles
from zchat.broker.store.sqlite.store import SqliteStore


def files(path: Path) -> list[Path]:
    """Return the store's files, those that SQLite has beside it too."""
    return sorted(path.parent.glob(f"{path.name}*"))


def remove(path: Path) -> None:
    for each in files(path):
        each.unlink()


def replace(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy"))
    os.replace(path.with_name("copy"), path)


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


MOVES: dict[str, tuple[Callable[[Path], object], str]] = {
    "all removed": (remove, "z.db is missing"),
    "the database removed": (lambda path: path.unlink(), "z.db is missing"),
    "the database moved": (lambda path: path.rename(path.with_name("old.db")), "z.db is missing"),
    "the database replaced": (replace, "z.db was replaced"),
    "the log removed": (lambda path: path.with_name("z.db-wal").unlink(), "z.db-wal is missing"),
    "the log's index removed": (lambda path: path.with_name("z.db-shm").unlink(), "z.db-shm is missing"),
    "the folder renamed": (rename_folder, "z.db is missing"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "z.db"


def failed(store: Driver, number: int = 1) -> str:
    """Return why a block is not stored."""
    answer = store.append(number, "lost", producer=BOB)
    assert isinstance(answer, Failed), answer
    return answer.reason


@pytest.mark.parametrize("move", MOVES)
def test_nothing_is_acknowledged_once_the_files_have_moved_and_reading_goes_on(
    store: Driver, path: Path, move: str
) -> None:
    store.say("kept")
    act, reason = MOVES[move]
    act(path)
    left = files(path)
    assert reason in failed(store)
    assert reason in failed(store)
    assert isinstance(store.mark(1), Failed)
    assert files(path) == left, "nothing is made again"
    assert store.texts() == ["kept"]
    assert not store.reports.of("grew")[1:]


@pytest.mark.parametrize("move", MOVES)
def test_it_is_noticed_when_nothing_is_stored(
    opened: Callable[..., Driver], path: Path, move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "CHECK_SECONDS", 0.02)
    store = opened()
    act, reason = MOVES[move]
    act(path)
    store.wait(lambda: store.reports.of("failed"))
    ((text,),) = store.reports.of("failed")
    assert reason in text


def test_files_that_are_put_back_are_written_to_again_without_a_hole(store: Driver, path: Path) -> None:
    store.say("a")
    away = path.parent.with_name("away")
    path.parent.rename(away)
    failed(store)
    failed(store)
    away.rename(path.parent)
    assert store.append(1, "b", producer=BOB) == Failed(ANYTHING), "decided on what was there before"
    assert isinstance(store.append(1, "b", producer=BOB), Stored)
    store.reopen()
    assert [(message.seq, message.body) for message in store.messages()] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("when", ["before", "within"])
def test_nothing_is_acknowledged_once_the_log_was_emptied_in_place_and_the_database_stays_sound(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    store.say("kept")
    store.reopen()  # which folds it in
    store.say("lost")
    log = path.with_name("z.db-wal")
    check = StoreFiles.check_log

    def checked(files: StoreFiles, *, written: bool = False) -> None:
        monkeypatch.setattr(StoreFiles, "check_log", check)
        os.truncate(log, 0)
        files.check_log(written=written)

    if when == "before":
        os.truncate(log, 0)
    else:
        monkeypatch.setattr(StoreFiles, "check_log", checked)
    assert "z.db-wal was emptied" in failed(store)
    assert "z.db-wal was emptied" in failed(store)
    assert isinstance(store.mark(1), Failed)
    store.reopen()
    assert store.texts() == ["kept"]
    store.say("and this")
    store.reopen()
    assert store.texts() == ["kept", "and this"]


def test_a_log_that_was_emptied_with_nothing_stored_after_it_is_reported_at_the_end(store: Driver, path: Path) -> None:
    store.say("lost")
    os.truncate(path.with_name("z.db-wal"), 0)
    assert "z.db-wal was emptied" in store.store.close()


def test_a_log_that_another_program_has_had_sqlite_fold_in_is_no_fault(store: Driver, path: Path) -> None:
    store.say("a")
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not path.with_name("z.db-wal").stat().st_size
    store.say("b")
    store.reopen()
    assert store.texts() == ["a", "b"]


def test_what_was_acknowledged_before_the_log_was_removed_is_kept_even_by_a_broker_that_is_killed(
    store: Driver, path: Path, tmp_path: Path
) -> None:
    store.say("a", "b", "c")
    path.with_name("z.db-wal").unlink()
    failed(store)
    left = tmp_path / "left.db"  # by a kill
    shutil.copyfile(path, left)
    other = Driver(lambda clock: SqliteStore(left, clock), keeps=True)
    assert other.texts()[:3] == ["a", "b", "c"]
    other.store.close()


def test_the_end_of_a_broker_whose_files_were_removed_does_no_harm_to_the_next_one(store: Driver, path: Path) -> None:
    store.say("lost")
    remove(path)
    next_one = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    next_one.say("kept")
    failed(store)
    store.store.close()
    next_one.say("and this")
    assert [each.name for each in files(path)] == ["z.db", "z.db-shm", "z.db-wal", "z.db.lock"]
    next_one.reopen()
    assert next_one.texts() == ["kept", "and this"]
    next_one.store.close()


def test_a_sender_is_notified_within_seconds_and_so_is_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "zchat.broker")
    with Broker(ANY, store=f"sqlite:{path}") as broker, zchat.Client(broker.url, user="alice") as alice:
        room = alice.join("General")
        room.send("kept")
        remove(path)

        def lines() -> list[str]:
            return [record.message for record in caplog.records if record.levelname == "ERROR"]

        eventually(lines, "it is logged, though nobody sends")
        with pytest.raises(zchat.StoreFailed, match=r"z\.db is missing") as caught:
            room.send("lost")
        assert caught.value.retryable
        assert [message.body for message in alice.history("General")] == ["kept"]
    assert [line for line in lines() if "storing fails" in line and "z.db is missing" in line] == lines()
    assert len(lines()) == 1


# More names than one


def test_a_hard_link_lets_no_second_broker_in(store: Driver, path: Path, tmp_path: Path) -> None:
    store.say("a")
    link = tmp_path / "link.db"
    os.link(path, link)
    assert "another broker has" in refused(link)
    opens = f"from zchat.broker.store.sqlite.store import SqliteStore; SqliteStore({str(link)!r}).open(lambda: None)"
    run = subprocess.run([sys.executable, "-c", opens], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert "another broker has" in run.stderr
    assert [each.name for each in files(link)] == ["link.db"]
    store.say("b")
    assert store.reopen()
    assert store.texts() == ["a", "b"]


LEAVES_WAL = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=0) as connection:
    print(connection.execute("PRAGMA journal_mode = DELETE").fetchone())
"""


def test_a_refused_broker_of_the_same_process_leaves_sqlites_own_locks_alone(
    store: Driver, path: Path, tmp_path: Path
) -> None:
    os.link(path, tmp_path / "link.db")
    for name in (path, tmp_path / "link.db"):
        refused(name)
    run = subprocess.run(
        [sys.executable, "-c", LEAVES_WAL, path], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert "database is locked" in run.stderr


def test_a_lock_that_is_removed_lets_no_second_broker_in(store: Driver, path: Path) -> None:
    lock = path.with_name("z.db.lock")
    lock.unlink()
    assert "another broker has" in refused(path)
    assert not lock.exists()


def test_a_log_that_a_killed_broker_left_beside_another_name_is_not_passed_over(
    store: Driver, path: Path, tmp_path: Path
) -> None:
    store.say("a")
    shutil.copytree(path.parent, tmp_path / "killed")
    path = tmp_path / "killed" / "z.db"
    link = tmp_path / "link.db"
    os.link(path, link)
    assert "a hard link" in refused(link)
    assert [each.name for each in files(link)] == ["link.db"]
    again = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    assert again.texts() == ["a"]
    again.store.close()


# A start that fails


@pytest.mark.parametrize(
    "bind",
    ["tcp://127.0.0.1:{port}", "tcp://999.0.0.1:5555", "tcp://127.0.0.1", "nonsense"],
)
def test_a_broker_that_can_not_listen_leaves_nothing_behind(tmp_path: Path, bind: str) -> None:
    with Broker(ANY) as other:
        port = other.url.rpartition(":")[2]
        with (
            pytest.raises(zchat.AddressError),
            Broker(ANY, bind.format(port=port), store=f"sqlite:{tmp_path}/z.db"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_broker_whose_room_has_a_bad_name_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(zchat.BadName), Broker(ANY, store=f"sqlite:{tmp_path}/z.db", rooms=["a\ufe00"]):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_can_not_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "z.db-wal").mkdir()
    refused(tmp_path / "z.db")
    assert [each.name for each in tmp_path.iterdir()] == ["z.db-wal"]
    refused(tmp_path / ("x" * 252))  # whose lock has a name that is too long
    assert [each.name for each in tmp_path.iterdir()] == ["z.db-wal"]


def test_a_folder_that_is_not_there_is_not_made_for_it_may_not_be_mounted(tmp_path: Path) -> None:
    assert "there is no folder" in refused(tmp_path / "mounted" / "z.db")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_can_not_be_folded_in_at_the_end_is_reported(store: Driver, path: Path) -> None:
    store.say("a")
    with closing(sqlite3.connect(path)) as reading:
        reading.execute("BEGIN").execute("SELECT * FROM rooms").fetchall()
        store.say("b")
        left = store.store.close()
    assert left.startswith(f"{path}-wal could not be folded into z.db and belongs to it")
    store.open()
    assert store.texts() == ["a", "b"]
    assert store.store.close() == ""


def test_what_was_there_before_stays_when_a_start_fails(store: Driver, path: Path) -> None:
    store.say("a")
    store.store.close()
    path.with_name("z.db.lock").unlink()
    with pytest.raises(zchat.AddressError), Broker("tcp://999.0.0.1:5555", store=f"sqlite:{path}"):
        pass
    assert files(path) == [path]
    store.open()
    assert store.texts() == ["a"]
