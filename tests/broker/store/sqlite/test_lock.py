"""One broker a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.store.driver import Driver
from tests.broker.store.sqlite.driver import refused
from tests.closing import failing, still_open
from zchat.broker.store.sqlite import lock
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import StoreError


def test_two_brokers_can_not_have_one_file(store: Driver, path: Path) -> None:
    text = refused(path)
    assert "another broker has" in text
    assert "stop it or use another file" in text
    store.say("still fine")
    store.reopen()


def test_two_brokers_can_not_have_one_file_under_two_names(store: Driver, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(StoreError, match="another broker"):
        SqliteStore(link).open(lambda: None)


@pytest.mark.parametrize("anew", [True, False], ids=["replaced", "removed"])
def test_a_lock_that_changes_hands_before_it_is_locked_is_the_file_that_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    really = lock._lock
    times: list[int] = []

    def slow(file: int) -> None:
        if not times:
            path.unlink()
            if anew:
                path.touch()
        times.append(file)
        really(file)

    monkeypatch.setattr(lock, "_lock", slow)
    held = lock.FileLock(path)
    assert held.inode == lock.inode(path)
    with pytest.raises(lock.Locked):
        lock.FileLock(path)
    held.release()


def test_a_lock_whose_close_fails_is_released(path: Path) -> None:
    with failing() as closes:
        held = lock.FileLock(path)
        held.release()
        lock.FileLock(path).release()
    assert closes.count == 2
    assert still_open(path.parent) == []


def test_a_store_whose_files_fail_to_be_closed_ends_as_any_other(path: Path) -> None:
    with failing():
        store = SqliteStore(path)
        store.open(lambda: None)
        store.close()
    assert still_open(path.parent) == []
