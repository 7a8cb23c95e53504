"""A gateway in the test's own loop, and pages that connect to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.running import DEADLINE
from zchat.web.core.letting_in import LettingIn, Patterns
from zchat.web.pages import File
from zchat.web.serving import Settings, serve

FILES = {
    name: File("text/html; charset=utf-8", '"tag"', b"<p>a page</p>" * 20, {"gzip": b"packed"})
    for name in ("", "index.html")
}
OPEN = LettingIn(open_to_all=True, public=Patterns(["public*"]))


class Place:
    """Where a gateway is, and how it is ended."""

    def __init__(self, url: str, figures: str | None, stop: asyncio.Event) -> None:
        self.url, self.figures, self.stop = url, figures, stop
        self.port = int(url.rsplit(":", 1)[1].strip("/"))

    async def raw(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes over a connection of their own, and return all that comes until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if end:
                writer.write_eof()
            async with asyncio.timeout(DEADLINE):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    async def get(self, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of an answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        head, _, body = (await self.raw("\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body

    @asynccontextmanager
    async def page(self, user: str | None = None, *rooms: str, **options: Any) -> AsyncIterator[Page]:
        """Connect a page, which says hello and joins rooms."""
        async with connect(self.url.replace("http", "ws", 1) + "ws", compression=None, **options) as socket:
            page = Page(socket)
            if user is not None:
                assert (await page.ask("hello", version=1, user=user))["op"] == "ok"
            for room in rooms:
                assert (await page.ask("join", room=room))["op"] == "ok"
            yield page


class Page:
    """A page as a script."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.came: list[dict[str, Any]] = []
        self.position = ""
        """After the messages that `bodies` has returned."""
        self._ids = 0

    async def say(self, **command: Any) -> None:
        await self.socket.send(json.dumps(command))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            found: dict[str, Any] = json.loads(await self.socket.recv())
        return found

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer; what comes before it is kept in `came`."""
        self._ids += 1
        await self.say(op=op, id=self._ids, **fields)
        while (found := await self.next()).get("id") != self._ids:
            self.came.append(found)
        return found

    async def until(self, op: str) -> dict[str, Any]:
        """Return the next frame of a kind."""
        while True:
            for index, each in enumerate(self.came):
                if each["op"] == op:
                    return self.came.pop(index)
            self.came.append(await self.next())

    async def bodies(self, count: int) -> list[Any]:
        """Return as many bodies of messages."""
        found: list[Any] = []
        while len(found) < count:
            frame = await self.until("messages")
            self.position = frame["position"]
            found += [row[3] for row in frame["rows"]]
        return found

    async def _read_on(self) -> None:
        while True:
            self.came.append(await self.next())

    async def end(self) -> tuple[int, str]:
        """Return the code and the reason with which the connection is closed."""
        with pytest.raises(ConnectionClosed) as closed:
            await self._read_on()
        received = closed.value.rcvd
        assert received is not None, closed.value
        return received.code, received.reason


@asynccontextmanager
async def gateway(urls: str | list[str], letting_in: LettingIn = OPEN, **options: Any) -> AsyncIterator[Place]:
    """Run a gateway for a broker, or for several."""
    stop = asyncio.Event()
    started: asyncio.Future[tuple[str, str | None]] = asyncio.get_running_loop().create_future()
    settings = Settings([urls] if isinstance(urls, str) else urls, "127.0.0.1", 0, letting_in, FILES, **options)
    running = asyncio.create_task(serve(settings, lambda *places: started.set_result(places), stop))
    try:
        await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        yield Place(*started.result(), stop)
    finally:
        stop.set()
        await running
