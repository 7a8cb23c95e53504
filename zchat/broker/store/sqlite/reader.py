"""The thread that reads, beside the one that writes."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore
from typing import NamedTuple

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, LogPage
from zchat.broker.store.sqlite import schema
from zchat.threads import RealThread, awaited_by_callers, start

READY_PAGES = 32
"""Pages read ahead of `poll`: enough to keep the thread busy, 32 MiB of the largest at most."""


class Read(NamedTuple):
    """A request for blocks of the room of a number, as `Store.read` says."""

    room: int
    after: int
    upto: int
    max_bytes: int


class Reader:
    """The thread that reads pages, in the order in which they are requested.

    `wake` is called, from that thread, when there is one for `take`. `failure` is
    what ended the thread before its time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, wake: Callable[[], None]) -> None:
        self._path = path
        self._connection = connection
        self._wake = wake
        self.failure: BaseException | None = None
        self._pages: deque[LogPage | Failed] = deque()
        self._places = Semaphore(READY_PAGES)
        self._reads: SimpleQueue[Read | None] = SimpleQueue()
        self._stopped = False
        self._thread = RealThread(self._run, "zchat store reads")
        start(self._thread)

    def put(self, read: Read) -> None:
        """Ask for one more page; the caller bounds them. The loop thread."""
        self._reads.put(read)

    def take(self) -> LogPage | Failed | None:
        """Return the next page, None if none is ready. The loop thread."""
        if not self._pages:
            return None
        page = self._pages.popleft()
        self._places.release()
        return page

    def stop(self) -> None:
        """End after the page that is being read; returns at once. The loop thread."""
        self._stopped = True
        self._reads.put(None)
        self._places.release()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            while (read := self._reads.get()) and not self._stopped:
                self._places.acquire()
                self._pages.append(self._read(read))
                self._wake()
        except BaseException as error:  # the loop, which waits for pages, has to learn that none will come
            self.failure = error
            self._wake()
        finally:
            self._connection.close()

    def _read(self, read: Read) -> LogPage | Failed:
        blocks: list[Block] = []
        size = 0
        start = schema.key(read.room, 0)
        try:
            rows = self._connection.execute(
                "SELECT first, id - :start, timestamp, producer, data FROM blocks "
                "WHERE id > :start + :after AND id < :end ORDER BY id",
                {"start": start, "after": read.after, "end": schema.key(read.room + 1, 0)},
            )
            for block in map(Block._make, rows):
                size += len(block.data)
                if (blocks and size > read.max_bytes) or block.first > read.upto:
                    break
                blocks.append(block)
                if size >= read.max_bytes:
                    break
            rows.close()
        except (sqlite3.Error, MemoryError) as error:
            return schema.failed(self._path, error)
        return LogPage(blocks)
