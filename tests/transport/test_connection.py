"""How a client connects: which broker it takes, and what it says when there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import zchat
from tests.running import DEADLINE, OWN_HOST
from zchat.broker import Broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


def free_port() -> str:
    """Return an address at which nobody listens."""
    with Broker(f"tcp://{OWN_HOST}:*") as gone:
        return gone.url


def test_without_a_broker_the_client_says_so_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(zchat.ConnectionLost, match="no broker answered at tcp://127"):
        zchat.Client(free_port(), user="alice", timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["", "nonsense", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "http://a:1"])
def test_a_malformed_address_is_reported(url: str) -> None:
    with pytest.raises(zchat.AddressError):
        zchat.Client(url, user="alice", timeout=0.2)


def test_several_brokers_are_tried_in_turn(broker: Broker) -> None:
    with zchat.Client([free_port(), broker.url], user="alice", timeout=2) as client:
        assert client.url == broker.url
        assert client.join("General")
        assert [*client.events(timeout=0)] == []
    with pytest.raises(zchat.UsageError):
        zchat.Client([], user="alice")


def test_a_broker_that_says_no_is_heard() -> None:
    with pytest.MonkeyPatch.context() as patch, Broker("tcp://127.0.0.1:*") as full:
        patch.setattr("zchat.broker.limits.MAX_SESSIONS", 0)
        with pytest.raises(zchat.Busy, match="sessions"):
            zchat.Client(full.url, user="alice", timeout=DEADLINE)
