"""A folder of keys, read again and again; what follows from it is in tests/broker/test_keys.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import zchat
from zchat.broker.edge.audit import AuditLog
from zchat.broker.edge.watched_keys import WatchedKeys
from zchat.transport import keys
from zchat.transport.key_folder import KeyFolder

NO_AUDIT = AuditLog(False, lambda: 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make_server(tmp_path / "server")
    return tmp_path / "server"


def add(folder: Path, user: str) -> None:
    _, secret = keys.write_pair(folder / "users", user, keys.make(user))
    secret.unlink()


def test_a_change_is_handed_on_once(folder: Path) -> None:
    watched = WatchedKeys(KeyFolder(folder), NO_AUDIT)
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
        WatchedKeys(KeyFolder(folder), NO_AUDIT)


def test_a_file_that_lets_in_somebody_else_than_its_name_says_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    keys.write_pair(folder / "users", "mallory", keys.make("alice"))
    watched = WatchedKeys(KeyFolder(folder), NO_AUDIT)
    keys.write_pair(folder / "users", "eve", keys.make("alice"))
    assert watched.read_again()
    assert not watched.read_again()
    noticed = [record.getMessage() for record in caplog.records if "about the keys" in record.getMessage()]
    assert noticed == [
        f"about the keys: '{name}.key' lets in 'alice', whom its name doesn't name" for name in ("mallory", "eve")
    ]


def test_what_changes_is_recorded_key_by_key_up_to_a_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.edge.watched_keys.NAMED", 2)
    recorded: list[tuple[str, dict[str, object]]] = []
    audit = AuditLog(False, lambda: 0)
    monkeypatch.setattr(audit, "record", lambda event, **fields: recorded.append((event, fields)))
    for user in ("alice", "bob", "carol"):
        add(folder, user)
    watched = WatchedKeys(KeyFolder(folder), audit)
    assert recorded == [("keys_read", {"count": 3})]
    of_alice = next(key for key, user in watched.users.names.items() if user == "alice")
    (folder / "users" / "alice.key").unlink()
    for user in ("dave", "erin", "frank"):
        add(folder, user)
    assert watched.read_again()
    assert recorded[1] == ("key_removed", {"key": of_alice, "user": "alice", "kind": ""})
    assert [event for event, _ in recorded[2:]] == ["key_added", "key_added", "keys_read"]
    assert recorded[-1] == ("keys_read", {"added": 3, "removed": 1, "count": 5})
    (folder / "users" / "bob.key").write_text("nonsense\n")
    watched.read_again()
    watched.read_again()
    assert [event for event, _ in recorded[5:]] == ["keys_wrong"], "once"


def test_a_key_that_becomes_a_gateways_is_a_change_that_is_recorded_and_logged(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    recorded: list[tuple[str, dict[str, object]]] = []
    audit = AuditLog(False, lambda: 0)
    monkeypatch.setattr(audit, "record", lambda event, **fields: recorded.append((event, fields)))
    add(folder, "web")
    watched = WatchedKeys(KeyFolder(folder), audit)
    path = folder / "users" / "web.key"
    path.write_text(path.read_text().replace("curve", "    gateway = true\ncurve"))
    assert watched.read_again()
    users = watched.take()
    assert users is not None
    [key] = users.gateways
    assert recorded[1:3] == [
        ("key_removed", {"key": key, "user": "web", "kind": ""}),
        ("key_added", {"key": key, "user": "web", "kind": "gateway"}),
    ]
    assert "about the keys: 'web.key' is a gateway's: it lets in any user but operators" in caplog.messages
