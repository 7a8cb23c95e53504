from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.faces import Face
from zchat.broker import Broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture
def connect(face: Face, broker: Broker) -> Iterator[Connect]:
    """Give a function that connects a client, which is closed at the end."""
    with ExitStack() as stack:

        def connect(user: str = "alice", url: str | list[str] = broker.url, **options: Any) -> zchat.Client:
            return stack.enter_context(face.client(url, user=user, **options))

        yield connect


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a room of the test's own."""
    return f"room {abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def pair(connect: Connect, name: str) -> tuple[zchat.Room, zchat.Room]:
    """Give a room as alice has it, and as bob has it."""
    return connect("alice").join(name), connect("bob").join(name)
