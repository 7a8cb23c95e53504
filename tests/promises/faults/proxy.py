"""A TCP proxy that does harm: it cuts connections, halves what they carry, delays it, swallows it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from tests.running import DEADLINE

READ = 1 << 16
"""Bytes taken from a connection at a time."""

BUFFER = 1 << 16
"""Bytes that wait in a connection before no more is read from its other end: a proxy is no queue."""

T = TypeVar("T")

_RESET = struct.pack("ii", 1, 0)


class Link:
    """Carry one connection both ways."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, broker: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self.ends = (client, broker)
        self.halve = False
        self.deaf = {client: False, broker: False}

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry one way until it ends."""
        with suppress(OSError):
            while data := await source.read(READ):
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if self.deaf[target]:
                    continue
                if self.halve:
                    target.write(data[: len(data) // 2])
                    with suppress(OSError):
                        await target.drain()
                    break
                target.write(data)
                await target.drain()
        self.cut(reset=False)

    def cut(self, *, reset: bool) -> None:
        """Close both ends; `reset`: without what they have yet to carry, as a crash of the machine between does."""
        for end in self.ends:
            if reset:
                with suppress(OSError):
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.transport.abort()
            else:
                end.close()


class Proxy:
    """Stand between clients and the broker at a port, in a thread, for as long as a `with` block lasts.

    `delay`: seconds for which everything is held back, at both ends, in its order. Any thread may call.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._links: dict[Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self._ready: Future[str] = Future()
        self.accepted = 0
        self.delay = 0.0
        self.shut = False
        """True while nobody is let through who connects."""

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.url = self._ready.result(DEADLINE)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    def cut(self) -> int:
        """Reset every connection; returns how many."""
        return self._order(self._cut)

    def halve(self) -> int:
        """Let every connection end in the middle of what it carries next; returns how many."""
        return self._order(self._halve)

    def deafen(self, turn: int = 0) -> int:
        """Swallow what goes to every other client, and to the broker from the rest; returns how many connections.

        They stay open, and neither side is notified. `turn`: an odd one swaps the two halves.
        """
        return self._order(lambda: self._deafen(turn))

    def _cut(self) -> int:
        count = len(self._links)
        for link in list(self._links):
            link.cut(reset=True)
        return count

    def _halve(self) -> int:
        for link in self._links:
            link.halve = True
        return len(self._links)

    def _deafen(self, turn: int) -> int:
        for number, link in enumerate(self._links, turn):
            link.deaf[link.ends[number % 2]] = True
        return len(self._links)

    def _order(self, order: Callable[[], T]) -> T:
        async def carry_out() -> T:
            return order()

        return asyncio.run_coroutine_threadsafe(carry_out(), self._loop).result(DEADLINE)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        self._server = loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self._ready.set_result(f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}")
        loop.run_forever()
        loop.remove_reader(self._server.sockets[0].fileno())
        loop.run_until_complete(self._settle())  # what was accepted last begins, which a closed server would not let it
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.run_until_complete(self._server.wait_closed())
        loop.run_until_complete(self._settle())  # what was closed is released
        loop.close()

    async def _settle(self) -> None:
        """Take the steps that the loop has yet to take."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        if self.shut:
            writer.transport.abort()
            return
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        for end in (writer, broker_writer):
            end.transport.set_write_buffer_limits(BUFFER)
        link = Link(self, writer, broker_writer)
        self._links[link] = None
        try:
            await asyncio.gather(link.carry(reader, broker_writer), link.carry(broker_reader, writer))
        finally:
            self._links.pop(link, None)
            link.cut(reset=True)
