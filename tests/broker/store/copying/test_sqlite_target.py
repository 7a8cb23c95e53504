"""A database as what is copied into: written in bounded batches, and what the disk refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.sqlite.driver import rows
from zchat.broker.store.copying import sqlite_target as module
from zchat.broker.store.copying.records import BlockRecord, Record, RoomRecord
from zchat.broker.store.copying.sqlite_target import SqliteTarget, sqlite_target
from zchat.broker.store.epochs import Epoch
from zchat.errors import StoreError
from zchat.wire.values import pack

SUFFIX = pack(("alice", bytes(16), b"\x90" + b"x" * 1000))[1:]


def records(rooms: int, blocks: int) -> list[Record]:
    found: list[Record] = []
    for room in range(rooms):
        found.append(RoomRecord(f"Room {room}", "", 1, blocks, 7, tuple(Epoch(9, each) for each in range(1, 4))))
        found += [BlockRecord(seq, seq, 7, bytes(16), SUFFIX) for seq in range(1, blocks + 1)]
    return found


def make(path: Path, found: list[Record]) -> None:
    with sqlite_target(path, ()) as target:
        for record in found:
            target.put(record)
        assert list(target.records()) == found
        target.complete()


def test_it_is_one_file_like_a_backup_with_nothing_beside_it_but_the_lock(tmp_path: Path) -> None:
    make(tmp_path / "z.db", records(3, 4))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["z.db", "z.db.lock"]
    assert rows(tmp_path / "z.db", "PRAGMA integrity_check") == [("ok",)]
    assert rows(tmp_path / "z.db", "PRAGMA journal_mode") == [("delete",)]
    assert rows(tmp_path / "z.db", "PRAGMA page_size") == [(8192,)]


@pytest.mark.parametrize(("bound", "most"), [("BATCH_ROWS", 3), ("BATCH_BYTES", 4000)])
def test_what_is_not_written_yet_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(module, bound, most)
    waiting: list[int] = []
    write = SqliteTarget._write

    def counted(self: SqliteTarget) -> None:
        waiting.append(max(map(len, self._batches.values())))
        write(self)

    monkeypatch.setattr(SqliteTarget, "_write", counted)
    make(tmp_path / "z.db", records(2, 20))
    assert 1 <= max(waiting) <= 5


def test_a_full_disk_and_a_place_where_nothing_can_be_made_are_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(StoreError, match=r"z\.db can't be written \(database or disk is full\)"):
        make(tmp_path / "z.db", records(2, 3000))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="can't be made"):
        make(tmp_path / "gone" / "z.db", [])


def test_more_rooms_than_a_database_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROOMS", 2)
    with pytest.raises(StoreError, match="a database holds 2 rooms at most"):
        make(tmp_path / "z.db", records(3, 1))
