"""How many bytes of a connection libzmq has read, as its descriptor tells."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.running import eventually
from zchat.transport.descriptor import read_by_libzmq

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is known on Linux alone")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as far,
    ):
        near, _ = listening.accept()
        with near:
            yield near, far


def test_bytes_that_wait_in_the_kernel_are_not_counted_as_read(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.sendall(b"x" * 1_000)
    eventually(lambda: len(near.recv(1_000, socket.MSG_PEEK)) == 1_000, "all arrives")
    assert read_by_libzmq(near.fileno()) == 0
    assert len(near.recv(400)) == 400
    assert read_by_libzmq(near.fileno()) == 400


def test_what_is_no_tcp_connection_can_t_be_told() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert read_by_libzmq(one.fileno()) == -1
    reading, writing = os.pipe()
    try:
        assert read_by_libzmq(reading) == -1
    finally:
        os.close(reading)
        os.close(writing)
    assert read_by_libzmq(reading) == -1
    assert read_by_libzmq(-1) == -1, "of what isn't connected"
