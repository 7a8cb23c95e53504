"""The broker's port takes ZMTP 3 alone: what passes for an older version, as a web page's POST does, says nothing."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

import zchat
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

MALLORY = "mallory"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*", rooms=["General"]) as broker:
        yield broker


def commands() -> list[bytes]:
    """Return what speaks as a user: a greeting, a join, a message; in a room of everybody and in a direct one."""
    said = join_bodies([pack("said by a web page")])
    return [
        pack(("hello", 1, 1, 1, MALLORY, os.urandom(16), os.urandom(16), 0, 1)),
        pack(("join", 2, "General", 1, None, 0, True)),
        pack(("send", 3, "General", 1, said)),
        pack(("join", 4, f"@bob\n{MALLORY}", 1, None, 0, True)),
        pack(("send", 5, f"@bob\n{MALLORY}", 1, said)),
    ]


def frame_of_version_1(body: bytes) -> bytes:
    """Return a last frame as ZMTP 1 has it: its length, the flags among it, then the flags."""
    length = len(body) + 1
    return (bytes((length, 0)) if length < 255 else b"\xff" + struct.pack(">Q", length) + b"\0") + body


def frame_of_version_2(body: bytes) -> bytes:
    """Return a last frame as ZMTP 2 has it: flags, then its length."""
    return (bytes((0, len(body))) if len(body) < 256 else b"\x02" + struct.pack(">Q", len(body))) + body


def post(port: int) -> Iterator[bytes]:
    """Yield what a browser sends for a page's POST; its headers end within one of the body's fillers."""
    for pad in range(2):
        body = b"\x01" * (600 + pad) + b"\x01\x00" + b"".join(map(frame_of_version_1, commands()))
        head = (
            f"POST /{'a' * 20} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\n"
            f"Content-Length: {len(body)}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n"
            f"Content-Type: text/plain\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/\r\n"
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n\r\n"
        )
        yield head.encode() + body


def version_1(port: int) -> Iterator[bytes]:
    """Yield ZMTP 1: an identity, here without bytes, then frames."""
    yield b"\x01\x00" + b"".join(map(frame_of_version_1, commands()))


def version_1_in_the_greeting_of_2(port: int) -> Iterator[bytes]:
    """Yield ZMTP 1 as libzmq 3 spoke it: a signature that both take, then revision 0."""
    yield b"\xff" + bytes(7) + b"\x01\x7f" + b"\x00\x05" + b"\x01\x00" + b"".join(map(frame_of_version_1, commands()))


def version_2(port: int) -> Iterator[bytes]:
    """Yield ZMTP 2: signature, revision 1, a DEALER's socket type, an identity without bytes, then frames."""
    yield b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x05" + b"\x00\x00" + b"".join(map(frame_of_version_2, commands()))


def ended(connection: socket.socket) -> bool:
    """Tell whether the other end closes the connection before the deadline."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("spoken", [post, version_1, version_1_in_the_greeting_of_2, version_2])
def test_what_speaks_an_older_version_is_hung_up_on_and_stores_nothing(
    broker: Broker, spoken: Callable[[int], Iterator[bytes]]
) -> None:
    host, _, port = broker.url.removeprefix("tcp://").rpartition(":")
    for request in spoken(int(port)):
        with socket.create_connection((host, int(port)), DEADLINE) as connection:
            connection.sendall(request)
            assert ended(connection)
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send("a client of today is heard")
        assert [message.body for message in bob.history("General")] == ["a client of today is heard"]
        assert [room.name for room in bob.rooms()] == ["General"]
    assert broker.counters.greeted == 1
    assert broker.counters.messages == 1
