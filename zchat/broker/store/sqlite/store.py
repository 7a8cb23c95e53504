"""The store `sqlite:PATH`: logs in one file, safe before they are acknowledged."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from zchat import threads
from zchat.broker.store.contract import (
    CLOSE_SECONDS,
    NEVER,
    Append,
    Appended,
    Failed,
    Full,
    Imposed,
    Lifted,
    LogPage,
    Marked,
    Places,
    RoomLog,
    Sanction,
    Store,
    Stored,
    TooMany,
    Trimmed,
    Watcher,
)
from zchat.broker.store.ledger import MAX_SEQ, Decided, Ledger, ReadMarkDecided, SanctionDecided, now
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.access import trouble
from zchat.broker.store.sqlite.committer import (
    Committer,
    Forget,
    InTurn,
    Outcome,
    Trim,
    WriteReadMark,
    WriteSanction,
    pairs_of,
    write_of,
)
from zchat.broker.store.sqlite.files import StoreFiles, resolved_file
from zchat.broker.store.sqlite.reader import Read, Reader
from zchat.errors import StoreError, UsageError

QUEUE_BLOCKS = 10_000
"""Appends that wait at most: ten commits' worth; one more is refused with `Full`."""

QUEUE_BYTES = 64 << 20
"""Bytes of blocks that wait at most: a second of a slow disk."""

QUEUE_OTHERS = 10_000
"""Read marks and sanctions that wait at most: 80 ms of commits, which blocks after them wait too; one more is refused
with `Full`."""

QUEUE_READS = 1000
"""Reads that wait at most: some 100 ms of them; one more is refused with `Full`."""

QUEUE_TRIMS = 1000
"""Trims that wait at most: one a room is enough, and they come back with the next round."""

POLL_PAGES = 8
"""Pages handed over in one `poll`: 8 MiB of the largest at most, a turn's worth."""

THREADS = 2
"""Threads of a store: one commits, one reads."""

CLOSED = "the store is closed"

_Decided: TypeAlias = Decided | ReadMarkDecided | SanctionDecided


class SqliteStore(Store):
    """The store that keeps logs in the SQLite database `path`, for one broker at a time.

    `clock` returns the microseconds since 1970 (None: the system's). `synchronous` is SQLite's:
    with "FULL" what is stored survives a power cut, with "NORMAL" a killed broker only.
    `max_pages` bounds the file in pages (0: only the disk does).

    The loop decides each append and mark at once, on its ledger, and hands it to the commit
    thread; answers wait for that in the order of their calls. A failure there throws the ledger
    away with all that was decided on it.
    """

    def __init__(
        self,
        path: str | Path,
        clock: Callable[[], int] | None = None,
        synchronous: str = "FULL",
        max_pages: int = 0,
    ) -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise UsageError(f"synchronous is FULL or NORMAL, not {synchronous}")
        self._path = Path(path)
        self._clock = clock or now
        self._synchronous = synchronous
        self._max_pages = max_pages
        self._quotas = False
        self._ledger = Ledger(self._clock)
        self._old_senders: list[str] = []
        self._generation = 0
        self._sound = True  # not when a failure has spoilt the ledger, and the file can't be read either
        self._writing: deque[tuple[Callable[[Any], None], _Decided, int | None, Any]] = deque()
        """What waits for a commit: `done`, what was decided, the block's size (None: it is none), and the `Append`,
        or the room and user of a mark that moves."""
        self._others_writing = 0
        """How many of these are no blocks."""
        self._forgot = 0
        """Producers forgotten since the last `poll` for others of their users."""
        self._appending_bytes = 0
        self._reading: deque[Callable[[LogPage | Full | Failed], None]] = deque()
        self._trimming: deque[tuple[Callable[[Trimmed | Failed], None], str]] = deque()
        self._open = False

    def open(self, wake: Callable[[], None], *, quotas: bool = False) -> list[RoomLog]:
        """See `Store.open`."""
        threads.check_free(THREADS)
        self._quotas = quotas
        self._path = resolved_file(self._path)
        try:
            self._files = StoreFiles(self._path)
        except (OSError, ValueError) as error:
            raise _unusable(self._path, error) from error
        try:
            writing = self._connect()
            try:
                self.new = schema.set_up(writing, self._path)
                self._ledger = self._load(writing)
                self._old_senders = schema.old_senders(writing)
                with suppress(sqlite3.Error):  # a full disk for example, with which reading goes on
                    schema.remove_old(writing)
                reading = schema.connect_to_read(self._path)
                try:
                    self._files.watch()
                except BaseException:
                    reading.close()
                    raise
            except BaseException:
                writing.close()
                raise
        except (OSError, sqlite3.Error) as error:
            self._files.abandon()
            raise _unusable(self._path, error) from error
        except BaseException:
            self._files.abandon()
            raise
        self._wake = wake
        self._commits = Committer(self._path, writing, self._connect, self._load, self._files, wake)
        self._reads = Reader(self._path, reading, wake)
        self._open = True
        return self._ledger.logs()

    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        """See `Store.append`; beyond what may wait the answer is `Full` at once."""
        if not self._open:
            done(Failed(CLOSED))
            return
        size = len(append.bodies)
        blocks = len(self._writing) - self._others_writing
        if blocks and (blocks >= QUEUE_BLOCKS or self._appending_bytes + size > QUEUE_BYTES):
            done(Full("too many blocks wait for the disk"))
            return
        ledger = self._ledger
        decided = ledger.append(append)
        if type(decided) is Stored:
            room = ledger.rooms[append.room]
            producer = ledger.producer((append.producer, append.room))
            self._commits.put(write_of(decided, append.number, room, producer, self._generation))
            if ledger.displaced:
                self._forgot += len(ledger.displaced)
                self._commits.put(Forget(pairs_of(ledger.displaced, ledger.rooms)))
                ledger.displaced.clear()
        elif self._writing or not self._sound:
            size = 0
            self._commits.put(InTurn(self._generation))
        else:
            done(decided)
            return
        self._writing.append((done, decided, size, append))
        self._appending_bytes += size

    def set_read_mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        """See `Store.set_read_mark`; beyond what may wait the answer is `Full` at once."""
        if not self._takes_other(done):
            return
        ledger = self._ledger
        stood = ledger.read_marks.get((room, user))
        decided = ledger.set_read_mark(room, user, seq)
        about = task = None
        if type(decided) is Marked and decided.seq != stood:
            about = room, user
            displaced = None
            if decided.displaced is not None:
                displaced = ledger.rooms[decided.displaced[0]].id, decided.displaced[1]
            number, moved = ledger.rooms[room].id, self._clock()
            task = WriteReadMark(self._generation, number, user, decided.seq, moved, displaced)
        self._put_other(task, done, decided, about)

    def read_marks(self) -> list[tuple[str, str, int]]:
        """See `Store.read_marks`."""
        return self._ledger.all_read_marks()

    def impose(
        self, sanction: Sanction, places: Places, done: Callable[[Imposed | TooMany | Full | Failed], None]
    ) -> None:
        """See `Store.impose`; beyond what may wait the answer is `Full` at once."""
        if self._takes_other(done):
            decided = self._ledger.impose(sanction, places)
            task = None
            if type(decided) is Imposed:
                gone = None if decided.replaced is None else decided.replaced.number
                task = WriteSanction(self._generation, decided.sanction, gone)
            self._put_other(task, done, decided)

    def lift(
        self, room: str, user: str, kind: str, done: Callable[[Lifted | Full | Failed], None], number: int = 0
    ) -> None:
        """See `Store.lift`; beyond what may wait the answer is `Full` at once."""
        if self._takes_other(done):
            decided = self._ledger.lift(room, user, kind, number)
            task = None
            if decided.sanction is not None:
                task = WriteSanction(self._generation, None, decided.sanction.number)
            self._put_other(task, done, decided)

    def sanctions(self) -> list[Sanction]:
        """See `Store.sanctions`."""
        return self._ledger.sanctions()

    def _takes_other(self, done: Callable[[Any], None]) -> bool:
        """Return whether something other than a block can be decided now; else it is answered."""
        if not self._open:
            done(Failed(CLOSED))
        elif self._others_writing >= QUEUE_OTHERS:
            done(Full("too many read marks and sanctions wait for the disk"))
        else:
            return True
        return False

    def _put_other(
        self,
        task: WriteReadMark | WriteSanction | None,
        done: Callable[[Any], None],
        decided: ReadMarkDecided | SanctionDecided,
        about: tuple[str, str] | None = None,
    ) -> None:
        """Have something other than a block written, and answered in its turn; `task` is None if nothing changes."""
        if task is not None:
            self._commits.put(task)
        elif self._writing or not self._sound:
            self._commits.put(InTurn(self._generation))
        else:
            done(decided)
            return
        self._writing.append((done, decided, None, about))
        self._others_writing += 1

    def old_senders(self) -> list[str]:
        """See `Store.old_senders`."""
        return self._old_senders

    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[LogPage | Full | Failed], None]
    ) -> None:
        """See `Store.read`; beyond what may wait the answer is `Full` at once."""
        if not self._open:
            done(Failed(CLOSED))
        elif len(self._reading) >= QUEUE_READS:
            done(Full("too many reads wait for the disk"))
        elif room not in self._ledger.rooms or after >= MAX_SEQ:
            done(LogPage([]))
        else:
            self._reading.append(done)
            self._reads.put(Read(self._ledger.rooms[room].id, after, upto, max_bytes))

    def trim(
        self, room: str, keep: int, before: int, done: Callable[[Trimmed | Failed], None], ahead: int = NEVER
    ) -> None:
        """See `Store.trim`."""
        if not self._open:
            done(Failed(CLOSED))
        elif len(self._trimming) >= QUEUE_TRIMS:
            done(Failed("too many trims wait for the disk"))
        elif room not in self._ledger.rooms:
            done(Trimmed(1, False))
        else:
            self._trimming.append((done, room))
            self._commits.put(Trim(self._ledger.rooms[room].id, keep, before, ahead))

    def forget(self, producer: bytes) -> None:
        """See `Store.forget`."""
        if self._open:
            pairs = self._ledger.forget(producer)
            if pairs:
                self._commits.put(Forget(pairs_of(pairs, self._ledger.rooms)))

    def expire(self, before: int, now: int) -> None:
        """See `Store.expire`."""
        if self._open:
            pairs = self._ledger.expire(before, now)
            if pairs:
                self._commits.put(Forget(pairs_of(pairs, self._ledger.rooms)))

    def poll(self, watcher: Watcher) -> None:
        """See `Store.poll`."""
        if not self._open:
            return
        self._deliver(watcher)
        if self._forgot:
            watcher.forgot(self._forgot)
            self._forgot = 0
        for _ in range(POLL_PAGES):
            page = self._reads.take()
            if page is None:
                break
            self._reading.popleft()(page)
        else:
            self._wake()  # there may be more, for the next turn
        failure = self._commits.failure or self._reads.failure
        if failure:
            raise StoreError(f"{self._path}: a thread of the store has failed: {failure!r}") from failure

    def close(self, seconds: float = CLOSE_SECONDS) -> str:
        """See `Store.close`; a thread that hangs in the disk is abandoned, with the lock."""
        if not self._open:
            return ""
        if self._end(seconds):
            self._files.release()
        return self._files.left()

    def undo_open(self) -> None:
        """See `Store.undo_open`."""
        if self._open and self._end(CLOSE_SECONDS):
            self._files.abandon()

    def _end(self, seconds: float) -> bool:
        """Close all but the files' locks; False if a thread hangs."""
        deadline = time.monotonic() + seconds
        self._reads.stop()
        # First: the connection that is closed last, if it may write, removes the files beside the database.
        ended = self._reads.join(seconds)
        self._commits.stop()
        ended &= self._commits.join(max(0.0, deadline - time.monotonic()))
        self._open = False
        self._deliver(None)
        for write_done, *_ in self._writing:
            write_done(Failed("the disk did not answer before the store was closed"))
        for read_done in self._reading:
            read_done(Failed(CLOSED))
        for trim_done, _ in self._trimming:
            trim_done(Failed(CLOSED))
        return ended

    def _connect(self) -> sqlite3.Connection:
        self._files.check()
        return schema.connect(self._path, self._synchronous, self._max_pages)

    def _load(self, connection: sqlite3.Connection) -> Ledger:
        return schema.load(connection, self._clock, quotas=self._quotas)

    def _deliver(self, watcher: Watcher | None) -> None:
        """Report and answer what the commit thread has done; `watcher` is None once the store closes."""
        for _ in range(len(self._commits.reports)):
            report = self._commits.reports.popleft()
            if isinstance(report, Outcome):
                self._answer(report, watcher)
            else:
                done, room = self._trimming.popleft()
                if type(report) is Trimmed and room in self._ledger.rooms:
                    self._ledger.rooms[room].first = report.first
                    if watcher is not None:
                        watcher.trimmed(room, report.first)
                done(report)

    def _answer(self, outcome: Outcome, watcher: Watcher | None) -> None:
        if outcome.ledger:  # before any `done`, so that what that asks for is decided on it
            # A number is never used again: what still waits to be read would be another room's.
            outcome.ledger.last_id = max(outcome.ledger.last_id, self._ledger.last_id)
            # The file may not know which producers were forgotten, or come to know it after it was read.
            forgotten = outcome.ledger.forget_others(self._ledger)
            self._ledger = outcome.ledger
            if forgotten:
                self._commits.put(Forget(pairs_of(forgotten, self._ledger.rooms)))
            self._generation = outcome.generation
            if watcher is not None:
                watcher.recovered(self._ledger.sanctions())
        self._sound = self._generation == outcome.generation
        if outcome.commit is not None and watcher is not None:
            watcher.committed(outcome.commit)
        failed = outcome.failed
        if failed is not None and not outcome.count and watcher is not None:
            watcher.failed(failed.reason)
        for _ in range(outcome.count):
            done, decided, size, about = self._writing.popleft()
            if size is None:
                self._others_writing -= 1
            else:
                self._appending_bytes -= size
            if failed is None and watcher is not None:
                if type(decided) is Stored:
                    watcher.grew(about.room, decided.block, decided.epoch, about.user)
                elif type(decided) is Marked and about:
                    room, user = about
                    watcher.marked(room, user, decided.seq)
                    if decided.displaced is not None:
                        room, user = decided.displaced
                        watcher.marked(room, user, 0)
                elif type(decided) is Imposed:
                    watcher.imposed(decided.sanction)
                elif type(decided) is Lifted and decided.sanction is not None:
                    watcher.lifted(decided.sanction)
            done(failed or decided)


def _unusable(path: Path, error: Exception) -> StoreError:
    if schema.is_damage(error):
        return StoreError(f"{path} is damaged ({error}); {schema.RESTORE} {path}, or name another file")
    return StoreError(f"{path} can't be used as a store: {trouble(path, error)}; fix that, or name another file")
