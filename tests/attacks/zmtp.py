"""A ZMTP 3.0 peer without libzmq, which may do what libzmq's own sockets can't be made to do.

The format: https://rfc.zeromq.org/spec/23/.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Self

from tests.frames import decode_notice
from tests.running import DEADLINE
from zchat.wire.notices import STATE
from zchat.wire.values import pack

MORE, LONG, COMMAND = 1, 2, 4


def greeting(mechanism: bytes = b"NULL", minor: int = 0) -> bytes:
    """Return the 64 bytes with which a peer begins."""
    return b"\xff" + bytes(8) + b"\x7f\x03" + bytes((minor,)) + mechanism.ljust(20, b"\0") + bytes(32)


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return a frame, or a command."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | LONG,)) + len(body).to_bytes(8, "big") + body


def prop(name: bytes, value: bytes) -> bytes:
    """Return a property of a READY."""
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value


def ready(*props: bytes, kind: bytes = b"DEALER") -> bytes:
    """Return the command that ends a handshake of NULL."""
    return frame(b"\x05READY" + prop(b"Socket-Type", kind) + b"".join(props), COMMAND)


class Connected:
    """One end of a TCP connection that speaks ZMTP."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._kept = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes, so many; raises ConnectionError at the end."""
        while len(self._kept) < size:
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError("the other end has closed the connection")
            self._kept += more
        found, self._kept = self._kept[:size], self._kept[size:]
        return found

    def reset(self) -> None:
        """Close the connection at once, whatever is still on its way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Stranger(Connected):
    """A TCP connection to a broker that says what it likes, and closes itself without a word."""

    mechanism = b"NULL"

    def __init__(self, url: str) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), DEADLINE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def framed(self, body: bytes, flags: int = 0) -> bytes:
        """Return a frame, or a command, as this connection sends it after its handshake."""
        return frame(body, flags)

    def send(self, body: bytes, flags: int = 0) -> None:
        """Send a frame, or a command, once the handshake is done."""
        self.say(self.framed(body, flags))

    def shake_hands(self, *props: bytes) -> None:
        """Become a peer; `props` are more properties of its READY."""
        self.say(greeting(self.mechanism))
        self.read(64)
        self.say(ready(*props))
        flags, body = self.frame()
        assert flags & COMMAND
        assert body.startswith(b"\x05READY"), body

    def greet(self, user: str, number: int = 1) -> list[Any]:
        """Begin a session; return what is answered."""
        return self.ask("hello", 1, 1, 1, user, bytes([number]) * 16, bytes([number]) * 16, 0, 1)

    def ask(self, *command: Any) -> list[Any]:
        """Send a command, and return the next notice but for the state of rooms."""
        self.send(pack(command))
        return self.hear()

    def hear(self) -> list[Any]:
        """Return the next notice, but for the state of rooms; raises ConnectionError once it is cut."""
        while True:
            flags, body = self.next_frame()
            if flags & COMMAND:
                if body.startswith(b"\x04PING"):
                    self.send(b"\x04PONG" + body[7:], COMMAND)
            elif (notice := decode_notice(body))[0] != STATE:
                return notice

    def next_frame(self) -> tuple[int, bytes]:
        """Return the flags and the body of the next frame after the handshake."""
        return self.frame()

    def frame(self) -> tuple[int, bytes]:
        """Return the flags and the body of the next frame on the wire."""
        flags = self.read(1)[0]
        size = int.from_bytes(self.read(8 if flags & LONG else 1), "big")
        return flags, self.read(size)

    def ended(self) -> bool:
        """Read to the end; True if the broker has closed the connection within the deadline."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True
