"""Browsers as the benchmark of the gateway has them: bare sockets, many in one process, that count what comes.

They share the machine with what is measured, so that they read little of what they are sent: how many messages and
frames, and in three of them when each message was sent.
"""

from __future__ import annotations

import json
import re
import resource
import select
import socket
import struct
import time
from typing import Any

from _contenders import ROOM
from _run import DEADLINE, Failed, Pipe
from zchat.web.core import limits

ACKNOWLEDGE_EVERY = limits.WINDOW // 2
"""Frames, as zchat.js does."""

CHUNK = 1 << 18
"""Bytes read at a time."""

FILES = 30_000
"""Descriptors that a process may have, if the system allows it."""

_REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_STAMP = re.compile(rb"\|(\d{20})")
_JOINED = b'"op":"ok","id":2'
_FRAME = b'"op":"messages"'


def stamped(size: int) -> str:
    """Return a text of a message that says when it was sent."""
    return f"|{time.monotonic_ns():020}".ljust(size, "x")


def many_files() -> None:
    """Let this process have many connections."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))


def masked(command: dict[str, Any]) -> bytes:
    """Return a command as a browser's frame."""
    text = json.dumps(command).encode()
    length = (
        struct.pack(">BB", 0x81, 0x80 | len(text)) if len(text) < 126 else struct.pack(">BBH", 0x81, 0xFE, len(text))
    )
    return length + b"\0\0\0\0" + text  # a mask of zeros leaves the text as it is


class Browser:
    """One socket, and how much has come."""

    __slots__ = ("acknowledged", "frames", "left", "messages", "number", "socket")

    def __init__(self, number: int, port: int, user: str | None) -> None:
        self.number = number
        self.messages = 0
        """Since the reading began."""
        self.frames = 0
        """Since the joining."""
        self.acknowledged = 0
        self.left = b""
        """The end of what came, which may be the beginning of what is counted."""
        self.socket = socket.create_connection(("127.0.0.1", port))
        hello = {"op": "hello", "id": 1, "version": 1} | ({} if user is None else {"user": user})
        join = {"op": "join", "id": 2, "room": ROOM}
        self.socket.sendall(_REQUEST + masked(hello) + masked(join))

    def take(self) -> bytes:
        """Take what has come; return the stamps in it, and acknowledge frames."""
        data = self.left + self.socket.recv(CHUNK)
        if data == self.left:
            raise Failed(f"the gateway has closed connection {self.number}")
        self.left = data[-len(_FRAME) + 1 :] if data[-2:] != b'"}' else b""
        self.frames += data.count(_FRAME)
        self.messages += data.count(b',"|')
        if self.frames - self.acknowledged >= ACKNOWLEDGE_EVERY:
            self.acknowledged = self.frames
            self.socket.sendall(masked({"op": "ack", "room": ROOM, "taken": self.frames}))
        return data


def browse(pipe: Pipe, port: int, name: str | None) -> None:
    """Open browsers and read with them, as asked: `name` is what their users' names begin with, None if they watch."""
    many_files()
    browsers = Browsers(port, name)
    try:
        while True:
            what, number = pipe.hear()
            pipe.say(getattr(browsers, what)(number) if what != "read" else browsers.read(number, pipe))
    finally:
        browsers.close()


class Browsers:
    """Those of one process."""

    def __init__(self, port: int, name: str | None) -> None:
        self._port, self._name = port, name
        self._poll = select.epoll()
        self._by_file: dict[int, Browser] = {}

    def open(self, count: int) -> float:
        """Open so many browsers at once; return after how many seconds all had joined."""
        began = time.monotonic()
        for number in range(count):
            browser = Browser(number, self._port, None if self._name is None else f"{self._name} {number}")
            self._by_file[browser.socket.fileno()] = browser
            self._poll.register(browser.socket, select.EPOLLIN)
        outside = set(self._by_file)
        while outside:
            for file, _ in self._poll.poll(1):
                data = self._by_file[file].socket.recv(CHUNK)
                if b'"op":"error"' in data or not data:
                    raise Failed(f"a browser was not let in: {data!r}")
                if _JOINED in data:
                    outside.discard(file)
            if time.monotonic() > began + DEADLINE:
                raise Failed(f"{len(outside)} browsers did not come in")
        return time.monotonic() - began

    def close(self) -> None:
        """Close all."""
        self._poll.close()
        for browser in self._by_file.values():
            browser.socket.close()

    def drain(self, seconds: float) -> None:
        """Take what comes for some time, and count none of it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for file, _ in self._poll.poll(left):
                self._by_file[file].take()

    def stop(self, count: int) -> None:
        """Have so many browsers stand still from now on, those that came last."""
        for file in list(self._by_file)[-count:]:
            self._poll.unregister(file)
            self._by_file[file].number = -1

    def read(self, count: int, pipe: Pipe) -> tuple[list[int], int]:
        """Read until so many messages have come to each; return delays of three browsers in ns, and the last's time."""
        reading = [browser for browser in self._by_file.values() if browser.number >= 0]
        sample = {reading[0], reading[len(reading) // 2], reading[-1]}
        for browser in reading:
            browser.messages = 0
        delays: list[int] = []
        missing = len(reading)
        pipe.say()
        end = time.monotonic() + DEADLINE
        while missing:
            for file, _ in self._poll.poll(1):
                browser = self._by_file[file]
                before = browser.messages
                data = browser.take()
                if browser in sample:
                    now = time.monotonic_ns()
                    delays += [now - int(stamp) for stamp in _STAMP.findall(data)]
                missing -= before < count <= browser.messages
            if time.monotonic() > end:
                raise Failed(f"{missing} browsers have not had all messages")
        return delays, time.monotonic_ns()
