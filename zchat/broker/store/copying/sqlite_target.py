"""A database as what is copied into: a new file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from zchat.broker.store.contract import Sanction
from zchat.broker.store.copying.records import (
    BlockRecord,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    RoomRecord,
)
from zchat.broker.store.copying.sides import Target
from zchat.broker.store.copying.sqlite_source import identity_of, records_of
from zchat.broker.store.ledger import MAX_ROOMS
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.files import resolved_file
from zchat.broker.store.sqlite.fresh_file import fresh_file, place_held
from zchat.errors import StoreError
from zchat.wire.values import pack

BATCH_ROWS = 1000
"""Rows of a table that are written at once."""

BATCH_BYTES = 4 << 20
"""Bytes of blocks after which a batch takes no more."""

CACHE_KIB = 32 << 10
"""Of pages that are not written yet: those of the tables that grow at many places, and of what has just come."""


class SqliteTarget(Target):
    """The file `fresh`, empty at first, which becomes the database `path` once it is complete."""

    def __init__(self, path: Path, fresh: Path, connection: sqlite3.Connection) -> None:
        self.place = str(path)
        self._path = path
        self._fresh = fresh
        self._connection = connection
        self._room = 0
        self._batches: dict[str, list[tuple[Any, ...]]] = {
            "INSERT INTO rooms (id, name, first, last, timestamp, maker) VALUES (?, ?, ?, ?, ?, ?)": [],
            "INSERT INTO epochs (room, first, epoch) VALUES (?, ?, ?)": [],
            "INSERT INTO marks (room, user, seq, moved) VALUES (?, ?, ?, ?)": [],
            "INSERT INTO producers (producer, room, last, results, seen, user) VALUES (?, ?, ?, ?, ?, ?)": [],
            "INSERT INTO blocks (id, first, timestamp, producer, number, data) VALUES (?, ?, ?, ?, 0, ?)": [],
            "INSERT INTO sanctions (room, user, kind, until, moderator, at, reason, maker, number) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)": [],
            "INSERT INTO old_senders VALUES (?)": [],
        }
        (
            self._rooms,
            self._epochs,
            self._read_marks,
            self._producers,
            self._blocks,
            self._sanctions,
            self._old_senders,
        ) = self._batches.values()
        self._bytes = 0

    def put(self, record: Record) -> None:
        """See `Target.put`."""
        batch: list[tuple[Any, ...]]
        if isinstance(record, BlockRecord):
            first, last, timestamp, producer, suffix = record
            data = b"\x95" + pack(first) + pack(timestamp) + suffix
            self._bytes += len(data)
            batch = self._blocks
            batch.append((schema.key(self._room, last), first, timestamp, producer, data))
        elif isinstance(record, RoomRecord):
            self._room += 1
            if self._room > MAX_ROOMS:
                raise StoreError(f"{self.place} can't be made: a database holds {MAX_ROOMS:,} rooms at most")
            batch = self._rooms
            batch.append((self._room, record.name, record.first, record.last, record.timestamp, record.maker))
            self._epochs.extend((self._room, first, epoch) for epoch, first in record.epochs)
        elif isinstance(record, ReadMarkRecord):
            batch = self._read_marks
            batch.append((self._room, *record))
        elif isinstance(record, ProducerRecord):
            results = [number for result in record.results for number in result[:3]]
            batch = self._producers
            batch.append((record.producer, self._room, record.last, pack(results), record.seen, record.user))
        else:
            batch = self._sanctions if isinstance(record, Sanction) else self._old_senders
            batch.append(record)
        if len(batch) >= BATCH_ROWS or len(self._epochs) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._write()

    def records(self) -> Iterator[Record]:
        """See `Target.records`."""
        self._write()
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unwritable(self._path, error) from error
        return records_of(self._fresh, self._connection)

    def complete(self) -> None:
        """See `Target.complete`: it is flushed, and has its name, when the block of `sqlite_target` ends."""

    def _write(self) -> None:
        try:
            for query, rows in self._batches.items():
                if rows:
                    self._connection.executemany(query, rows)
                    rows.clear()
        except sqlite3.Error as error:
            raise _unwritable(self._path, error) from error
        self._bytes = 0


@contextmanager
def sqlite_target(path: Path, source: tuple[object, ...]) -> Iterator[SqliteTarget]:
    """Give a database that is made while the block runs, of which nothing is left if that fails.

    `source` is the identity of what is copied.

    Raises:
        StoreError: there is one, or what belongs to one, or it can't be made.
    """
    path = resolved_file(path)
    if path.exists() and identity_of(path) == source:
        raise StoreError(f"{path} can't be copied into itself: name another store")
    with place_held(path), fresh_file(path) as fresh, closing(sqlite3.connect(fresh, isolation_level=None)) as writing:
        try:
            # A file that is incomplete is thrown away: nothing of it has to be kept, or be taken back.
            for pragma in (
                f"page_size = {schema.PAGE_BYTES}",
                f"cache_size = -{CACHE_KIB}",
                "journal_mode = OFF",
                "synchronous = OFF",
            ):
                writing.execute(f"PRAGMA {pragma}")
            schema.upgrade(writing, 0)
            writing.execute("BEGIN")
        except sqlite3.Error as error:
            raise _unwritable(path, error) from error
        yield SqliteTarget(path, fresh, writing)


def _unwritable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} can't be written ({error})")
