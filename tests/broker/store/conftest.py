from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.broker.store.driver import Clock, Driver
from tests.redis_server import RedisServer
from zchat.broker.store import open_store
from zchat.broker.store.contract import (
    Store,
)
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.sqlite.store import SqliteStore

NUMBERS = count()


@pytest.fixture(scope="session")
def redis_server(needs: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a Redis that all tests share: each begins with `FLUSHALL`."""
    with RedisServer(needs("redis-server"), tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "sqlite-normal", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    kind = request.param
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.call("FLUSHALL")
        url = f"{server.url}?prefix=contract{next(NUMBERS)}"

    def make(clock: Clock) -> Store:
        if kind == "memory":
            return MemoryStore(clock)
        if kind == "redis":
            return open_store(url, clock)
        return SqliteStore(tmp_path / "z.db", clock, "FULL" if kind == "sqlite" else "NORMAL")

    driver = Driver(make, keeps=kind != "memory", begins=kind != "redis")
    yield driver
    driver.store.close()
