from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.driver import Driver
from tests.redis_server import RedisServer
from zchat.broker import Broker
from zchat.broker.store import open_store
from zchat.errors import StoreError

FEED = "zchat.broker.store.redis.feed"


@pytest.fixture
def own_server(needs: Callable[[str], str], tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis that a test has for itself, to be killed, stopped and set otherwise."""
    with RedisServer(needs("redis-server"), tmp_path) as server:
        yield server


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Driver]]:
    """Give a function that opens a store on a server, with options of its URL; `silence`: its connections' patience."""
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 60.0)
    monkeypatch.setattr("zchat.broker.store.redis.committer.HOLD_EVERY", 0.05)
    monkeypatch.setattr("zchat.broker.store.redis.committer.AGAIN_SECONDS", (0.01, 0.02))
    drivers: list[Driver] = []

    def make(server: RedisServer, silence: float | None = None, **options: Any) -> Driver:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        if silence is not None:
            monkeypatch.setattr("zchat.broker.store.redis.connections.server.SILENCE_SECONDS", silence)
        for _ in range(100):
            with suppress(StoreError):  # on a busy machine that patience may not do
                drivers.append(
                    Driver(lambda clock: open_store(f"{server.url}?{query}", clock), keeps=True, begins=False)
                )
                return drivers[-1]
        raise AssertionError("no store can be opened")

    yield make
    for driver in drivers:
        driver.store.close()


@pytest.fixture
def probing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have brokers compare often what they have heard with what there is."""
    monkeypatch.setattr(f"{FEED}.PROBE_EVERY", 0.05)
    monkeypatch.setattr(f"{FEED}.LISTEN_AGAIN", 0.01)


@pytest.fixture
def brokers(redis_server: RedisServer) -> Iterator[tuple[Broker, Broker]]:
    """Give two brokers on one server."""
    redis_server.call("FLUSHALL")
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as first,
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as second,
    ):
        yield first, second
