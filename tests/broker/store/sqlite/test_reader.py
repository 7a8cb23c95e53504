"""The SQLite store's reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY

import pytest

from tests.broker.store.driver import Driver
from tests.broker.store.sqlite.driver import refused
from zchat.broker.store.contract import (
    Failed,
    LogPage,
)
from zchat.broker.store.pages import READY_PAGES
from zchat.broker.store.sqlite.schema import PAGE_BYTES


def test_a_read_that_fails_says_why(store: Driver, path: Path) -> None:
    store.say("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("ALTER TABLE blocks RENAME TO hidden")
        assert store.answer(store.store.read, "General", 0, 9, 9) == Failed(f"{path}: no such table: blocks")
        other.execute("ALTER TABLE hidden RENAME TO blocks")
    assert store.texts() == ["a"]


def test_more_pages_than_are_read_ahead_all_come(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    store.say("a")
    pages: list[object] = []
    for _ in range(3 * READY_PAGES):
        store.store.read("General", 0, 9, 9, pages.append)
    store.wait(lambda: len(pages) == 3 * READY_PAGES)
    assert all(isinstance(page, LogPage) and page.blocks for page in pages)


def test_a_damaged_page_is_reported_with_what_helps(store: Driver, path: Path) -> None:
    for number in range(1, 41):
        store.stored(number, "x" * 20_000)
    store.store.close()
    with path.open("r+b") as file:  # of the table of blocks, whose later pages are read when somebody asks for them
        file.seek(30 * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES * 60)
    store.open()
    answer = store.answer(store.store.read, "General", 0, 40, 1 << 30)
    assert answer == Failed(ANY, damaged=True)
    assert answer.reason.endswith(f"malformed; restore a backup: zchat restore --aside BACKUP {path}")


def test_a_database_that_is_damaged_from_the_start_names_what_helps(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    store.store.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (4 * PAGE_BYTES))
    text = refused(path)
    assert "is damaged (" in text
    assert f"restore a backup: zchat restore --aside BACKUP {path}, or name another file" in text
