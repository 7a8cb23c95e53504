"""The addresses that a broker listens at: each that it can't have is refused with why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest
import zmq

import zchat
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker
from zchat.broker.edge import door
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.guard.connections import Connections


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context[zmq.Socket[bytes]]() as context, context.socket(zmq.ROUTER) as router:
        yield router


@pytest.fixture
def made(router: zmq.Socket[bytes]) -> Iterator[door.Door]:
    made = door.Door(router.context, router, Connections())
    yield made
    made.close()


def test_connections_may_wait_for_being_accepted(router: zmq.Socket[bytes], made: door.Door) -> None:
    assert router.getsockopt(zmq.BACKLOG) == door.BACKLOG


def test_a_turn_turns_away_a_bounded_number_of_newcomers(made: door.Door, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(made.open("tcp://127.0.0.1:*").rpartition(":")[2])
    monkeypatch.setattr(door, "scarce", lambda ipc: True)
    counters, log_lines = Counters(), LogLines()
    made.check(0.0, counters, log_lines)
    with ExitStack() as stack:
        for _ in range(door.TURNED_AWAY_AT_ONCE + 1):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        made.check(1.0, counters, log_lines)
        assert counters.turned_away == door.TURNED_AWAY_AT_ONCE
        made.check(2.0, counters, log_lines)
        assert counters.turned_away == door.TURNED_AWAY_AT_ONCE + 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tcp://192.0.2.1:5555", "192.0.2.1 is not an address of this machine; use one that is, or tcp://0.0.0.0:PORT"),
        ("tcp://[2001:db8::1]:5555", r"\[2001:db8::1\] is not an address of this machine"),
        ("tcp://nowhere.invalid:5555", "nowhere.invalid is not an address of this machine"),
        ("tcp://127.0.0.1:0", r"ports are 1 to 65535, or \* for any free one"),
        ("tcp://::1:5555", r"an IPv6 address without its brackets: use tcp://\[::1\]:5555"),
    ],
)
def test_an_address_of_tcp_that_it_cant_have_is_reported_why(url: str, why: str) -> None:
    with pytest.raises(zchat.AddressError, match=why), Broker(url, insecure=True):
        pass


def test_a_port_in_use_is_reported_whatever_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(zchat.AddressError, match=r"is in use: .* choose another port"), Broker(url):
            pass


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (13, "this user may not use port 80 .*; choose one above 1023"),
        (zmq.EINVAL, "is not an address: use tcp://HOST:PORT"),
        (zmq.ENOBUFS, "can't listen at tcp://127.0.0.1:80: .*"),
    ],
)
def test_what_libzmq_says_of_an_address_is_reported_with_what_to_do(
    router: zmq.Socket[bytes], made: door.Door, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    def bind(self: zmq.Socket[bytes], url: str) -> NoReturn:
        raise zmq.ZMQError(number)

    monkeypatch.setattr(zmq.Socket, "bind", bind)
    with pytest.raises(zchat.AddressError, match=why):
        made.open("tcp://127.0.0.1:80")


PRIVILEGED = """
import os, sys
import zchat
from zchat.broker import Broker
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with Broker("tcp://127.0.0.1:80"):
        print("allowed")
except zchat.AddressError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_port_that_needs_privileges_is_reported() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PRIVILEGED], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    if run.stdout == "allowed\n":
        pytest.skip("this system lets everybody use all ports")
    assert "this user may not use port 80 (Permission denied); choose one above 1023" in run.stdout
