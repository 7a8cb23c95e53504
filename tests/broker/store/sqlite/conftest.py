from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.driver import Driver
from tests.broker.store.sqlite.driver import Gate
from zchat.broker.store.sqlite.store import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "z.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Driver]]:
    """Give a function that opens a store on the file, for `SqliteStore`'s options."""
    drivers: list[Driver] = []

    def make(**options: Any) -> Driver:
        drivers.append(Driver(lambda clock: SqliteStore(path, clock, **options), keeps=True))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.store.close()


@pytest.fixture
def store(opened: Callable[..., Driver]) -> Driver:
    return opened()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


@pytest.fixture
def full(opened: Callable[..., Driver]) -> Driver:
    """Give a store with a few blocks in it, whose disk has place for a few more."""
    driver = opened(max_pages=30)
    for number in range(1, 5):
        driver.stored(number, "x" * 20_000)
    return driver
