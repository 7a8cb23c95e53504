"""A database as what is copied."""

from __future__ import annotations

import shlex
import sqlite3
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import starmap
from pathlib import Path
from typing import Any

from zchat.broker.store.contract import Sanction
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    Result,
    RoomRecord,
)
from zchat.broker.store.copying.sides import Source
from zchat.broker.store.epochs import MAX_EPOCHS, Epoch, Epochs
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.access import why_not
from zchat.broker.store.sqlite.files import resolved_file
from zchat.broker.store.sqlite.fresh_file import acting_for, locked
from zchat.broker.store.sqlite.lock import inode
from zchat.errors import StoreError
from zchat.wire.blocks import after_time
from zchat.wire.values import unpack

LOCKED = "locked, and a broker might open it while it is copied"
"""What a database can't be whose lock is refused."""


def identity_of(path: Path) -> tuple[object, ...]:
    """Return what tells a database from all others."""
    return ("sqlite", *inode(path))


class SqliteSource(Source):
    """The database at `path`, read as of one moment through `connection`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.place = str(path)
        self.identity = identity_of(path)
        self._path = path
        self._connection = connection

    def messages(self) -> int:
        """See `Source.messages`."""
        try:
            count: int = self._connection.execute("SELECT coalesce(sum(last - first + 1), 0) FROM rooms").fetchone()[0]
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from error
        return count

    def records(self) -> Iterator[Record]:
        """See `Source.records`."""
        return records_of(self._path, self._connection)

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: its lock is held."""


@contextmanager
def sqlite_source(path: Path) -> Iterator[SqliteSource]:
    """Give a database as what is copied, locked while the block runs.

    Raises:
        StoreError: there is none, or none that is sound and of this version; or a broker has it open.
    """
    path = resolved_file(path)
    if not path.exists():
        raise StoreError(f"there is no file {path}")
    with ExitStack() as stack:
        lock = path.with_name(f"{path.name}.lock")
        if stack.enter_context(locked(path, lock, LOCKED)).made:
            stack.callback(_remove, path, lock)
        if sys.platform == "linux":  # elsewhere such a lock could be in the way of SQLite's own
            stack.enter_context(locked(path, path, LOCKED))
        stack.enter_context(schema.read_alone(path))
        try:
            with acting_for(path):
                connection = schema.connect_to_read(path)
            stack.callback(connection.close)
            version = schema.version_of(connection, path)
            connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        if not version:
            raise StoreError(f"{path} is empty: it is no database of zchat")
        if version < len(schema.UPGRADES):
            raise StoreError(
                f"{path} was written by an older zchat (schema {version}, this one has {len(schema.UPGRADES)}): "
                f"start zchat broker --store {shlex.quote(f'sqlite:{path}')} once, and stop it"
            )
        yield SqliteSource(path, connection)


def _remove(path: Path, lock: Path) -> None:
    with suppress(OSError, StoreError), acting_for(path):
        lock.unlink()


def unreadable(path: Path, error: Exception) -> StoreError:
    """Return the error that a database can't be read."""
    if schema.is_damage(error):
        return StoreError(f"{path} is damaged ({error}); {schema.RESTORE} {path}")
    return StoreError(f"{path} can't be read as a database of zchat ({error}){why_not(path)}")


class _Rows:
    """The rows of a table, by the number of their room, which is the first column: those of each room in turn."""

    def __init__(self, connection: sqlite3.Connection, query: str, path: Path) -> None:
        self._rows = connection.execute(query)
        self._next: tuple[Any, ...] | None = self._rows.fetchone()
        self._path = path

    def of(self, room: int) -> Iterator[Any]:
        """Yield the rest of each row of a room; raises StoreError if there are some of rooms that are not there."""
        while self._next is not None and self._next[0] <= room:
            if self._next[0] < room:
                self.end()
            yield self._next[1:]
            self._next = self._rows.fetchone()

    def end(self) -> None:
        """See that none is left, after the last room; raises StoreError."""
        if self._next is not None:
            raise StoreError(
                f"{self._path}: a room, number {self._next[0]}, is missing: the file is damaged; restore a backup"
            )


def records_of(path: Path, connection: sqlite3.Connection) -> Iterator[Record]:
    """Yield all that the database keeps; raises StoreError."""
    try:
        yield from _records(path, connection)
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def _records(path: Path, connection: sqlite3.Connection) -> Iterator[Record]:
    every_epoch = (  # of rooms that are no more too, as `schema.load` passes them over
        "SELECT epochs.room, epoch, epochs.first FROM epochs JOIN rooms ON rooms.id = epochs.room "
        "ORDER BY epochs.room, epochs.first"
    )
    epochs, read_marks, producers, blocks = (
        _Rows(connection, query, path)
        for query in (
            every_epoch,
            "SELECT room, user, seq, moved FROM marks ORDER BY room, user",
            "SELECT room, producer, user, last, seen, results FROM producers ORDER BY room, producer",
            "SELECT id >> 40, first, id & ((1 << 40) - 1), timestamp, producer, data FROM blocks ORDER BY id",
        )
    )
    for number, name, maker, first, last, timestamp in connection.execute(
        "SELECT id, name, maker, first, last, timestamp FROM rooms ORDER BY id"
    ):
        known = deque(starmap(Epoch, epochs.of(number)), MAX_EPOCHS)
        yield RoomRecord(name, maker, first, last, timestamp, tuple(known))
        for user, seq, moved in read_marks.of(number):
            yield ReadMarkRecord(user, min(seq, last), moved)  # as `schema.load` has it
        at = Epochs(known).at
        for producer, user, number_of_last, seen, packed in producers.of(number):
            flat = unpack(packed)
            triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            results = tuple(Result(start, count, time, at(start)) for start, count, time in triples)
            yield ProducerRecord(producer, user, number_of_last, seen, results)
        for start, end, time, producer, data in blocks.of(number):
            yield BlockRecord(start, end, time, producer, after_time(data))
    for rows in (read_marks, producers, blocks):
        rows.end()
    columns = "room, user, kind, until, moderator, at, reason, maker, number"
    yield from starmap(Sanction, connection.execute(f"SELECT {columns} FROM sanctions ORDER BY number"))
    yield from map(OldSender, schema.old_senders(connection))
