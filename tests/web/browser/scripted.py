"""A gateway without a broker: it answers the page as docs/web.md says, from lists, and does what a test asks."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import threading
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.running import DEADLINE
from zchat.web.pages import file_response, files_of

FILES = files_of(None)
WINDOW = 16
MOST_ROWS = 1_000

T = TypeVar("T")
Row = list[Any]
Frame = dict[str, Any]


class Room:
    """A log, who is there, and how far each has read it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.present: dict[str, int] = {}
        self.marks: dict[str, int] = {}

    @property
    def position(self) -> str:
        return f"1:{len(self.rows)}"


class Page:
    """A connection: who it is, and for each room the next seq to send, the frames sent and those taken."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.user = ""
        self.session = ""
        self.rooms: dict[str, list[int]] = {}

    def write(self, **frame: Any) -> None:
        self.socket.transport.write(_text_frame(json.dumps(frame)))


class Scripted:
    """The gateway, in a thread of its own; `with` starts and ends it. Its rooms survive `stop` and `start`."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.pages: list[Page] = []
        self.keys: dict[str, dict[str, Frame]] = {}
        self.sends: list[Frame] = []
        self.refusals: list[Frame] = []
        """What the next commands `send` are refused with, or {"op": "drop"}: stored, and then the gateway is gone."""
        self.closed = ""
        """Why nobody is let in, if nobody is."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted gateway")
        self._server: Server | None = None

    def __enter__(self) -> Scripted:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._do(self._start())

    def stop(self, forget: bool = True) -> None:
        """End all connections at once, as a kill does; with `forget`, the sessions too."""
        self._do(self._stop(forget))

    def write(self, name: str, user: str, bodies: Iterable[Any], at: float | None = None) -> None:
        """Store messages of a user who has no page."""

        async def write() -> None:
            for body in bodies:
                self._append(name, user, body, at)
            self._push(name)

        self._do(write())

    def event(self, name: str, kind: str, **fields: Any) -> None:
        """Send an event to the pages in a room, and keep what it says for `members`."""

        async def tell() -> None:
            room = self._room(name)
            if kind == "MemberJoined":
                room.present[fields["user"]] = 1
            elif kind == "MemberLeft":
                room.present.pop(fields["user"], None)
            elif kind == "ReadMark":
                room.marks[fields["user"]] = fields["seq"]
            self._event(name, kind, **fields)

        self._do(tell())

    def frame(self, user: str, /, **frame: Any) -> None:
        """Send a frame to the pages of a user."""

        async def write() -> None:
            for page in self.pages:
                if page.user == user:
                    page.write(**frame)
                    if frame["op"] == "removed":
                        page.rooms.pop(frame["room"], None)

        self._do(write())

    def log(self, name: str) -> list[Row]:
        return self._room(name).rows

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    async def _start(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, process_request=_static, compression=None, ping_interval=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _stop(self, forget: bool) -> None:
        if self._server is None:
            return
        for page in self.pages:
            page.socket.transport.abort()
        self._server.close(close_connections=False)
        await self._server.wait_closed()
        self._server = None
        if forget:
            self.keys.clear()

    def _room(self, name: str) -> Room:
        return self.rooms.setdefault(name.lower(), Room(name))

    def _append(self, name: str, user: str, body: Any, at: float | None = None) -> Row:
        room = self._room(name)
        row = [len(room.rows) + 1, int((at or time.time()) * 1_000_000), user, body]
        room.rows.append(row)
        return row

    def _event(self, name: str, kind: str, **fields: Any) -> None:
        for page in self.pages:
            if name.lower() in page.rooms:
                page.write(op="event", room=self._room(name).name, kind=kind, **fields)

    def _push(self, name: str) -> None:
        room = self._room(name)
        for page in self.pages:
            place = page.rooms.get(name.lower())
            while place and place[0] < len(room.rows) and place[1] - place[2] < WINDOW:
                rows = room.rows[place[0] : place[0] + MOST_ROWS]
                place[0] += len(rows)
                place[1] += 1
                page.write(op="messages", room=room.name, rows=rows, position=f"1:{place[0]}")

    async def _serve(self, socket: ServerConnection) -> None:
        page = Page(socket)
        self.pages.append(page)
        try:
            with contextlib.suppress(ConnectionClosed):
                async for text in socket:
                    self._take(page, json.loads(text))
        finally:
            self.pages.remove(page)
            for name in page.rooms:
                self._room(name).present.pop(page.user, None)
                self._event(name, "MemberLeft", user=page.user)

    def _take(self, page: Page, command: Frame) -> None:
        answer = getattr(self, f"_{command['op']}")(page, command)
        if answer is not None:
            page.write(**{"op": "ok", "id": command["id"], **answer})
        if "room" in command:
            self._push(command["room"])

    def _hello(self, page: Page, command: Frame) -> Frame | None:
        page.user = command.get("user") or command.get("token") or ""
        if self.closed or not page.user or page.user == "nobody":
            text = self.closed or ("say who you are" if not page.user else "'nobody' is not let in")
            page.write(op="error", id=0, code="not_let_in", text=text, retryable=False)
            self._closing = self._loop.create_task(page.socket.close(4001))
            return None
        session = command.get("session")
        resumed = session in self.keys
        page.session = session if resumed and session else f"{page.user} {time.monotonic()}"
        self.keys.setdefault(page.session, {})
        return {
            "user": page.user,
            "session": page.session,
            "resumed": resumed,
            "window": WINDOW,
            "beat": 20_000,
            "max": 9,
        }

    def _join(self, page: Page, command: Frame) -> Frame:
        room = self._room(command["room"])
        after = command.get("after")
        seq = len(room.rows) if after is None else 0 if after == "start" else int(after.split(":")[1])
        page.rooms[command["room"].lower()] = [seq, 0, 0]
        if page.user not in room.present:
            room.present[page.user] = 1
            self._event(room.name, "MemberJoined", user=page.user)
        rows = room.rows[max(0, seq - (command.get("history") or 0)) : seq] if command.get("history") else []
        answer = {"room": room.name, "position": f"1:{seq}", "members": len(room.present)}
        return {**answer, "rows": rows, "more": bool(rows) and rows[0][0] > 1}

    def _leave(self, page: Page, command: Frame) -> Frame:
        page.rooms.pop(command["room"].lower(), None)
        return {}

    def _send(self, page: Page, command: Frame) -> Frame | None:
        self.sends.append(command)
        known = self.keys[page.session]
        if command["key"] in known:
            return known[command["key"]]
        refusal = self.refusals.pop(0) if self.refusals else {}
        if refusal.get("op") == "lose":
            page.socket.transport.abort()
            return None
        if refusal and refusal.get("op") != "drop":
            return {"op": "error", "retryable": False, **refusal}
        row = self._append(command["room"], page.user, command["body"])
        if refusal:
            page.socket.transport.abort()
            self.keys.clear()
            return None
        known[command["key"]] = {"seq": row[0], "time": row[1]}
        return known[command["key"]]

    def _history(self, page: Page, command: Frame) -> Frame:
        rows, limit = self._room(command["room"]).rows, command.get("limit") or 50
        if command.get("after") is not None:
            found = rows[command["after"] :]
            return {"rows": found[:limit], "more": len(found) > limit}
        found = rows if command.get("before") is None else rows[: max(0, command["before"] - 1)]
        return {"rows": found[-limit:], "more": len(found) > limit}

    def _rooms(self, page: Page, command: Frame) -> Frame:
        found = []
        for room in self.rooms.values():
            mark, last = room.marks.get(page.user), len(room.rows)
            unread = None if mark is None else last - mark
            found.append({"name": room.name, "members": len(room.present), "first": 1, "last": last, "unread": unread})
        return {"rooms": sorted(found, key=lambda each: str(each["name"]).lower()), "more": False}

    def _members(self, page: Page, command: Frame) -> Frame:
        room = self._room(command["room"])
        found = [
            {"user": user, "since": 0, "typing": False, "mark": room.marks.get(user, 0)}
            for user in sorted(room.present, key=str.lower)
        ]
        return {"members": found, "more": False}

    def _ack(self, page: Page, command: Frame) -> None:
        place = page.rooms.get(command["room"].lower())
        if place:
            place[2] = command["taken"]

    def _typing(self, page: Page, command: Frame) -> None:
        self._event(command["room"], "Typing", user=page.user, active=command["active"])

    def _mark(self, page: Page, command: Frame) -> None:
        self._room(command["room"]).marks[page.user] = command["seq"]
        self._event(command["room"], "ReadMark", user=page.user, seq=command["seq"])


def _text_frame(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    return (b"\x81\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x81\x7f" + size.to_bytes(8, "big")) + data


def _static(socket: ServerConnection, request: Request) -> Response | None:
    if request.path == "/ws":
        return None
    file = FILES.get(request.path.partition("?")[0].removeprefix("/"))
    if file is None:
        return socket.respond(http.HTTPStatus.NOT_FOUND, "not here\n")
    return file_response(file, request.headers.get("Accept-Encoding", ""), "")
