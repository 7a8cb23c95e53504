"""The thread that writes: what arrived while one commit ran goes into the next."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, TypeAlias

from zchat.broker.store.batches import take_batch
from zchat.broker.store.contract import TRIM_BLOCKS, Commit, Failed, Sanction, Stored, Trimmed
from zchat.broker.store.ledger import Ledger, LogEnds, Pair, Producer, count_old
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.files import StoreFiles
from zchat.errors import StoreError
from zchat.threads import RealThread, awaited_by_callers, start
from zchat.wire.values import pack

COMMIT_BLOCKS = 1000
"""Blocks and marks in one commit at most: it lasts a few milliseconds, however many wait."""

COMMIT_BYTES = 8 << 20
"""Bytes of blocks after which a commit takes no more: some 50 ms of a slow disk."""

CHECKPOINT_BYTES = 16 << 20
"""Written bytes after which the log is copied into the file: rarely enough to cost little, and the log stays small."""

CHECK_SECONDS = 2.0
"""How often the files are checked while nothing is committed: each commit checks them."""

COMMIT_OVERHEAD = 4 * schema.PAGE_BYTES
"""Bytes that a commit writes beside its blocks, roughly: a page of each table."""


class Write(NamedTuple):
    """One decided block: rows as the tables have them."""

    generation: int
    block: tuple[int, int, int, bytes, int, bytes]
    room: tuple[int, str, int, int, str]
    epoch: tuple[int, int, int] | None
    pair: tuple[bytes, int]
    last: int
    results: bytes
    seen: int
    user: str


class WriteReadMark(NamedTuple):
    """One decided read mark: a row as the table has it."""

    generation: int
    room: int
    user: str
    seq: int
    moved: int
    displaced: tuple[int, str] | None
    """The room and user of the mark in whose place it is, None for none."""


class WriteSanction(NamedTuple):
    """One decided sanction, and the one that is no more, by its number; None for none."""

    generation: int
    imposed: Sanction | None
    gone: int | None


class InTurn(NamedTuple):
    """The place of an answer that writes nothing, and waits its turn after blocks that do."""

    generation: int


class Forget(NamedTuple):
    """A request to forget producers in rooms."""

    pairs: list[tuple[bytes, int]]


class Trim(NamedTuple):
    """A request to trim the room of a number."""

    room: int
    keep: int
    before: int
    ahead: int
    """The time after which a block was dated by a wrong clock."""


class Outcome(NamedTuple):
    """What became of the next `count` things in their order: safe (`failed` None), or why they failed.

    What is decided from now on belongs to `generation`. After a failure that is a new one, to be
    decided on `ledger`, what the file has; None if it can't be read, and comes with a later outcome.
    `commit` is the commit that made them safe.
    """

    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    failed: Failed | None
    generation: int
    ledger: Ledger | None = None
    commit: Commit | None = None


Task: TypeAlias = Write | WriteReadMark | WriteSanction | InTurn | Forget | Trim
Report: TypeAlias = Outcome | Trimmed | Failed


def write_of(stored: Stored, number: int, room: LogEnds, producer: Producer, generation: int) -> Write:
    """Return what is to be written for a block that was just decided."""
    block = stored.block
    first, last, timestamp, name, data = block
    return Write(
        generation,
        (schema.key(room.id, last), first, timestamp, name, number, data),
        (room.id, room.name, last, timestamp, room.maker),
        (room.id, first, stored.epoch) if room.began == first else None,
        (name, room.id),
        number,
        producer.results.tobytes(),
        producer.seen,
        producer.user,
    )


class Committer:
    """The thread that commits what it is given, in order.

    `connect` makes a connection that writes (again after a failure), `load` reads the ledger
    through one; `files` are checked at each commit; `wake` is called, from that thread, when `reports` has grown.
    After a failure everything decided on the old ledger fails: it carries the generation of that ledger.
    `failure` is what ended the thread before its time.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        connect: Callable[[], sqlite3.Connection],
        load: Callable[[sqlite3.Connection], Ledger],
        files: StoreFiles,
        wake: Callable[[], None],
    ) -> None:
        self.reports: deque[Report] = deque()
        self.failure: BaseException | None = None
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._connect = connect
        self._load = load
        self._files = files
        self._wake = wake
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._generation = 0
        self._failed = Failed("")
        self._written = 0
        self._thread = RealThread(self._run, "zchat store commits")
        start(self._thread)

    def put(self, task: Task) -> None:
        """Hand over one more task; the caller bounds them. Any one thread."""
        self._tasks.put(task)

    def stop(self) -> None:
        """End once everything handed over is done; returns at once."""
        self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            more = True
            while more:
                tasks, more = self._take()
                self._turn(tasks)
            if self._connection:
                self._checkpoint(self._connection, "TRUNCATE")
        except BaseException as error:  # the loop, which waits for reports, has to learn that none will come
            self.failure = error
            self._wake()
        finally:
            if self._connection:
                self._connection.close()

    def _take(self) -> tuple[list[Task], bool]:
        return take_batch(self._tasks, CHECK_SECONDS, COMMIT_BLOCKS, COMMIT_BYTES, _size)

    def _turn(self, tasks: list[Task]) -> None:
        if self._connection is None:
            ledger = self._recover()
            if ledger:
                self._report(Outcome(0, None, self._generation, ledger))
        ordered = [task for task in tasks if isinstance(task, (Write, WriteReadMark, WriteSanction, InTurn))]
        fresh = [task for task in ordered if task.generation == self._generation]
        if len(fresh) < len(ordered):  # stale ones come before fresh ones
            self._report(Outcome(len(ordered) - len(fresh), self._failed, self._generation))
        forgets = [task for task in tasks if type(task) is Forget]
        if self._connection and (fresh or forgets):
            began = time.perf_counter_ns()
            try:
                size = self._commit(self._connection, tasks)
            except Exception as error:  # whatever it is, the file is as before, and says what that was
                self._fail(error)
                ledger = self._recover()
                self._report(Outcome(len(fresh), self._failed, self._generation, ledger))
            else:
                commit = Commit((time.perf_counter_ns() - began) // 1000, size)
                self._report(Outcome(len(fresh), None, self._generation, commit=commit))
        elif self._connection and not tasks:
            self._idle()
        for task in tasks:
            if type(task) is Trim:
                self._report(self._trim(task))
        if self._connection and self._written > CHECKPOINT_BYTES:
            self._written = 0
            self._checkpoint(self._connection, "PASSIVE")

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> None:
        """Fold the log into the file, as far as that is possible: the log has it all, and the next time is another try.

        Not one that was emptied: it has a hole, or SQLite can't read what it takes to be there.
        """
        with suppress(StoreError, OSError):
            self._files.check_log()
            try:
                connection.execute(f"PRAGMA wal_checkpoint({mode})")
            except sqlite3.Error:
                self._files.check_log(written=True)

    def _idle(self) -> None:
        try:
            self._files.check()
        except Exception as error:  # as in a turn
            self._fail(error)
            self._report(Outcome(0, self._failed, self._generation))

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self._wake()

    def _commit(self, connection: sqlite3.Connection, tasks: Iterable[Task]) -> int:
        """Write what is fresh; returns the bytes of the blocks.

        The files are checked before, and again after the commit: what went into a lost file is not acknowledged.
        """
        blocks = []
        epochs = []
        rooms: dict[int, tuple[int, str, int, int, str]] = {}
        producers: dict[tuple[bytes, int], Write | None] = {}
        read_marks: dict[tuple[int, str], WriteReadMark | None] = {}
        sanctions: dict[int, Sanction | None] = {}
        for task in tasks:
            if type(task) is Write and task.generation == self._generation:
                blocks.append(task.block)
                rooms[task.room[0]] = task.room
                producers[task.pair] = task
                if task.epoch:
                    epochs.append(task.epoch)
            elif type(task) is WriteReadMark and task.generation == self._generation:
                if task.displaced:
                    read_marks[task.displaced] = None
                read_marks[task.room, task.user] = task
            elif type(task) is WriteSanction and task.generation == self._generation:
                if task.gone is not None:
                    sanctions[task.gone] = None
                if task.imposed is not None:
                    sanctions[task.imposed.number] = task.imposed
            elif type(task) is Forget:
                producers.update(dict.fromkeys(task.pairs))
        known = [
            (*pair, write.last, pack(memoryview(write.results).cast("q").tolist()), write.seen, write.user)
            for pair, write in producers.items()
            if write
        ]
        forgotten = [pair for pair, write in producers.items() if not write]
        self._files.check_folder()
        changes = connection.total_changes
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if blocks:
                connection.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", blocks)
                connection.executemany(
                    "INSERT INTO rooms (id, name, first, last, timestamp, maker) VALUES (?, ?, 1, ?, ?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET last = excluded.last, timestamp = excluded.timestamp",
                    rooms.values(),
                )
                connection.executemany("INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?, ?, ?)", known)
            if epochs:
                connection.executemany("INSERT INTO epochs VALUES (?, ?, ?)", epochs)
            if read_marks:
                rows = [(*mark, write.seq, write.moved) for mark, write in read_marks.items() if write]
                connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", rows)
                gone = [mark for mark, write in read_marks.items() if not write]
                connection.executemany("DELETE FROM marks WHERE room = ? AND user = ?", gone)
            if sanctions:
                lifted = [(number,) for number, sanction in sanctions.items() if not sanction]
                connection.executemany("DELETE FROM sanctions WHERE number = ?", lifted)
                imposed = [(each.number, *each[:-1]) for each in sanctions.values() if each]
                connection.executemany("INSERT INTO sanctions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", imposed)
            if forgotten:
                connection.executemany("DELETE FROM producers WHERE producer = ? AND room = ?", forgotten)
        self._files.check_folder()
        self._files.check_log(written=connection.total_changes != changes)
        size = sum(len(block[-1]) for block in blocks)
        self._written += COMMIT_OVERHEAD + size
        return size

    def _fail(self, error: Exception) -> None:
        self._failed = schema.failed(self._path, error)
        self._generation += 1
        if self._connection:
            if isinstance(error, StoreError):  # if only the log is gone, what it held is kept this way
                self._checkpoint(self._connection, "TRUNCATE")
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _recover(self) -> Ledger | None:
        """Open the file again and read the ledger from it; None if that fails, and then the next turn tries."""
        connection = None
        try:
            connection = self._connect()
            ledger = self._load(connection)
        except Exception as error:  # as above
            if connection:
                connection.close()
            self._failed = schema.failed(self._path, error)
            return None
        self._connection = connection
        return ledger

    def _trim(self, trim: Trim) -> Trimmed | Failed:
        if self._connection is None:
            return self._failed
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return self._trimmed(self._connection, trim)
        except sqlite3.Error as error:
            return schema.failed(self._path, error)

    def _trimmed(self, connection: sqlite3.Connection, trim: Trim) -> Trimmed:
        row = connection.execute("SELECT first, last FROM rooms WHERE id = ?", (trim.room,)).fetchone()
        if row is None:
            return Trimmed(1, False)
        first, end = row
        start = schema.key(trim.room, 0)
        lasts: list[int] = []

        def dated() -> Iterator[tuple[int, int]]:
            for last, timestamp in connection.execute(
                "SELECT id - :start, timestamp FROM blocks WHERE id > :start AND id <= :start + :end ORDER BY id",
                {"start": start, "end": end},
            ):
                lasts.append(last)
                yield last, timestamp

        old = count_old(dated(), end, trim.keep, trim.before, trim.ahead)
        if old:
            last = lasts[min(old, TRIM_BLOCKS) - 1]
            connection.execute("DELETE FROM blocks WHERE id > ? AND id <= ?", (start, start + last))
            first = last + 1
            connection.execute("UPDATE rooms SET first = ? WHERE id = ?", (first, trim.room))
            self._written += COMMIT_OVERHEAD
        return Trimmed(first, old > TRIM_BLOCKS)


def _size(task: Task) -> int:
    return len(task.block[-1]) if type(task) is Write else 0


def pairs_of(pairs: Iterable[Pair], rooms: dict[str, LogEnds]) -> list[tuple[bytes, int]]:
    """Return pairs with the rooms' numbers in place of their names."""
    return [(producer, rooms[room].id) for producer, room in pairs]
