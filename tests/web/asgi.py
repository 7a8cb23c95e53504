"""Connections to an application of ASGI, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.running import DEADLINE
from zchat.web import App


class Line:
    """One connection to an application, as a server of ASGI has it."""

    def __init__(
        self, app: Any, kind: str, path: str, *headers: tuple[str, str], root: str = "", query: str = "",
        method: str = "GET",
    ) -> None:  # fmt: skip
        given = [("host", "site.example"), *headers]
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._given: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.taking = asyncio.Event()
        """Set while the other end takes what is sent."""
        self.taking.set()
        scope = {
            "type": kind, "path": path, "root_path": root, "method": method, "client": ("192.0.2.1", 5),
            "headers": [(name.encode(), value.encode()) for name, value in given], "query_string": query.encode(),
        }  # fmt: skip
        self.give({"type": f"{kind}.connect"} if kind == "websocket" else {"type": "http.request", "body": b""})
        self.task = asyncio.create_task(app(scope, self._given.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        await self.taking.wait()
        await self.sent.put(message)

    def give(self, message: dict[str, Any]) -> None:
        self._given.put_nowait(message)

    def left(self) -> int:
        """Return how many messages that were given have not been taken."""
        return self._given.qsize()

    async def next(self) -> dict[str, Any]:
        """Return the next message that was sent."""
        async with asyncio.timeout(DEADLINE):
            return await self.sent.get()

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Send a page's command, and return its answer."""
        self.give({"type": "websocket.receive", "text": json.dumps(command)})
        while True:
            found: dict[str, Any] = json.loads((await self.next())["text"])
            if found.get("id") == command.get("id"):
                return found

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of an answer that ends."""
        async with asyncio.timeout(DEADLINE):
            await self.task
        start, *parts = [self.sent.get_nowait() for _ in range(self.sent.qsize())]
        return start["status"], head_of(start), b"".join(part.get("body", b"") for part in parts)

    async def events(self) -> dict[str, str]:
        """Return the headers of server-sent events, which begin."""
        start = await self.next()
        assert start["status"] == 200
        assert (await self.next())["body"] == b"retry: 2000\n\n"
        return head_of(start)

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return the next of them: its number, and what it holds."""
        number, data, _ = (await self.next())["body"].split(b"\n", 2)
        return number.removeprefix(b"id: ").decode(), json.loads(data.removeprefix(b"data: "))

    async def end(self, kind: str = "websocket") -> None:
        self.give({"type": f"{kind}.disconnect", "code": 1001})
        async with asyncio.timeout(DEADLINE):
            await self.task


def head_of(start: dict[str, Any]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in start["headers"]}


@asynccontextmanager
async def connected(app: App, *headers: tuple[str, str]) -> AsyncIterator[Line]:
    line = Line(app, "websocket", "/ws", *headers)
    assert await line.next() == {"type": "websocket.accept"}
    yield line
    await line.end()
