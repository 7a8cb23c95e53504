"""The SQLite store's file: what stands in it, how an older one is upgraded, and which are refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from tests.broker.store.driver import ALICE, BOB, DEADLINE, Clock, Driver, block
from tests.broker.store.sqlite.driver import refused, rows
from tests.running import ROOT
from zchat.broker.store.contract import (
    Duplicate,
    Marked,
    Stored,
)
from zchat.broker.store.epochs import MAX_EPOCHS
from zchat.broker.store.ledger import Ledger
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import StoreError

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
    assert store.store.read_marks() == [("General", "bob", 2)]
    store.stored(1, *"cdefgh", producer=BOB)
    assert store.marks() == [("General", "bob", 2)]


def test_a_file_with_a_mark_in_a_room_that_is_missing_is_refused(store: Driver, path: Path) -> None:
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO marks VALUES (1, 'bob', 7)")
    with pytest.raises(StoreError, match="a room, number 1, is missing: the file is damaged; restore a backup"):
        store.open()


# What can't be opened


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
    assert (store.texts(), store.store.read_marks()) == (["a", "b"], [])
    assert store.append(1, "a", "b") == Duplicate(1, 2, timestamp, stored.epoch)
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
