"""What the tests of the SQLite store share: a hold on its commits, and looks into its file."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.driver import Driver, block
from tests.running import DEADLINE
from zchat.broker.store.contract import (
    Appended,
)
from zchat.broker.store.sqlite import committer
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import StoreError


class Gate:
    """Hold up the thread that commits, so that what a test appends waits for one commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        turn = committer.Committer._turn

        def held(committer: committer.Committer, tasks: list[committer.Task]) -> None:
            self.reached.set()
            assert self.open.wait(DEADLINE)
            turn(committer, tasks)

        monkeypatch.setattr(committer.Committer, "_turn", held)


def fill(driver: Driver, number: int, count: int = 20) -> list[Appended]:
    """Append more large blocks than there is place for, all at once, and return the answers."""
    answers: list[Appended] = []
    for each in range(number, number + count):
        driver.store.append(block(each, "x" * 20_000), answers.append)
    driver.wait(lambda: len(answers) == count)
    return answers


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# What can't be opened


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        SqliteStore(path).open(lambda: None)
    assert str(path) in str(caught.value)
    return str(caught.value)
