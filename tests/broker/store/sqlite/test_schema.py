"""The SQLite store's file: what stands in it, how an older one is upgraded, and which are refused."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from tests.broker.store.driver import ALICE, BOB, Clock, Driver, block
from tests.broker.store.sqlite.driver import refused, rows
from tests.running import DEADLINE, ROOT
from zchat.broker.store.contract import (
    Duplicate,
    Marked,
    RoomLog,
    Stored,
)
from zchat.broker.store.epochs import MAX_EPOCHS, Epoch
from zchat.broker.store.ledger import Ledger
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import StoreError
from zchat.messages import Message

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
    assert sorted(rows(path, "SELECT producer FROM producers")) == [(ALICE,), (BOB,)], "the clock may be wrong"
    store.expire()
    store.store.close()
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
        connection.execute("INSERT INTO marks VALUES (1, 'bob', 7, 0)")
    store.open()
    assert store.store.read_marks() == [("General", "bob", 2)]
    store.stored(1, *"cdefgh", producer=BOB)
    assert store.marks() == [("General", "bob", 2)]


def test_a_file_with_a_mark_in_a_room_that_is_missing_is_refused(store: Driver, path: Path) -> None:
    store.store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO marks VALUES (1, 'bob', 7, 0)")
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
    assert rows(path, "PRAGMA user_version") == [(len(schema.UPGRADES),)]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_an_older_version_takes_sanctions_and_is_then_refused_by_the_older_zchat(
    version: int, path: Path, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, closing(schema.connect(path, "FULL")) as connection:
        patch.setattr(schema, "UPGRADES", schema.UPGRADES[:version])
        schema.set_up(connection, path)
        connection.execute("INSERT INTO rooms (id, name, first, last, timestamp) VALUES (1, 'General', 1, 0, 0)")
    store = opened()
    assert store.store.sanctions() == []
    imposed = store.impose("ban")
    assert store.kept() == [imposed.sanction]
    store.store.close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "UPGRADES", schema.UPGRADES[:version])
        assert f"was written by a newer zchat (schema 4, this one knows {version})" in refused(path)


# A file as zchat 0.1.0 left it

RELEASED = ROOT / "tests" / "data" / "store-0.1.0.db"
LINES = [f"line {number}" for number in range(40)]
DAVE = bytes.fromhex("cf5dcd778023c3a6c68c82dbca26c764")
DIRECT = "@Alice\nbob"


@pytest.fixture
def released(path: Path, opened: Callable[..., Driver]) -> Driver:
    """Give a store on a copy of the file, on the day on which it was written."""
    shutil.copyfile(RELEASED, path)
    driver = opened()
    driver.clock.now = 1_795_688_445_000_000
    driver.reopen()
    return driver


def test_a_file_of_zchat_0_1_0_has_its_rooms_and_epochs(released: Driver) -> None:
    assert sorted(released.logs) == [
        RoomLog(DIRECT, 1, 1, (Epoch(4377404961867554, 1),)),
        RoomLog("Café", 1, 1, (Epoch(7731723742206768, 1),)),
        RoomLog("General", 4, 46, (Epoch(2617078137296279, 1), Epoch(7919239156723437, 46))),
        RoomLog("Made", 1, 2, (Epoch(4778658663644254, 1), Epoch(6075325524694981, 2))),
    ]


def test_a_file_of_zchat_0_1_0_has_its_messages_with_their_senders_and_times(released: Driver) -> None:
    assert released.messages() == [
        Message("General", 4, 1795688443071646, "Alice", "text 4"),
        Message("General", 5, 1795688443072960, "bob", {"kind": "job", "number": 7, "done": True, "raw": b"\0\1"}),
        *(Message("General", seq, 1795688443078074, "Alice", line) for seq, line in enumerate(LINES, 6)),
        Message("General", 46, 1795688443123890, "carol", "in a second epoch"),
    ]
    assert released.messages("Café") == [Message("Café", 1, 1795688443082715, "bob", "grüße")]
    assert released.messages(DIRECT) == [Message(DIRECT, 1, 1795688443089944, "Alice", "between us")]
    assert released.messages("Made") == [
        Message("Made", 1, 1795688443148980, "carol", "here"),
        Message("Made", 2, 1795688444988955, "dave", "and gone"),
    ]


def test_a_file_of_zchat_0_1_0_has_its_marks_and_knows_who_sent_what(released: Driver) -> None:
    assert released.marks() == [(DIRECT, "bob", 1), ("General", "alice", 44), ("General", "bob", 4)]
    assert released.append(1, "and gone", room="Made", producer=DAVE) == Duplicate(
        2, 1, 1795688444988955, 6075325524694981
    )


def test_a_file_of_zchat_0_1_0_is_written_to_and_then_read_as_before(released: Driver, path: Path) -> None:
    before = released.messages()
    assert released.stored(2, "back again", room="Made", producer=DAVE).block.first == 3
    assert released.stored(1, "said now").block.first == 47
    assert released.mark(47) == Marked(47)
    released.reopen()
    assert released.messages()[:-1] == before
    assert released.texts()[-1] == "said now"
    assert released.texts("Made") == ["here", "and gone", "back again"]
    assert sorted(released.store.read_marks()) == [(DIRECT, "bob", 1), ("General", "alice", 44), ("General", "bob", 47)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_of_a_file_of_zchat_0_1_0_nobody_has_made_the_rooms_and_the_producers_are_nobodys(
    released: Driver, path: Path
) -> None:
    assert {log.maker for log in released.logs} == {""}
    assert rows(path, "SELECT DISTINCT user FROM producers") == [("",)]
    assert rows(path, "SELECT DISTINCT moved FROM marks") == [(0,)]


def test_a_file_that_this_zchat_has_opened_is_one_of_a_newer_to_zchat_0_1_0(
    path: Path, opened: Callable[..., Driver]
) -> None:
    """It refuses what has a higher version than its own, 2, and says that zchat is to be upgraded."""
    shutil.copyfile(RELEASED, path)
    assert rows(path, "PRAGMA user_version") == [(2,)]
    opened()
    assert rows(path, "PRAGMA user_version") == [(4,)]


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
    assert "fix that, or name another file" in refused(tmp_path / "file" / "z.db")
    assert "make it, or name another file" in refused(tmp_path / "file" / "folder" / "z.db")
    assert "fix that, or name another file" in refused(tmp_path / ("x" * 300))
    assert "fix that, or name another file" in refused(tmp_path / "nul\0.db")


OPENS = """
import os, sys
import urllib.parse  # pathlib imports it where it is needed, and another user may not be able to read it
from zchat.broker.store.sqlite.store import POLL_PAGES, SqliteStore
from zchat.errors import StoreError
from zchat.messages import Message

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
os._exit(0)  # what measures coverage can't write it down as this user
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
    path = tmp_path / "z.db"
    driver = Driver(lambda clock: SqliteStore(path, clock), keeps=True)
    driver.say("a")
    made = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    driver.store.close()
    assert set(made) == {"z.db", "z.db-wal", "z.db-shm", "z.db.lock"}
    assert set(made.values()) == {0o600}


# How it is asked


def test_no_statement_numbers_its_placeholders() -> None:
    """Python 3.12.0 to 3.12.3 warn of `?1` with a sequence, which ends a broker whose warnings are errors."""
    folder = Path(schema.__file__).parent
    numbered = [path.name for path in folder.glob("*.py") if re.search(r"\?\d", path.read_text(encoding="utf-8"))]
    assert numbered == []
