from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq

from tests.broker.driver import World
from tests.broker.raw import ANY, Dial, Raw
from zchat.broker import Broker


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(ANY) as broker:
        yield broker


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Give a function that connects a raw peer, which is closed at the end."""
    with zmq.Context() as context, ExitStack() as stack:

        def dial(url: str, mark: int = 1000) -> Raw:
            raw = Raw(context, url, mark)
            stack.callback(raw.socket.close, 0)
            return raw

        yield dial
