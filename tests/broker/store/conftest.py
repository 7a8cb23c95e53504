from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.store.driver import Clock, Driver
from zchat.broker.store.contract import (
    Store,
)
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.sqlite.store import SqliteStore


@pytest.fixture(params=["memory", "sqlite", "sqlite-normal"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    def make(clock: Clock) -> Store:
        if request.param == "memory":
            return MemoryStore(clock)
        return SqliteStore(tmp_path / "z.db", clock, "FULL" if request.param == "sqlite" else "NORMAL")

    driver = Driver(make, keeps=request.param != "memory")
    yield driver
    driver.store.close()
