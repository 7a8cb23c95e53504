"""The SQLite store's reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.broker.store.driver import Driver
from zchat.broker.store.contract import (
    Failed,
    LogPage,
)
from zchat.broker.store.sqlite import reader


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
    for _ in range(3 * reader.READY_PAGES):
        store.store.read("General", 0, 9, 9, pages.append)
    store.wait(lambda: len(pages) == 3 * reader.READY_PAGES)
    assert all(isinstance(page, LogPage) and page.blocks for page in pages)
