"""Stores over a simulated disk: the real ones, with simulated threads and a simulated file beneath them."""

from __future__ import annotations

import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import World
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Commit, Failed, LogPage, Present, RoomLog, Sanction, Trimmed, Watcher
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.ledger import MAX_EPOCH, Ledger, LogEnds, Producer, count_old
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.news import News
from zchat.broker.store.pages import READY_PAGES
from zchat.broker.store.sqlite.committer import (
    Committer,
    Forget,
    Report,
    Task,
    Trim,
    Write,
    WriteReadMark,
    WriteSanction,
)
from zchat.broker.store.sqlite.reader import Read, Reader
from zchat.broker.store.sqlite.store import SqliteStore

TRIM_BLOCKS = 3
"""Blocks that one trim removes: few, so that a trim takes several steps."""

COPIES = 6
"""States of the disk remembered, for backups and lost tails."""

PATH = Path("simulated")


class File:
    """Hold what is safe: rooms with their blocks, producers, and read marks."""

    class Log:
        """Hold a room's rows."""

        def __init__(self, name: str, maker: str) -> None:
            self.name = name
            self.maker = maker
            self.first = 1
            self.last = 0
            self.timestamp = 0
            self.epochs: list[Epoch] = []
            self.blocks: list[Block] = []

        def copy(self) -> File.Log:
            """Return the same, on its own."""
            log = File.Log(self.name, self.maker)
            log.first, log.last, log.timestamp = self.first, self.last, self.timestamp
            log.epochs, log.blocks = self.epochs[:], self.blocks[:]
            return log

    def __init__(self) -> None:
        self.rooms: dict[int, File.Log] = {}
        self.producers: dict[tuple[bytes, int], tuple[int, bytes, int, str]] = {}
        self.marks: dict[tuple[int, str], int] = {}
        self.sanctions: dict[int, Sanction] = {}

    def copy(self) -> File:
        """Return the same, on its own."""
        file = File()
        file.rooms = {number: log.copy() for number, log in self.rooms.items()}
        file.producers = dict(self.producers)
        file.marks = dict(self.marks)
        file.sanctions = dict(self.sanctions)
        return file


class Disk:
    """Keep a file through the broker's crashes, with the states it had.

    `failing`: writes fail, `unreadable`: so does opening and reading it. `slow`: seconds that a commit takes.
    """

    def __init__(self, world: World, truth: Truth) -> None:
        self.world = world
        self.truth = truth
        self.file = File()
        self.copies: deque[File] = deque([File()], COPIES)
        self.failing = False
        self.unreadable = False
        self.slow = world.random.choice((0.0003, 0.003, 0.02))

    def connect(self) -> Any:
        """Open the file."""
        if self.unreadable:
            raise sqlite3.OperationalError("unable to open database file")
        return _Connection()

    def load(self) -> Ledger:
        """Read the ledger from the file."""
        random = self.world.random
        ledger = Ledger(self.world.clock, lambda: random.randint(1, MAX_EPOCH))
        for number, log in self.file.rooms.items():
            ledger.restore_room(LogEnds(number, log.name, log.first, log.last, log.timestamp, log.epochs, log.maker))
        for (name, number), (last, results, seen, user) in self.file.producers.items():
            kept = array("q")
            kept.frombytes(results)
            ledger.restore_producer((name, self.file.rooms[number].name), Producer(last, kept, seen, user))
        for (number, user), seq in self.file.marks.items():
            ledger.restore_read_mark(ledger.rooms[self.file.rooms[number].name], user, seq)
        for number in sorted(self.file.sanctions):
            ledger.restore_sanction(self.file.sanctions[number])
        return ledger

    def commit(self, tasks: list[Write | WriteReadMark | WriteSanction | Forget]) -> None:
        """Write all of it, or nothing."""
        if self.failing:
            raise sqlite3.OperationalError("database or disk is full")
        file = self.file
        if self.world.random.random() < 0.2:
            self.copies.append(file.copy())
        for task in tasks:
            if isinstance(task, Forget):
                for pair in task.pairs:
                    file.producers.pop(pair, None)
                continue
            if isinstance(task, WriteReadMark):
                file.marks.pop((task.room, task.user), None)
                if task.displaced is not None:
                    del file.marks[task.displaced]
                file.marks[task.room, task.user] = task.seq
                self.truth.marked(file.rooms[task.room].name, task.user, task.seq)
                continue
            if isinstance(task, WriteSanction):
                if task.gone is not None:
                    self.truth.lifted(file.sanctions.pop(task.gone))
                if task.imposed is not None:
                    file.sanctions[task.imposed.number] = task.imposed
                    self.truth.imposed(task.imposed)
                continue
            number, name, last, timestamp, maker = task.room
            log = file.rooms.setdefault(number, File.Log(name, maker))
            _, first, at, producer, _, data = task.block
            if task.epoch is not None:
                log.epochs.append(Epoch(task.epoch[2], task.epoch[1]))
            log.last, log.timestamp = last, timestamp
            block = Block(first, last, at, producer, data)
            log.blocks.append(block)
            file.producers.pop(task.pair, None)
            file.producers[task.pair] = (task.last, task.results, task.seen, task.user)
            self.truth.stored(name, log.epochs[-1].epoch, block)

    def trim(self, trim: Trim) -> Trimmed:
        """Remove a room's oldest blocks, a few."""
        if self.failing:
            raise sqlite3.OperationalError("database or disk is full")
        log = self.file.rooms.get(trim.room)
        if log is None:
            return Trimmed(1, False)
        dated = ((block.last, block.timestamp) for block in log.blocks)
        old = count_old(dated, log.last, trim.keep, trim.before, trim.ahead)
        gone = log.blocks[: min(old, TRIM_BLOCKS)]
        if gone:
            del log.blocks[: len(gone)]
            log.first = gone[-1].last + 1
            self.truth.trimmed(log.name, log.first)
        return Trimmed(log.first, old > TRIM_BLOCKS)

    def read(self, read: Read) -> LogPage | Failed:
        """Read whole blocks."""
        if self.unreadable:
            return Failed("disk I/O error")
        log = self.file.rooms.get(read.room)
        found: list[Block] = []
        size = 0
        for block in log.blocks if log is not None else ():
            if block.last <= read.after:
                continue
            size += len(block.data)
            if (found and size > read.max_bytes) or block.first > read.upto:
                break
            found.append(block)
        return LogPage(found)

    def go_back(self, copies: int) -> None:
        """Have the file as it was some copies ago: a backup restored, or the tail lost at a power cut."""
        copies = min(copies, len(self.copies))
        for _ in range(copies):
            self.file = self.copies.pop()
        if not self.copies:
            self.copies.append(self.file.copy())
        rooms = self.file.rooms
        self.truth.went_back(
            {log.name: log.last for log in rooms.values()},
            {(rooms[number].name, user): seq for (number, user), seq in self.file.marks.items()},
            list(self.file.sanctions.values()),
        )


class _Connection:
    """Stand for an open connection."""

    def close(self) -> None:
        """Close it."""


class _Commits(Committer):
    """Be the commit thread, in simulated time. `dead` once its process is."""

    def __init__(self, disk: Disk, load: Callable[[Any], Ledger], wake: Callable[[], None]) -> None:
        self.reports: deque[Report] = deque()  # in place of the real one's: a thread is what it would start
        self.failure = None
        self.dead = False
        self._disk = disk
        self._path = PATH
        self._connection = disk.connect()
        self._connect = disk.connect
        self._load = load
        self._wake = wake
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._generation = 0
        self._reason = ""
        self._written = 0
        self._taken: list[Task] = []

    def put(self, task: Task) -> None:
        super().put(task)
        if not self._taken and self._tasks.qsize() == 1:
            self._disk.world.after(0.00005, self._begin)

    def _begin(self) -> None:
        if not self.dead:
            self._taken, _ = self._take()
            world = self._disk.world
            world.after(self._disk.slow * (0.5 + world.random.random()), self._finish)

    def _finish(self) -> None:
        if not self.dead:
            tasks, self._taken = self._taken, []
            self._turn(tasks)
            if not self._tasks.empty():
                self._begin()

    def drain(self) -> None:
        """Do at once what waits."""
        while self._taken or not self._tasks.empty():
            tasks, self._taken = self._taken or self._take()[0], []
            self._turn(tasks)
        self.dead = True

    def _commit(self, connection: sqlite3.Connection, tasks: Iterable[Task]) -> int:
        fresh = [
            task
            for task in tasks
            if isinstance(task, Forget)
            or (isinstance(task, (Write, WriteReadMark, WriteSanction)) and task.generation == self._generation)
        ]
        try:
            self._disk.commit(fresh)
        except Exception as error:
            if not isinstance(error, sqlite3.Error):  # which the store would take for the disk's
                self._disk.world.broken = error
            raise
        self._disk.world.note("commit")
        return sum(len(task.block[-1]) for task in fresh if isinstance(task, Write))

    def _trim(self, trim: Trim) -> Trimmed | Failed:
        try:
            return self._disk.trim(trim)
        except sqlite3.Error as error:
            return Failed(str(error))


class _Reads(Reader):
    """Be the reading thread, in simulated time."""

    def __init__(self, disk: Disk, wake: Callable[[], None]) -> None:
        self.failure = None
        self.dead = False
        self._disk = disk
        self._wake = wake
        self._pages: deque[LogPage | Failed] = deque()
        self._places = Semaphore(READY_PAGES)
        self._waiting: deque[Read] = deque()

    def put(self, read: Read) -> None:
        self._waiting.append(read)
        if len(self._waiting) == 1:
            self._later()

    def _later(self) -> None:
        world = self._disk.world
        world.after(self._disk.slow * (0.5 + world.random.random()), self._next)

    def _next(self) -> None:
        if self.dead:
            return
        if self._places.acquire(blocking=False):
            self._pages.append(self._disk.read(self._waiting.popleft()))
            self._wake()
        if self._waiting:
            self._later()


class DurableStore(SqliteStore):
    """Be the store `sqlite:`, its ledger, queues and answers, with all below them simulated."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(PATH, disk.world.clock)
        self._disk = disk

    def open(self, wake: Callable[[], None], *, quotas: bool = False) -> list[RoomLog]:
        self._ledger = self._disk.load()
        self._wake = wake
        self._commits = self._simulated = _Commits(self._disk, lambda connection: self._disk.load(), wake)
        self._reads = self._reading_thread = _Reads(self._disk, wake)
        self._open = True
        return self._ledger.logs()

    def crash(self) -> None:
        """End at once: what isn't in the file is lost."""
        self._simulated.dead = self._reading_thread.dead = True

    def close(self, seconds: float = 1.5) -> str:
        self._simulated.drain()
        self._reading_thread.dead = True
        self._open = False
        self._deliver(None)
        return ""


class _Witness:
    """Tell the truth what a store reports, before the broker is."""

    def __init__(self, truth: Truth, watcher: Watcher) -> None:
        self._truth = truth
        self._watcher = watcher

    def appeared(self, log: RoomLog) -> None:
        self._watcher.appeared(log)

    def reached(self, log: RoomLog) -> None:
        self._watcher.reached(log)

    def parted(self, log: RoomLog) -> None:
        self._watcher.parted(log)

    def grew(self, room: str, block: Block, epoch: int, user: str) -> None:
        self._truth.stored(room, epoch, block)
        self._watcher.grew(room, block, epoch, user)

    def trimmed(self, room: str, first: int) -> None:
        self._truth.trimmed(room, first)
        self._watcher.trimmed(room, first)

    def marked(self, room: str, user: str, seq: int) -> None:
        self._truth.marked(room, user, seq)
        self._watcher.marked(room, user, seq)

    def imposed(self, sanction: Sanction) -> None:
        self._truth.imposed(sanction)
        self._watcher.imposed(sanction)

    def lifted(self, sanction: Sanction) -> None:
        self._truth.lifted(sanction)
        self._watcher.lifted(sanction)

    def recovered(self, sanctions: list[Sanction]) -> None:
        self._watcher.recovered(sanctions)

    def came(self, present: Present, broker: bytes) -> None:
        self._watcher.came(present, broker)

    def went(self, room: str, user: str, broker: bytes) -> None:
        self._watcher.went(room, user, broker)

    def told(self, news: News, broker: bytes) -> None:
        self._watcher.told(news, broker)

    def forgot(self, producers: int) -> None:
        self._watcher.forgot(producers)

    def committed(self, commit: Commit) -> None:
        self._watcher.committed(commit)

    def failed(self, reason: str) -> None:
        self._watcher.failed(reason)


class VolatileStore(MemoryStore):
    """Be the store `memory:`, and tell the truth what it stores."""

    def __init__(self, world: World, truth: Truth, max_room_messages: int) -> None:
        super().__init__(world.clock, max_room_messages)
        self._truth = truth
        self._ledger = Ledger(world.clock, lambda: world.random.randint(1, MAX_EPOCH))

    def poll(self, watcher: Watcher) -> None:
        super().poll(_Witness(self._truth, watcher))

    def crash(self) -> None:
        """Lose everything."""
        self._truth.went_back({}, {}, [])
