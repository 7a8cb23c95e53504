"""A broker of a test's own, over plain TCP: it may do what no ROUTER can be made to do, and say what no broker says."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Self

from tests.attacks.zmtp import COMMAND, LONG, Connected, frame, greeting, ready
from tests.frames import decode_command
from tests.running import DEADLINE
from zchat.wire.values import pack

HONEST: dict[str, Callable[[list[Any]], list[Any]]] = {
    "hello": lambda command: [1, command[4], 10, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 15_000],
    "join": lambda command: [command[2], 7, 0, 1, 0, 10, False, *command[7:]],
    "leave": lambda command: [],
    "send": lambda command: [1, 1767225600000000, 7],
    "history": lambda command: [command[2], 0, 0, 0, False, []],
    "rooms": lambda command: [[["General", 1, 1, 0, None]], False],
    "mark": lambda command: [0],
    "members": lambda command: [[["bob", 1767225600000000, False, 0]], False],
    "stats": lambda command: [{}, {}, [], {}, []],
    "bye": lambda command: [],
}
"""What an honest broker answers, by the command's word."""


class Visitor(Connected):
    """A connection to such a broker: the client at its other end."""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def say(self, *notice: Any) -> None:
        """Send a frame."""
        self.send(frame(pack(notice)))

    def answer(self, command: list[Any], *result: Any) -> None:
        """Answer a command."""
        self.say("ok", command[1], *result)

    def shake_hands(self) -> None:
        """Become its peer, as a broker without keys."""
        self.send(greeting())
        self.read(64)
        self.send(ready(kind=b"ROUTER"))

    def hear(self) -> list[Any]:
        """Return the next command; raises ConnectionError once it is gone."""
        while True:
            whole = self.frame()
            if not whole[0] & COMMAND:
                return decode_command(whole[9 if whole[0] & LONG else 2 :])

    def frame(self) -> bytes:
        """Return the next frame, or command, with what stands before its body."""
        flags = self.read(1)
        size = self.read(8 if flags[0] & LONG else 1)
        return flags + size + self.read(int.from_bytes(size, "big"))

    def serve(self, **lies: Callable[[Visitor, list[Any]], object]) -> None:
        """Answer its commands, by the functions of their words if there are any, else as an honest broker does."""
        while True:
            command = self.hear()
            word = command[0]
            if word in lies:
                lies[word](self, command)
            elif word in HONEST:
                self.answer(command, *HONEST[word](command))
            elif word == "ping":
                self.say("pong", 1000)


class Hostile:
    """Something that listens while a `with` block lasts; `meet` is called with each that connects, in a thread."""

    def __init__(self, meet: Callable[[Visitor], object]) -> None:
        self._meet = meet
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._visitors: list[Visitor] = []
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everybody, and listen no longer."""
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for visitor in self._visitors:
            with suppress(OSError):
                visitor.socket.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(DEADLINE)
                visitor = Visitor(connection)
                self._visitors.append(visitor)
                Thread(target=self._talk, args=(visitor,), daemon=True).start()

    def _talk(self, visitor: Visitor) -> None:
        with suppress(OSError):
            self._meet(visitor)
        visitor.socket.close()


def broker(**lies: Callable[[Visitor, list[Any]], object]) -> Hostile:
    """Return a broker that lies where `lies` says so, as in `Visitor.serve`."""

    def meet(visitor: Visitor) -> None:
        visitor.shake_hands()
        visitor.serve(**lies)

    return Hostile(meet)
