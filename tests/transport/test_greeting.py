"""How a broker greets: what is read of its first bytes, and that nothing is waited for longer than said."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.transport import keys
from zchat.transport.greeting import read_mechanism


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make_server(tmp_path / "server")
    return tmp_path / "server"


@pytest.mark.parametrize(
    "url",
    ["tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://*", f"ipc://@zchat-greeting-{os.getpid()}"],
    ids=["tcp", "IPv6", "ipc", "a name without a file"],
)
def test_it_names_the_mechanism(url: str, folder: Path) -> None:
    if "[::1]" in url and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with Broker(url, insecure=True) as plain:
        assert read_mechanism(plain.url, DEADLINE) == "NULL"
    with Broker(url, keys=folder) as keyed:
        assert read_mechanism(keyed.url, DEADLINE) == "CURVE"


ANSWERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" + b" " * 64,
    "nothing": b"",
    "half a greeting": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL",
    "ZMTP 2": b"\xff" + bytes(8) + b"\x7f\x01" + bytes(60),
    "zeros": bytes(64),
}


@contextmanager
def answering(answer_with: bytes) -> Iterator[str]:
    """A program that answers something, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(answer_with)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_another_program_is_no_broker(answer: bytes) -> None:
    with answering(answer) as url:
        assert read_mechanism(url) == ""


def test_who_stays_silent_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        assert read_mechanism(f"tcp://127.0.0.1:{listening.getsockname()[1]}", 0.2) == ""
        assert time.monotonic() - began < 10


def test_where_nobody_listens_there_is_no_mechanism(tmp_path: Path) -> None:
    assert read_mechanism(f"ipc://{tmp_path}/nobody") == ""
    assert read_mechanism("tcp://127.0.0.1:9") == ""
