"""The thread that reads a broker's keys again and again; what follows from it is in tests/broker/test_keys.py."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import zchat
from tests.running import DEADLINE
from zchat.broker.edge.key_watcher import KeyWatcher
from zchat.transport import keys
from zchat.transport.keys import KeyFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make_server(tmp_path / "server")
    return tmp_path / "server"


def add(folder: Path, user: str) -> None:
    _, secret = keys.write_pair(folder / "users", user, keys.make(user))
    secret.unlink()


def test_a_change_is_handed_on_once(folder: Path) -> None:
    changed = threading.Event()
    watcher = KeyWatcher(KeyFolder(folder), changed.set)
    watcher.start()
    try:
        assert watcher.take() is None
        add(folder, "alice")
        assert changed.wait(DEADLINE)
        users = watcher.take()
        assert users is not None
        assert list(users.names.values()) == ["alice"]
        assert watcher.take() is None
    finally:
        watcher.close()
    assert not watcher._thread.is_alive()


def test_what_is_wrong_at_the_start_is_fatal(folder: Path) -> None:
    (folder / "users" / "alice.key").write_text("nonsense\n")
    with pytest.raises(zchat.BadKey, match=r"alice\.key', line 1"):
        KeyWatcher(KeyFolder(folder), lambda: None)
