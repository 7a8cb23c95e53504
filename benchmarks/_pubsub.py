"""Peers of zchat, by their own clients in Python: Redis pub/sub and Streams, NATS, MQTT.

Each is used in its fastest way that loses nothing: it sends as many at once as its client can, and there is no bound on
what waits. All are over TCP. The servers (redis-server, nats-server, mosquitto) are Debian's packages, the clients
(redis-py, nats-py, paho-mqtt) are PyPI's. `_websockets.py` has two more.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from _contenders import ROOM, Publisher, Talker
from _ends import TOGETHER, LoopEnd, Message, Server, numbered, running, without
from _run import DEADLINE, Failed, free_port, reached

UNLIMITED = -1
"""What nats-py takes for no limit of what waits for a callback."""


# -- Redis ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisPubSub:
    """redis-py's pub/sub, by a pipeline; nothing is kept."""

    store = "memory:"
    slowness = 4

    def __str__(self) -> str:
        return "Redis pub/sub"

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        return without("redis-server", "redis")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        bounds = "normal 0 0 0 pubsub 0 0 0"
        line = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        with running(*line, "--client-output-buffer-limit", bounds):
            reached(port)
            yield Server(f"redis://127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with connected(url) as connection:
            yield _PubSub(connection, ROOM)

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with connected(url) as connection, connection.pubsub(ignore_subscribe_messages=True) as heard:
            heard.subscribe(room)
            heard.get_message(timeout=DEADLINE)  # that it is subscribed
            yield _PubSub(connection, room, heard)


@dataclass(frozen=True)
class RedisStreams(RedisPubSub):
    """redis-py's streams: XADD by a pipeline, XREAD of up to 1,000; the log is kept in memory."""

    def __str__(self) -> str:
        return "Redis Streams"

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with connected(url) as connection:
            yield _Stream(connection, ROOM)

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with connected(url) as connection:
            yield _Stream(connection, room)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Give a connection of redis-py."""
    connection = import_module("redis").Redis.from_url(url, decode_responses=True, socket_timeout=None)
    try:
        yield connection
    finally:
        connection.close()


class _RedisEnd:
    def __init__(self, connection: Any, room: str, heard: Any = None) -> None:
        self._connection, self._room, self._heard = connection, room, heard

    def _say(self, to: Any, text: str) -> object:
        raise NotImplementedError

    def send(self, text: str) -> object:
        return self._say(self._connection, text)

    def send_many(self, texts: Iterable[str]) -> int:
        sent, left = 0, iter(texts)
        while some := list(islice(left, TOGETHER)):
            with self._connection.pipeline(transaction=False) as pipeline:
                for text in some:
                    self._say(pipeline, text)
                sent += len(pipeline.execute())
        return sent


class _PubSub(_RedisEnd):
    def _say(self, to: Any, text: str) -> object:
        return to.publish(self._room, text)

    def messages(self, timeout: float) -> Iterator[Message]:
        for number in count(1):
            found = self._heard.get_message(timeout=timeout)
            if found is None:
                return
            yield numbered(number, found["data"])


class _Stream(_RedisEnd):
    def _say(self, to: Any, text: str) -> object:
        return to.xadd(self._room, {"t": text})

    def messages(self, timeout: float) -> Iterator[Message]:
        numbers, last = count(1), "0"
        while found := self._connection.xread({self._room: last}, count=TOGETHER, block=int(timeout * 1000)):
            [[_, entries]] = found.items() if isinstance(found, dict) else found
            if isinstance(found, dict):
                [entries] = entries
            last = entries[-1][0]
            for _, fields in entries:
                yield numbered(next(numbers), fields["t"])


# -- NATS ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nats:
    """nats-py by callback, on an event loop of asyncio in the thread that sends, or takes; nothing is kept."""

    store = "memory:"
    slowness = 4

    def __str__(self) -> str:
        return "nats-py"

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        return without("nats-server", "nats")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        with running("nats-server", "--addr", "127.0.0.1", "--port", str(port)):
            reached(port)
            yield Server(f"nats://127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with NatsEnd(url, ROOM) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with NatsEnd(url, room) as end:
            end.subscribe()
            yield end


class NatsEnd(LoopEnd):
    """A connection of nats-py."""

    def __init__(self, url: str, room: str) -> None:
        super().__init__()
        self._room = room
        self._connection = self._run(import_module("nats").connect(url))

    async def _close(self) -> None:
        await self._connection.close()

    def send(self, text: str) -> object:
        return self._run(self._say(text))

    async def _say(self, text: str) -> None:
        await self._connection.publish(self._room, text.encode())
        await self._connection._flush_pending()  # now, as a caller who waits for more would have it
        await asyncio.sleep(0)

    def send_many(self, texts: Iterable[str]) -> int:
        return self._run(self._say_all(texts))

    async def _say_all(self, texts: Iterable[str]) -> int:
        sent = 0
        for text in texts:
            await self._connection.publish(self._room, text.encode())
            sent += 1
        await self._connection.flush(DEADLINE)
        return sent

    def subscribe(self) -> None:
        """Have messages arrive from now on."""

        async def take(message: Any) -> None:
            self._take(message.data.decode())

        async def subscribe() -> None:
            limits = {"pending_msgs_limit": UNLIMITED, "pending_bytes_limit": UNLIMITED}
            await self._connection.subscribe(self._room, cb=take, **limits)
            await self._connection.flush(DEADLINE)

        self._run(subscribe())


# -- MQTT ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mqtt:
    """paho-mqtt by callback over mosquitto, quality of service 1: what can't be delivered yet is kept."""

    store = "memory:"
    slowness = 40

    def __str__(self) -> str:
        return "MQTT (mosquitto, paho)"

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        return without("mosquitto", "paho")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        settings = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        with tempfile.NamedTemporaryFile("w", prefix="zchat-benchmark-", suffix=".conf") as file:
            file.write(settings)
            file.flush()
            Path(file.name).chmod(0o644)  # mosquitto gives up root before it reads it again
            with running("mosquitto", "-c", file.name):
                reached(port)
                yield Server(f"127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _MqttEnd(url, ROOM) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with _MqttEnd(url, room) as end:
            end.subscribe()
            yield end


class _MqttEnd:
    """A connection with paho's thread; what arrives is queued for the thread that takes it."""

    def __init__(self, url: str, room: str) -> None:
        self._room = room
        paho: Any = import_module("paho.mqtt.client")
        self._arrived: SimpleQueue[str] = SimpleQueue()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(TOGETHER)
        self._client.max_queued_messages_set(0)
        self._client.on_message = lambda client, data, message: self._arrived.put(message.payload.decode())
        host, _, port = url.rpartition(":")
        self._client.connect(host, int(port))
        self._client.loop_start()

    def __enter__(self) -> _MqttEnd:
        until = time.monotonic() + DEADLINE
        while not self._client.is_connected():
            if time.monotonic() > until:
                raise Failed("mosquitto lets nobody in")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, text: str) -> object:
        return self._client.publish(self._room, text, qos=1)

    def send_many(self, texts: Iterable[str]) -> int:
        under_way: deque[Any] = deque()
        sent = 0
        for text in texts:
            under_way.append(self.send(text))
            sent += 1
            if len(under_way) > 2 * TOGETHER:
                under_way.popleft().wait_for_publish(DEADLINE)
        while under_way:
            under_way.popleft().wait_for_publish(DEADLINE)
        return sent

    def subscribe(self) -> None:
        done: SimpleQueue[object] = SimpleQueue()
        self._client.on_subscribe = lambda *_: done.put(None)
        self._client.subscribe(self._room, qos=1)
        done.get(timeout=DEADLINE)

    def messages(self, timeout: float) -> Iterator[Message]:
        for number in count(1):
            try:
                yield numbered(number, self._arrived.get(timeout=timeout))
            except Empty:
                return
