"""How a connection is ended by its descriptor."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from zchat.broker.edge.descriptor import address, shut

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="connections are cut on Linux alone")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def ends(listening: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_connection(listening.getsockname()) as far:
        near, _ = listening.accept()
        with near:
            yield near, far


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_came_in_here_is_ended_and_its_descriptor_left_open(
    listening: socket.socket, ends: tuple[socket.socket, socket.socket], reset: bool
) -> None:
    near, far = ends
    assert shut(near.fileno(), [listening], reset=reset)
    assert far.recv(1) == b""
    assert os.fstat(near.fileno())


def test_the_programs_own_sockets_are_left_alone(
    listening: socket.socket, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    one, other = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, one, other:
        assert not shut(near.fileno(), [elsewhere], reset=True)
        assert not shut(one.fileno(), [listening], reset=True)
        reading, writing = os.pipe()
        try:
            assert not shut(reading, [listening], reset=True)
        finally:
            os.close(reading)
            os.close(writing)
        assert not shut(reading, [listening], reset=True)
        far.sendall(b"still here")
        assert near.recv(10) == b"still here"


def test_the_address_at_the_other_end_is_known_while_it_is_open(ends: tuple[socket.socket, socket.socket]) -> None:
    near, _ = ends
    one, other = socket.socketpair()
    with one, other:
        assert address(near.fileno()) == ("127.0.0.1" if near.family == socket.AF_INET else "")
        assert address(one.fileno()) == "", "it has none"
    reading, writing = os.pipe()
    os.close(writing)
    assert address(reading) == "", "it is no socket"
    os.close(reading)
    assert address(reading) == ""
