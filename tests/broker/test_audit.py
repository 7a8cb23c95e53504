"""A broker with keys, rules and an audit log: what a session of some people leaves in it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.broker.raw import ANY
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.transport import keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker's folder that lets in alice and bob, beside their pairs, and rules in a file beside it."""
    keys.make_server(tmp_path / "server")
    for user in ("alice", "bob"):
        let_in(tmp_path, user)
    (tmp_path / "rules.toml").write_text('operators = ["alice"]')
    return tmp_path


def let_in(folder: Path, user: str) -> None:
    public, _ = keys.write_pair(folder, user, keys.make(user))
    (folder / "server" / "users" / public.name).write_bytes(public.read_bytes())


def client(broker: Broker, folder: Path, whose: str, **others: Any) -> zchat.Client:
    given = {"key": folder / f"{whose}.key_secret", "server_key": folder / "server" / "server.key"} | others
    return zchat.Client(broker.url, timeout=DEADLINE, **given)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def test_who_came_in_and_what_became_of_them_is_in_the_file_and_nothing_that_they_said(folder: Path) -> None:
    path = folder / "audit.jsonl"
    rules, alice_key = folder / "rules.toml", keys.read_secret(folder / "alice.key_secret")
    mallory = keys.make("mallory")

    def events() -> list[str]:
        return [line["event"] for line in lines(path)]

    with Broker(ANY, keys=folder / "server", rules=rules, audit=path) as broker:
        with pytest.raises(zchat.KeyRefused):
            client(broker, folder, "alice", key=mallory)
        with pytest.raises(zchat.WrongName):
            client(broker, folder, "alice", user="bob")
        with client(broker, folder, "bob") as bob, client(broker, folder, "alice") as alice:
            for each in (alice, bob):
                each.join("General").send("what I say is mine")
            rules.write_text("operators = 3")
            broker.read_again()
            eventually(lambda: "rules_wrong" in events(), "it is recorded")
            rules.write_text("operators = []")
            let_in(folder, "carol")
            (folder / "server" / "users" / "alice.key").unlink()
            broker.read_again()
            with pytest.raises(zchat.KeyRemoved):
                alice.wait(DEADLINE)
            eventually(lambda: "turned_away" in events(), "its second is over")
    found = lines(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found[0]["event"], found[1]["event"], found[2]["event"]] == ["keys_read", "rules_read", "started"]
    assert found[-1]["event"] == "stopped"
    assert sum(event == "let_in" for event in events()) >= 2

    def of(event: str) -> dict[str, Any]:
        return next(line for line in found if line["event"] == event)

    alices = {"key": alice_key.fingerprint, "address": "127.0.0.1"}
    assert of("wrong_name") == alices | {
        "at": of("wrong_name")["at"],
        "event": "wrong_name",
        "by": "alice",
        "user": "bob",
    }
    assert of("turned_away").items() >= {"key": mallory.fingerprint, "reason": "turned_away_unknown_key"}.items()
    assert of("key_added")["user"] == "carol"
    assert of("key_removed").items() >= {"user": "alice", "key": alice_key.fingerprint}.items()
    assert "line 1" in of("rules_wrong")["text"]
    ended = [line for line in found if line["event"] == "session_ended"]
    assert {line["user"]: line["reason"] for line in ended} == {"alice": "key_removed", "bob": "bye"}
    assert next(line for line in ended if line["user"] == "alice").items() >= alices.items()
    text = path.read_text()
    for secret in ("what I say", alice_key.public, alice_key.secret, mallory.public):
        assert secret not in text


def test_without_keys_names_are_recorded_as_they_are_claimed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Broker(ANY, audit=path) as broker, zchat.Client(broker.url, user="Zoë", timeout=DEADLINE):
        pass
    found = lines(path)
    assert [line["event"] for line in found] == ["started", "let_in", "session_ended", "stopped"]
    assert found[1].items() >= {"user": "Zoë", "address": "127.0.0.1"}.items()
    assert "key" not in found[1]


def test_a_broker_whose_audit_log_can_t_be_opened_does_not_start_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(zchat.BadAudit, match="can't be opened: Is a directory"),
        Broker(ANY, store=f"sqlite:{tmp_path}/chat.db", audit=tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    for wrong in (f"{tmp_path}/chat.db", f"{tmp_path}/chat.db-wal"):
        with pytest.raises(zchat.BadAudit), Broker(ANY, store=f"sqlite:{tmp_path}/chat.db", audit=wrong):
            pass
        assert list(tmp_path.iterdir()) == []
    audit = tmp_path / "audit.jsonl"
    with Broker(ANY) as there, pytest.raises(zchat.AddressError), Broker(there.url, audit=audit):
        pass
    assert not audit.exists()


def test_a_full_disk_stops_nobody_and_what_is_missing_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: object, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zchat.broker.edge.audit_file.AuditFile.write", full)
    with Broker(ANY, audit=tmp_path / "audit.jsonl") as broker:
        for _ in range(3):
            with zchat.Client(broker.url, user="alice", timeout=DEADLINE) as alice:
                assert alice.join("General").send("hello").seq
    missing = [
        each for each in caplog.messages if each.endswith("lines of the audit log are missing: No space left on device")
    ]
    assert len(missing) == 1
