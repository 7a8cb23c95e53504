"""The database of the store `sqlite:PATH`: its tables, how it is opened, and what it says of the past."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgpack

from zchat.broker.store.contract import Failed, Sanction
from zchat.broker.store.epochs import MAX_EPOCHS, Epoch
from zchat.broker.store.ledger import Ledger, LogEnds, Producer
from zchat.broker.store.sqlite.access import acting_as_owner
from zchat.broker.store.sqlite.files import BESIDE
from zchat.errors import BadName, StoreError
from zchat.names import check_name
from zchat.wire.blocks import sender

APPLICATION_ID = 0x7A636874
"""What SQLite keeps in a file's header as a sign of its owner: "zcht"."""

PAGE_BYTES = 8192
"""SQLite's page: a third less work than 4096 for blocks of 85 KB, half the writing of 16384 for small ones."""

BUSY_SECONDS = 1.0
"""How long a commit waits for another program that has the file locked, a backup for example."""

CACHE_KIB = 16 << 10
"""Of pages, a connection: a commit's worth, so that it goes to the disk once."""

JOURNAL_MODE = "wal"
"""Commits are appended to a write-ahead log: one write and one sync each, and readers go on meanwhile."""

WAL_KEPT = 64 << 20
"""Bytes that the write-ahead log's file keeps after a long read made it grow."""


SENDER_BYTES = 512
"""Bytes of a block that have its sender: three numbers and a name of 64 characters at most."""


DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's codes for a file that doesn't hold what it should."""

RESTORE = "restore a backup: zchat restore --aside BACKUP"
"""What to do about that."""


def is_damage(error: BaseException) -> bool:
    """Return True if an error of SQLite says that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def failed(path: Path, error: BaseException) -> Failed:
    """Return the answer that the database `path` could not do something."""
    damaged = is_damage(error)
    return Failed(f"{path}: {error}{f'; {RESTORE} {path}' if damaged else ''}", damaged)


def key(room: int, seq: int) -> int:
    """Return the key of the block of room number `room` that ends with `seq`: one room's lie side by side."""
    return room << 40 | seq


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE rooms (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            timestamp INTEGER NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE epochs (
            room INTEGER NOT NULL,
            first INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            PRIMARY KEY (room, first)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE producers (
            producer BLOB NOT NULL,
            room INTEGER NOT NULL,
            last INTEGER NOT NULL,
            results BLOB NOT NULL,
            seen INTEGER NOT NULL,
            PRIMARY KEY (producer, room)
        ) WITHOUT ROWID"""
    )
    connection.execute(  # the data last: what stands after it would lie at the end of its overflow pages
        """CREATE TABLE blocks (
            id INTEGER PRIMARY KEY,
            first INTEGER NOT NULL,
            timestamp INTEGER NOT NULL,
            producer BLOB NOT NULL,
            number INTEGER NOT NULL,
            data BLOB NOT NULL
        )"""
    )


def _add_read_marks(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE marks (
            room INTEGER NOT NULL,
            user TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (room, user)
        ) WITHOUT ROWID"""
    )


def _add_whose_it_is(connection: sqlite3.Connection) -> None:
    """Add who has made a room, whose a producer is, when a mark moved, and the names that today's rules refuse."""
    connection.execute("ALTER TABLE rooms ADD COLUMN maker TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE producers ADD COLUMN user TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE marks ADD COLUMN moved INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE TABLE IF NOT EXISTS old_senders (user TEXT PRIMARY KEY) WITHOUT ROWID")
    found = [(user,) for user in _search_old_senders(connection)]
    connection.executemany("INSERT OR IGNORE INTO old_senders VALUES (?)", found)
    connection.execute("DROP TABLE IF EXISTS searched")  # of versions between 0.1.0 and this schema


def _add_sanctions(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE sanctions (
            number INTEGER PRIMARY KEY,
            room TEXT NOT NULL,
            user TEXT NOT NULL,
            kind TEXT NOT NULL,
            until INTEGER NOT NULL,
            moderator TEXT NOT NULL,
            at INTEGER NOT NULL,
            reason TEXT NOT NULL,
            maker TEXT NOT NULL
        )"""
    )


UPGRADES: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _add_read_marks,
    _add_whose_it_is,
    _add_sanctions,
)
"""Steps from each schema version to the next, from the empty file's 0 on: a new version is a new step."""


def set_up(connection: sqlite3.Connection, path: Path) -> bool:
    """Bring the file to this program's schema: a new one from nothing, an older one by its steps; True if it was new.

    Raises:
        StoreError: it is another program's, or of a newer zchat.
        sqlite3.Error: it is no database, or can't be read or written.
    """
    version = version_of(connection, path)
    if version < len(UPGRADES):  # before the file has a write-ahead log: its header says whose it is from the start
        upgrade(connection, version)
    if connection.execute(f"PRAGMA journal_mode = {JOURNAL_MODE}").fetchone()[0] != "wal":
        raise StoreError(f"{path}: SQLite can't keep a write-ahead log there; put the store on a local disk")
    return not version


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from a version of its schema, 0 for an empty file, to this program's, in one step.

    Raises:
        sqlite3.Error: it can't be read or written.
    """
    connection.execute("BEGIN EXCLUSIVE")
    for step in UPGRADES[version:]:
        step(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(UPGRADES)}")
    connection.execute("COMMIT")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file's schema, 0 for an empty file.

    Raises:
        StoreError: it is another program's, or of a newer zchat.
        sqlite3.Error: it is no database, or can't be read.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{path} is a database of another program; give the store a file of its own")
    if version > len(UPGRADES):
        raise StoreError(
            f"{path} was written by a newer zchat (schema {version}, this one knows {len(UPGRADES)}); "
            "upgrade zchat or use another file"
        )
    return version


def connect(path: Path, synchronous: str, max_pages: int = 0) -> sqlite3.Connection:
    """Return a connection that writes; `max_pages` bounds the file in pages (0: only the disk does).

    Any one thread at a time may use it.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if max_pages:
            connection.execute(f"PRAGMA max_page_count = {max_pages}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads. Any one thread at a time may use it.

    It has read once, so that the write-ahead log belongs to it too: until it is closed SQLite removes no such file.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    uri = f"{path.as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def read_alone(path: Path) -> Iterator[None]:
    """Have nothing left beside a database by those who read it while the block runs, with `connect_to_read`.

    Such a connection, if it is the last one, leaves a log without a byte, and its index. SQLite removes both after one
    that may write, unless others have the database open. A log that holds something stays as it is. Any thread.
    """
    try:
        yield
    finally:
        with suppress(OSError, sqlite3.Error):
            log, index = (path.with_name(path.name + end) for end in BESIDE)
            if index.exists() and not (log.exists() and log.stat().st_size):
                with (
                    acting_as_owner(path.parent),
                    closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as writing,
                ):
                    writing.execute("PRAGMA user_version").fetchone()


def load(connection: sqlite3.Connection, clock: Callable[[], int], *, quotas: bool = False) -> Ledger:
    """Return the ledger as the file has it; `quotas` is as in `Store.open`.

    Raises:
        StoreError: what is in the file doesn't fit together.
        sqlite3.Error: it can't be read.
    """
    ledger = Ledger(clock)
    if quotas:
        ledger.keep_quotas()
    epochs: dict[int, deque[Epoch]] = {}
    for room, first, epoch in connection.execute("SELECT room, first, epoch FROM epochs ORDER BY room, first"):
        epochs.setdefault(room, deque(maxlen=MAX_EPOCHS)).append(Epoch(epoch, first))
    rooms = {}
    for id, name, first, last, timestamp, maker in connection.execute(
        "SELECT id, name, first, last, timestamp, maker FROM rooms"
    ):
        rooms[id] = LogEnds(id, name, first, last, timestamp, epochs.get(id, ()), maker)
        ledger.restore_room(rooms[id])
    for producer, room, number, results, seen, user in connection.execute(
        "SELECT producer, room, last, results, seen, user FROM producers ORDER BY seen"
    ):
        kept = Producer(number, msgpack.unpackb(results), seen, user)
        ledger.restore_producer((producer, _named(rooms, room).name), kept)
    for room, user, seq in connection.execute("SELECT room, user, seq FROM marks ORDER BY moved"):
        ledger.restore_read_mark(_named(rooms, room), user, seq)
    columns = "room, user, kind, until, moderator, at, reason, maker, number"
    for row in connection.execute(f"SELECT {columns} FROM sanctions ORDER BY number"):
        ledger.restore_sanction(Sanction(*row))
    return ledger


def old_senders(connection: sqlite3.Connection) -> list[str]:
    """Return the senders whose names break the rules for new ones, from a zchat that didn't have these rules.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    return [user for (user,) in connection.execute("SELECT user FROM old_senders ORDER BY user")]


def _search_old_senders(connection: sqlite3.Connection) -> set[str]:
    senders = set()
    of_each = "SELECT min(id) FROM blocks GROUP BY producer, id >> 40"  # a room's producer is one user's
    for (id,) in connection.execute(of_each):
        with connection.blobopen("blocks", "data", id, readonly=True) as data:
            senders.add(sender(data.read(SENDER_BYTES)))
    return {user for user in senders if _is_old(user)}


def _is_old(user: str) -> bool:
    try:
        check_name("user", user)
    except BadName:
        return True
    return False


def _named(rooms: dict[int, LogEnds], number: int) -> LogEnds:
    if number not in rooms:
        raise StoreError(f"a room, number {number}, is missing: the file is damaged; restore a backup")
    return rooms[number]


def remove_old(connection: sqlite3.Connection) -> None:
    """Remove the epochs and parts of marks that `load` passes over.

    Raises:
        sqlite3.Error: it could not be done; nothing is lost by that.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Else such a mark would move by itself, over what is said from now on.
        last = "(SELECT last FROM rooms WHERE id = marks.room)"
        connection.execute(f"UPDATE marks SET seq = {last} WHERE seq > {last}")
        many = "SELECT room FROM epochs GROUP BY room HAVING count(*) > ?"
        for (room,) in connection.execute(many, (MAX_EPOCHS,)).fetchall():
            connection.execute(
                "DELETE FROM epochs WHERE room = :room AND first < "
                "(SELECT first FROM epochs WHERE room = :room ORDER BY first DESC LIMIT 1 OFFSET :kept)",
                {"room": room, "kept": MAX_EPOCHS - 1},
            )
