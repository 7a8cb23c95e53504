"""What keeps messages on disk, and gives them again from the beginning: zchat, JetStream, a Redis stream with AOF.

SQLite flushes the disk before it acknowledges (`synchronous=FULL`), and so does Redis with `appendfsync always`.
JetStream doesn't: before version 2.10 of nats-server it couldn't be told to, and Debian has 2.9.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import zchat
from _contenders import ROOM, Contender, Publisher, Zchat
from _ends import TOGETHER, Server, running
from _pubsub import Nats, NatsEnd, RedisStreams, connected
from _run import DEADLINE, Failed, free_port, reached

Replay = Callable[[], int]
"""What reads everything that was said, from the beginning, and returns how many messages that were."""


class Log(Contender, Protocol):
    """A contender that keeps what is said."""

    def replay(self, url: str, messages: int, limit: int) -> AbstractContextManager[Replay]:
        """Give what reads so many messages again, up to `limit` a call."""


# -- zchat ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class History(Zchat):
    """zchat's log by `history`, a `Message` each."""

    def __str__(self) -> str:
        return f"{super().__str__()}, history()"

    @contextmanager
    def replay(self, url: str, messages: int, limit: int) -> Iterator[Replay]:
        with zchat.Client(url, user="reader") as client:

            def read() -> int:
                last = 0
                while page := client.history(ROOM, after=last, limit=limit):
                    if [message.seq for message in page] != list(range(last + 1, last + 1 + len(page))):
                        raise Failed(f"the page after {last:,} has holes")
                    last = page[-1].seq
                return last

            yield read


@dataclass(frozen=True)
class Batches(Zchat):
    """zchat's log by a member that joins at its beginning, and takes the bodies of `batches`."""

    def __str__(self) -> str:
        return f"{super().__str__()}, batches()"

    @contextmanager
    def replay(self, url: str, messages: int, limit: int) -> Iterator[Replay]:
        with zchat.Client(url, user="reader") as client:

            def read() -> int:
                room = client.join(ROOM, after=zchat.START)
                count = 0
                for batch in room.batches(DEADLINE):
                    count += len(batch.bodies)
                    if count >= messages:
                        break
                room.leave()
                return count

            yield read


# -- JetStream -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JetStream(Nats):
    """nats-py's streams in files, published without waiting for each one's acknowledgement, read by a pull consumer."""

    slowness = 10

    def __str__(self) -> str:
        return "JetStream, no fsync"

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="zchat-benchmark-") as folder:
            line = ["nats-server", "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", folder]
            with running(*line):
                reached(port)
                yield Server(f"nats://127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _JetStreamEnd(url, ROOM) as end:
            end.make()
            yield end

    @contextmanager
    def replay(self, url: str, messages: int, limit: int) -> Iterator[Replay]:
        with _JetStreamEnd(url, ROOM) as end:
            yield lambda: end.replay(messages, limit)


class _JetStreamEnd(NatsEnd):
    def __init__(self, url: str, room: str) -> None:
        super().__init__(url, room)
        self._stream = self._connection.jetstream(publish_async_max_pending=TOGETHER)

    def make(self) -> None:
        self._run(self._stream.add_stream(name=self._room, subjects=[self._room], storage="file"))

    async def _say_all(self, texts: Iterable[str]) -> int:
        answers = [await self._stream.publish_async(self._room, text.encode(), wait_stall=DEADLINE) for text in texts]
        return len(await asyncio.gather(*answers))

    def replay(self, messages: int, limit: int) -> int:
        return self._run(self._replay(messages, limit))

    async def _replay(self, messages: int, limit: int) -> int:
        unacknowledged = import_module("nats.js.api").ConsumerConfig(ack_policy="none")
        reader = await self._stream.pull_subscribe(self._room, config=unacknowledged)
        count = 0
        while count < messages:
            found = await reader.fetch(min(limit, messages - count), timeout=DEADLINE)
            count += len([message.data.decode() for message in found])
        await reader.unsubscribe()
        return count


# -- Redis ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisLog(RedisStreams):
    """redis-py's streams, in a file that is appended to; read by XRANGE."""

    def __str__(self) -> str:
        return "Redis Streams, AOF always"

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="zchat-benchmark-") as folder:
            line = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
            with running(*line, "--appendonly", "yes", "--appendfsync", "always"):
                reached(port)
                yield Server(f"redis://127.0.0.1:{port}")

    @contextmanager
    def replay(self, url: str, messages: int, limit: int) -> Iterator[Replay]:
        with connected(url) as connection:

            def read() -> int:
                count, after = 0, "-"
                while found := connection.xrange(ROOM, min=after, count=limit):
                    count += len(found)
                    after = f"({found[-1][0]}"
                return count

            yield read


def logs() -> list[Log]:
    """Return the peers that can run here."""
    peers: list[Log] = []
    if not JetStream.missing():
        peers.append(JetStream())
    if not RedisLog.missing():
        peers.append(RedisLog())
    return peers
