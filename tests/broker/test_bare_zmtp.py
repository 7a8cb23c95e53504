"""A client without a ZeroMQ library, which says what docs/protocol.md has of ZMTP and no more, is served."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.frames import decode_notice
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker, loop
from zchat.wire.notices import OK
from zchat.wire.values import pack

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
MESSAGE, LONG, COMMAND = 0, 2, 4


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(loop, "TRANSPORT_HEARTBEAT_MS", 700)  # a busy machine answers within that
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


class Bare:
    """A connection that is a stream of bytes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
        self._socket.sendall(ready())
        greeting = self._stream.read(64)
        assert (greeting[:1], greeting[9:10], greeting[12:16]) == (b"\xff", b"\x7f", b"NULL")
        assert self.hear() == (COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0")

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def say(self, flags: int, body: bytes) -> None:
        self._socket.sendall(bytes((flags, len(body))) + body)

    def hear(self) -> tuple[int, bytes] | None:
        """Return the flags and the bytes of what comes next; None once the broker hangs up."""
        try:
            flags = self._stream.read(1)
            if not flags:
                return None
            size = self._stream.read(8 if flags[0] & LONG else 1)
            return flags[0], self._stream.read(int.from_bytes(size, "big"))
        except ConnectionResetError:
            return None


def ready() -> bytes:
    """Return the command READY that the page has."""
    [words] = re.findall(r"the client's is `([^`]+)`", PAGE)
    parts = [bytes.fromhex(word) if re.fullmatch("[0-9a-f]{2}", word) else word.encode() for word in words.split()]
    return b"".join(parts)


def test_a_client_without_a_library_greets_and_answers_pings(broker: Broker) -> None:
    with Bare(int(broker.url.rsplit(":", 1)[1])) as client:
        client.say(MESSAGE, pack(("hello", 1, 1, 1, "bare", b"p" * 16, b"t" * 16, 0, 1)))
        pings = 0
        answers: list[list[Any]] = []
        while len(answers) < 2:
            heard = client.hear()
            assert heard is not None, "the broker has hung up"
            flags, body = heard
            if not flags & COMMAND:
                answers.append(decode_notice(body)[:2])
            elif body.startswith(b"\x04PING"):
                client.say(COMMAND, b"\x04PONG" + body[7:])
                pings += 1
                if pings == 2:
                    client.say(MESSAGE, pack(("bye", 2)))
        assert answers == [[OK, 1], [OK, 2]]


def test_one_that_answers_no_ping_is_hung_up_on(broker: Broker) -> None:
    with Bare(int(broker.url.rsplit(":", 1)[1])) as client:
        heard = client.hear()
        assert heard is not None
        assert heard[1].startswith(b"\x04PING")
        while client.hear() is not None:
            pass
