"""The thread that reads, beside the one that writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, LogPage
from zchat.broker.store.pages import PageThread
from zchat.broker.store.sqlite import schema


class Read(NamedTuple):
    """A request for blocks of the room of a number, as `Store.read` says."""

    room: int
    after: int
    upto: int
    max_bytes: int


class Reader(PageThread[Read, LogPage | Failed]):
    """The thread that reads pages, over a connection of its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection, wake: Callable[[], None]) -> None:
        self._path = path
        self._connection = connection
        super().__init__(wake)

    def _close(self) -> None:
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
