"""Whatever breaks the start or the end of a client or a broker off, and wherever: nothing of it is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.promises.lifetimes import NAMES, Lives, lives
from zchat.broker import Broker


@pytest.fixture(scope="module")
def alive() -> Iterator[Lives]:
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker, lives(broker.url) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_broken_off_while_it_starts_or_ends_leaves_nothing(alive: Lives, name: str) -> None:
    assert alive.sweep(name, most=12)
