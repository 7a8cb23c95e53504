"""Clients without a library: frames to a broker's port and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

import zchat
from tests.frames import decode_notice
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.wire.blocks import join_bodies
from zchat.wire.notices import STATE
from zchat.wire.values import pack

ANY = "tcp://127.0.0.1:*"


BIG = join_bodies([pack("x" * 1_000_000)])


class Raw:
    """A DEALER that says what it likes."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], url: str, mark: int) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.rcvhwm = mark
        self.socket.linger = 0
        self.socket.sndtimeo = self.socket.rcvtimeo = int(DEADLINE * 1000)
        self.socket.connect(url)

    def say(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def hear(self) -> list[Any]:
        """Return the next notice, but for the state of rooms."""
        while (notice := decode_notice(self.socket.recv()))[0] == STATE:
            pass
        return notice

    def ask(self, *command: Any) -> list[Any]:
        self.say(pack(command))
        return self.hear()

    def greet(self, number: int = 1, mark: int = 0) -> list[Any]:
        return self.ask("hello", 1, 1, 1, "raw", bytes([number]) * 16, bytes([number]) * 16, mark, 1)


Dial = Callable[..., Raw]


class Talk:
    """Two clients that talk; `goes_on` asserts that nothing disturbs them.

    `connect` returns the client of a user; without it they have no keys.
    """

    def __init__(self, broker: Broker, connect: Callable[[str], zchat.Client] | None = None) -> None:
        if connect is None:

            def connect(user: str) -> zchat.Client:
                return zchat.Client(broker.url, user=user)

        self.alice, self.bob = connect("alice"), connect("bob")
        self._speaker, self._listener = self.alice.join("Talk"), self.bob.join("Talk")

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.alice.close()
        self.bob.close()

    def goes_on(self) -> None:
        for number in range(20):
            sent = self._speaker.send(number, timeout=DEADLINE)
            assert next(self._listener.messages(timeout=DEADLINE)) == sent
        assert self.bob.history("Talk", limit=1)[0].body == 19
