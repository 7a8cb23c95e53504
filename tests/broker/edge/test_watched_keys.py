"""A folder of keys, read again and again; what follows from it is in tests/broker/test_keys.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import zchat
from zchat.broker.edge.watched_keys import WatchedKeys
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
    watched = WatchedKeys(KeyFolder(folder))
    assert not watched.read_again()
    assert watched.take() is None
    add(folder, "alice")
    assert watched.read_again()
    users = watched.take()
    assert users is not None
    assert list(users.names.values()) == ["alice"]
    assert watched.take() is None
    assert not watched.read_again()


def test_what_is_wrong_at_the_start_is_fatal(folder: Path) -> None:
    (folder / "users" / "alice.key").write_text("nonsense\n")
    with pytest.raises(zchat.BadKey, match=r"alice\.key', line 1"):
        WatchedKeys(KeyFolder(folder))


def test_a_file_that_lets_in_somebody_else_than_its_name_says_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    keys.write_pair(folder / "users", "mallory", keys.make("alice"))
    watched = WatchedKeys(KeyFolder(folder))
    keys.write_pair(folder / "users", "eve", keys.make("alice"))
    assert watched.read_again()
    assert not watched.read_again()
    noticed = [record.getMessage() for record in caplog.records if "about the keys" in record.getMessage()]
    assert noticed == [
        f"about the keys: '{name}.key' lets in 'alice', whom its name doesn't name" for name in ("mallory", "eve")
    ]
