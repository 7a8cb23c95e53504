"""Two more peers, which speak WebSocket: python-socketio, and Centrifugo by centrifuge-python.

Socket.IO's server is python-socketio too, over aiohttp. Centrifugo is one program: Debian has no package of it,
`go install github.com/centrifugal/centrifugo/v6@latest` makes it. Neither keeps anything here.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from threading import Event, Thread
from typing import Any

from _contenders import ROOM, Publisher, Talker
from _ends import TOGETHER, LoopEnd, Server, running, without
from _run import DEADLINE, Failed, free_port, reached

LARGEST = 4 << 20
"""Bytes that one message may have."""

ENDLESS = 1 << 30
"""Bytes that may wait for a client before Centrifugo disconnects it."""


# -- Socket.IO -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SocketIo:
    """python-socketio at both ends; a call at the end of many says that the server has handled them."""

    store = "memory:"
    slowness = 40

    def __str__(self) -> str:
        return "python-socketio"

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        return without("", "socketio", "aiohttp")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        listening = Event()

        async def serve() -> None:
            web = import_module("aiohttp.web")
            application = web.Application()
            self._server().attach(application)
            runner = web.AppRunner(application)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            listening.set()
            await asyncio.Future()

        Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
        if not listening.wait(DEADLINE):
            raise Failed("python-socketio does not start")
        yield Server(f"http://127.0.0.1:{port}")  # its thread ends with the process

    @staticmethod
    def _server() -> Any:
        # What a client says is handled in its order: no task each.
        server = import_module("socketio").AsyncServer(
            async_mode="aiohttp", async_handlers=False, max_http_buffer_size=LARGEST
        )

        async def join(sid: str, room: str) -> bool:
            await server.enter_room(sid, room)
            return True

        async def say(sid: str, room: str, text: str) -> None:
            await server.emit("message", text, room=room)

        async def done(sid: str) -> bool:
            return True

        for handler in (join, say, done):
            server.on(handler.__name__, handler)
        return server

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _SocketIoEnd(url, ROOM) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with _SocketIoEnd(url, room) as end:
            end.join()
            yield end


class _SocketIoEnd(LoopEnd):
    def __init__(self, url: str, room: str) -> None:
        super().__init__()
        self._room = room
        self._client = self._run(self._connected(url))

    async def _connected(self, url: str) -> Any:
        client = import_module("socketio").AsyncClient(reconnection=False)
        client.on("message", self._take)
        await client.connect(url, transports=["websocket"], wait_timeout=DEADLINE)
        return client

    async def _close(self) -> None:
        await self._client.disconnect()

    def join(self) -> None:
        self._run(self._client.call("join", self._room, timeout=DEADLINE))

    def send(self, text: str) -> object:
        return self._run(self._say(text))

    async def _say(self, text: str) -> None:
        await self._client.emit("say", (self._room, text))
        await self._client.eio.queue.join()  # written, while the loop runs

    def send_many(self, texts: Iterable[str]) -> int:
        return self._run(self._say_all(texts))

    async def _say_all(self, texts: Iterable[str]) -> int:
        sent, left = 0, iter(texts)
        while some := list(islice(left, TOGETHER)):
            for text in some:
                await self._client.emit("say", (self._room, text))
            await self._client.call("done", timeout=DEADLINE)
            sent += len(some)
        return sent


# -- Centrifugo ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Centrifugo:
    """centrifuge-python with protobuf; each publication is acknowledged, many at once."""

    store = "memory:"
    slowness = 20

    def __str__(self) -> str:
        return "Centrifugo"

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        return without("centrifugo", "centrifuge")

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        port = free_port()
        settings = {
            "http_server": {"address": "127.0.0.1", "port": str(port)},
            "client": {"insecure": True, "queue_max_size": ENDLESS},
            "websocket": {"message_size_limit": LARGEST},
            "log": {"level": "error"},
        }
        with tempfile.NamedTemporaryFile("w", prefix="zchat-benchmark-", suffix=".json") as file:
            json.dump(settings, file)
            file.flush()
            with running("centrifugo", "--config", file.name):
                reached(port)
                yield Server(f"ws://127.0.0.1:{port}/connection/websocket")

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with _CentrifugoEnd(url, ROOM) as end:
            yield end

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with _CentrifugoEnd(url, room) as end:
            end.subscribe()
            yield end


class _CentrifugoEnd(LoopEnd):
    def __init__(self, url: str, room: str) -> None:
        super().__init__()
        self._room = room
        self._client = self._run(self._connected(url))

    async def _connected(self, url: str) -> Any:
        client = import_module("centrifuge").Client(url, use_protobuf=True, timeout=DEADLINE)
        await client.connect()
        await client.ready(DEADLINE)
        return client

    async def _close(self) -> None:
        await self._client.disconnect()

    def subscribe(self) -> None:
        class Events(import_module("centrifuge").SubscriptionEventHandler):  # type: ignore[misc]
            async def on_publication(_, context: Any) -> None:  # noqa: N805
                self._take(context.pub.data.decode())

        async def subscribe() -> None:
            subscription = self._client.new_subscription(self._room, Events())
            await subscription.subscribe()
            await subscription.ready(DEADLINE)

        self._run(subscribe())

    def send(self, text: str) -> object:
        return self._run(self._client.publish(self._room, text.encode()))

    def send_many(self, texts: Iterable[str]) -> int:
        return self._run(self._say_all(texts))

    async def _say_all(self, texts: Iterable[str]) -> int:
        sent, left = 0, iter(texts)
        while some := list(islice(left, TOGETHER)):
            sent += len(await asyncio.gather(*(self._client.publish(self._room, text.encode()) for text in some)))
        return sent
