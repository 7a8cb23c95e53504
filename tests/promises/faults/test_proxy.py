"""The proxy does the harm that it says, and no other."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.promises.faults.proxy import Proxy
from tests.running import DEADLINE

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(stack: ExitStack) -> socket.socket:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.settimeout(DEADLINE)
    return listener


@pytest.fixture
def proxy(stack: ExitStack, listener: socket.socket) -> Proxy:
    return stack.enter_context(Proxy(listener.getsockname()[1]))


def connected(stack: ExitStack, proxy: Proxy, listener: socket.socket) -> Pair:
    """Return the two ends of a connection through the proxy, over which a word has gone each way."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), DEADLINE))
    broker = stack.enter_context(listener.accept()[0])
    broker.settimeout(DEADLINE)
    for one, other in ((client, broker), (broker, client)):
        one.sendall(b"hello")
        assert other.recv(100) == b"hello"
    return client, broker


def ends(end: socket.socket) -> bytes:
    """Return what still comes before the connection ends."""
    came = b""
    try:
        while data := end.recv(100):
            came += data
    except ConnectionResetError:
        pass
    return came


def test_a_cut_ends_a_connection_at_both_ends(stack: ExitStack, proxy: Proxy, listener: socket.socket) -> None:
    pair = connected(stack, proxy, listener)
    assert proxy.cut() == 1
    assert [ends(end) for end in pair] == [b"", b""]
    connected(stack, proxy, listener)
    assert proxy.accepted == 2


def test_a_halved_connection_ends_in_the_middle_of_what_it_carries(
    stack: ExitStack, proxy: Proxy, listener: socket.socket
) -> None:
    client, broker = connected(stack, proxy, listener)
    assert proxy.halve() == 1
    client.sendall(b"12345678")
    assert ends(broker) == b"1234"
    assert ends(client) == b""


def test_a_delay_holds_back_and_keeps_the_order(stack: ExitStack, proxy: Proxy, listener: socket.socket) -> None:
    client, broker = connected(stack, proxy, listener)
    proxy.delay = 0.2
    began = time.monotonic()
    client.sendall(b"late")
    assert broker.recv(100) == b"late"
    assert time.monotonic() - began >= 0.2


def test_of_two_connections_one_goes_deaf_each_way_and_both_stay_open(
    stack: ExitStack, proxy: Proxy, listener: socket.socket
) -> None:
    first, second = connected(stack, proxy, listener), connected(stack, proxy, listener)
    assert proxy.deafen() == 2
    for client, broker in (first, second):
        client.sendall(b"up")
        broker.sendall(b"down")
    assert first[1].recv(100) == b"up"
    assert second[0].recv(100) == b"down"
    for swallowed in (first[0], second[1]):
        swallowed.settimeout(0.1)
        with pytest.raises(TimeoutError):
            swallowed.recv(100)
