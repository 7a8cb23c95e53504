"""What zchat is compared with, by their own clients in Python: Redis pub/sub and Streams, NATS, MQTT.

Each is used in its fastest way that loses nothing: it sends as many at once as its client can, and there is no bound on
what waits. All are over TCP. The servers (redis-server, nats-server, mosquitto) are Debian's packages, the clients
(redis-py, nats-py, paho-mqtt) are PyPI's.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from _contenders import ROOM, Contender, Publisher, Subscriber
from _run import DEADLINE, Failed, free_port, reached

TOGETHER = 1_000
"""Messages that are given to a client at once, as zchat's has them in one block."""

UNLIMITED = -1
"""What nats-py takes for no limit of what waits for a callback."""

T = TypeVar("T")
Message = tuple[str, int, int, str, str]


def _message(number: int, text: str) -> Message:
    return ROOM, number, 0, "", text


@dataclass(frozen=True)
class Server:
    """Where a peer's server is, and what ends it."""

    url: str


def _missing(program: str, package: str) -> str:
    wanted = {program: shutil.which(program), package: find_spec(package)}
    return " and ".join(name for name, found in wanted.items() if not found)


@contextmanager
def _running(*line: str) -> Iterator[None]:
    """Run a server while the block lasts."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


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
        return _missing("redis-server", "redis")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        bounds = "normal 0 0 0 pubsub 0 0 0"
        line = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        with _running(*line, "--client-output-buffer-limit", bounds):
            reached(port)
            yield Server(f"redis://127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _redis(url) as connection:
            yield _RedisPublisher(connection, lambda to, text: to.publish(ROOM, text))

    @contextmanager
    def subscriber(self, url: str, user: str, last: int) -> Iterator[Subscriber]:
        with _redis(url) as connection, connection.pubsub(ignore_subscribe_messages=True) as heard:
            heard.subscribe(ROOM)
            heard.get_message(timeout=DEADLINE)  # that it is subscribed
            yield _PubSubSubscriber(heard)


@dataclass(frozen=True)
class RedisStreams(RedisPubSub):
    """redis-py's streams: XADD by a pipeline, XREAD of up to 1,000; the log is kept in memory."""

    def __str__(self) -> str:
        return "Redis Streams"

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _redis(url) as connection:
            yield _RedisPublisher(connection, lambda to, text: to.xadd(ROOM, {"t": text}))

    @contextmanager
    def subscriber(self, url: str, user: str, last: int) -> Iterator[Subscriber]:
        with _redis(url) as connection:
            yield _StreamSubscriber(connection)


@contextmanager
def _redis(url: str) -> Iterator[Any]:
    connection = import_module("redis").Redis.from_url(url, decode_responses=True)
    try:
        yield connection
    finally:
        connection.close()


class _RedisPublisher:
    def __init__(self, connection: Any, say: Callable[[Any, str], object]) -> None:
        self._connection, self._say = connection, say

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


class _PubSubSubscriber:
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def messages(self, timeout: float) -> Iterator[Message]:
        for number in count(1):
            found = self._heard.get_message(timeout=timeout)
            if found is None:
                return
            yield _message(number, found["data"])


class _StreamSubscriber:
    def __init__(self, connection: Any) -> None:
        self._connection, self._last = connection, "0"

    def messages(self, timeout: float) -> Iterator[Message]:
        numbers = count(1)
        while found := self._connection.xread({ROOM: self._last}, count=TOGETHER, block=int(timeout * 1000)):
            [[_, entries]] = found.items() if isinstance(found, dict) else found
            if isinstance(found, dict):
                [entries] = entries
            for self._last, fields in entries:
                yield _message(next(numbers), fields["t"])


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
        return _missing("nats-server", "nats")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        with _running("nats-server", "--addr", "127.0.0.1", "--port", str(port)):
            reached(port)
            yield Server(f"nats://127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _NatsEnd(url) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int) -> Iterator[Subscriber]:
        with _NatsEnd(url) as end:
            end.subscribe()
            yield end


class _NatsEnd:
    """A connection, and the loop that it lives on; one thread at a time."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._run(import_module("nats").connect(url))
        self._arrived: deque[str] = deque()
        self._something = asyncio.Event()

    def __enter__(self) -> _NatsEnd:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._connection.close())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def send(self, text: str) -> object:
        return self._run(self._say(text))

    async def _say(self, text: str) -> None:
        await self._connection.publish(ROOM, text.encode())
        await self._connection._flush_pending()  # now, as a caller who waits for more would have it
        await asyncio.sleep(0)

    def send_many(self, texts: Iterable[str]) -> int:
        return self._run(self._say_all(texts))

    async def _say_all(self, texts: Iterable[str]) -> int:
        sent = 0
        for text in texts:
            await self._connection.publish(ROOM, text.encode())
            sent += 1
        await self._connection.flush(DEADLINE)
        return sent

    def subscribe(self) -> None:
        async def take(message: Any) -> None:
            self._arrived.append(message.data.decode())
            self._something.set()

        async def subscribe() -> None:
            limits = {"pending_msgs_limit": UNLIMITED, "pending_bytes_limit": UNLIMITED}
            await self._connection.subscribe(ROOM, cb=take, **limits)
            await self._connection.flush(DEADLINE)

        self._run(subscribe())

    def messages(self, timeout: float) -> Iterator[Message]:
        numbers = count(1)
        while True:
            try:
                self._run(asyncio.wait_for(self._something.wait(), timeout))
            except TimeoutError:
                return
            self._something.clear()
            while self._arrived:
                yield _message(next(numbers), self._arrived.popleft())


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
        return _missing("mosquitto", "paho")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        settings = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        with tempfile.NamedTemporaryFile("w", prefix="zchat-benchmark-", suffix=".conf") as file:
            file.write(settings)
            file.flush()
            Path(file.name).chmod(0o644)  # mosquitto gives up root before it reads it again
            with _running("mosquitto", "-c", file.name):
                reached(port)
                yield Server(f"127.0.0.1:{port}")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _MqttEnd(url) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int) -> Iterator[Subscriber]:
        with _MqttEnd(url) as end:
            end.subscribe()
            yield end


class _MqttEnd:
    """A connection with paho's thread; what arrives is queued for the thread that takes it."""

    def __init__(self, url: str) -> None:
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
        return self._client.publish(ROOM, text, qos=1)

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
        self._client.subscribe(ROOM, qos=1)
        done.get(timeout=DEADLINE)

    def messages(self, timeout: float) -> Iterator[Message]:
        for number in count(1):
            try:
                yield _message(number, self._arrived.get(timeout=timeout))
            except Empty:
                return


PEERS = (RedisPubSub(), RedisStreams(), Nats(), Mqtt())


def installed() -> list[Contender]:
    """Return those that can run here; what the others need is said on stderr."""
    for peer in PEERS:
        if missing := peer.missing():
            print(f"{peer} is left out: {missing} isn't installed", file=sys.stderr)
    return [peer for peer in PEERS if not peer.missing()]
