"""The thread that reads, over a connection of its own, beside the one that writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, LogPage
from zchat.broker.store.pages import PageThread
from zchat.broker.store.redis.attachment import RoomState, confirm
from zchat.broker.store.redis.connections.server import Command, Connection, Trouble, present_run, understanding
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.forms import HEAD_BYTES, block_at, ends_of, epochs_of, name_of
from zchat.broker.store.redis.mirrored_log import CatchUp, CaughtUp
from zchat.broker.store.redis.partitions import Keys, partition_of
from zchat.errors import StoreError

ENTRIES = 500
"""Blocks that one command reads at most: some 40 MB of the largest."""

CATCH_UP_BYTES = 1 << 20
"""Bytes of blocks in one step of catching up with a room."""

CATCH_UP_AGAIN = 0.2
"""Seconds until a room that couldn't be read is read again, to be caught up with."""

FIRST_BYTES = 4096
"""Bytes that a block is taken to have before one of its room was read."""


class Read(NamedTuple):
    """A request for blocks of a room, as `Store.read` says."""

    room: str
    after: int
    upto: int
    max_bytes: int


Page: TypeAlias = LogPage | Failed | CaughtUp


class Logs:
    """The logs of a store, to be read over connections that are given. It belongs to one thread."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._sizes: dict[str, int] = {}
        """By room the bytes of a block, as the last ones read there had them: so many are asked for."""

    def page(self, connection: Connection, read: Read) -> LogPage:
        """Return the blocks that are asked for; raises Trouble, StoreError."""
        ask = self._range(read, b"(%d-0" % read.after, 0)
        return self._whole_page(connection, read, ask, connection.ask([ask])[0])

    def _range(self, read: Read, after: bytes, size: int) -> Command:
        """Return what reads on after an entry, where so many bytes were read."""
        count = min(ENTRIES, (read.max_bytes - size) // self._sizes.get(read.room, FIRST_BYTES) + 1)
        log = self._keys.log(partition_of(read.room), read.room.encode())
        return ("XRANGE", log, after, "+", "COUNT", count)

    @understanding()
    def _whole_page(self, connection: Connection, read: Read, ask: Command, entries: list[Any]) -> LogPage:
        """Return the page that begins with the entries that were read by `ask`."""
        blocks: list[Block] = []
        size = 0
        while True:
            if entries:  # a few small ones may come before many large ones: it falls by half at most
                mean = sum(len(fields[3]) for _, fields in entries) // len(entries) + HEAD_BYTES
                self._sizes[read.room] = max(mean, self._sizes.get(read.room, 0) // 2)
            for block in map(block_at, entries):
                size += len(block.data)
                if (blocks and size > read.max_bytes) or block.first > read.upto:
                    return LogPage(blocks)
                if blocks and block.first > blocks[-1].last + 1:  # what lay between was trimmed while this read on
                    return LogPage(blocks)
                blocks.append(block)
            if len(entries) < int(ask[-1]) or size >= read.max_bytes:
                return LogPage(blocks)
            ask = self._range(read, b"(" + entries[-1][0], size)
            (entries,) = connection.ask([ask])

    @understanding()
    def catch_up(self, connection: Connection, read: CatchUp) -> CaughtUp:
        """Return what a room has, all asked for at once: each further answer would cost as much again.

        Raises:
            Trouble: the server can't be used now, or its replicas lack some of it.
            StoreError: the server refuses it.
        """
        shelf, field = self._keys.shelves[partition_of(read.room)], read.room.encode()
        ask: list[Command] = [("HGET", key, field) for key in (shelf.names, shelf.ends, shelf.epochs)]
        ask.append(("HGET", shelf.info, "epoch"))  # after the rest: that is of this epoch, or of an earlier one
        page = Read(read.room, read.after, 0, CATCH_UP_BYTES)
        if read.blocks:
            ask.append(self._range(page, b"(%d-0" % read.after, 0))
        name, ends, epochs, epoch, *entries = connection.ask(ask)
        if ends is None:
            return CaughtUp(read, 0, None, [])
        state = RoomState(*name_of(name), ends_of(ends), epochs_of(epochs))
        blocks: list[Block] = []
        if read.blocks:
            blocks = self._whole_page(connection, page._replace(upto=state.ends.last), ask[-1], entries[0]).blocks
        confirm(connection, self._keys)
        return CaughtUp(read, int(epoch or 0), state, blocks)


class Reader(PageThread[Read | CatchUp, Page]):
    """The thread that reads pages, over connections of its own.

    `run` is the run of the server at `url` that this broker is attached to: pages are of that one, as what another has
    in their place may be other messages, or none. `trouble` returns why it is attached to none now, "" if that is not
    known; any thread may call it.
    """

    def __init__(
        self, url: RedisURL, run: bytes, keys: Keys, wake: Callable[[], None], trouble: Callable[[], str]
    ) -> None:
        self._url = url
        self._attached_run = run
        self._connected_run = b""
        self._logs = Logs(keys)
        self._connection: Connection | None = None
        self._trouble = trouble
        super().__init__(wake)

    def move(self, url: RedisURL, run: bytes) -> None:
        """Read from the server at `url`, in its `run`, from now on. The loop thread."""
        self._url = url
        self._attached_run = run

    def _read(self, read: Read | CatchUp) -> Page | None:
        page = self._tried(read)
        if isinstance(read, CatchUp) and isinstance(page, Failed):  # nobody else would ask again
            time.sleep(CATCH_UP_AGAIN)
            self.put(read)
            return None
        return page

    def _tried(self, read: Read | CatchUp) -> Page:
        """Return a page, or why it can't be read: over a new connection, if the one there is has been cut."""
        url = self._url
        if self._connection is not None and (
            self._connection.url != url or self._connected_run != self._attached_run  # another has its place, perhaps
        ):
            self._close()
        connected = self._connection is not None
        while True:
            try:
                if self._connection is None:
                    self._connection = Connection(url)
                    self._connected_run = present_run(self._connection)
                if isinstance(read, CatchUp):
                    return self._logs.catch_up(self._connection, read)
                if self._connected_run != self._attached_run:
                    raise Trouble("the server has begun anew, and what it has is yet to be compared")
                return self._logs.page(self._connection, read)
            except (Trouble, StoreError) as trouble:
                self._close()
                if not connected:
                    return Failed(f"the server can't be read from: {self._trouble() or trouble}")
                connected = False

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
