"""A file of rules, read again and again; what follows from it is in tests/broker/test_rules.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from zchat.broker.edge.audit import AuditLog
from zchat.broker.edge.watched_rules import WatchedRules
from zchat.errors import BadRules

NO_AUDIT = AuditLog(False, lambda: 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text('operators = ["alice"]')
    return path


def test_a_change_is_handed_on_once(file: Path) -> None:
    watched = WatchedRules(str(file), NO_AUDIT)
    assert watched.rules.operators == {"alice"}
    assert not watched.read_again()
    assert watched.take() is None
    file.write_text('operators = ["bob"]')
    assert watched.read_again()
    rules = watched.take()
    assert rules is not None
    assert rules.operators == {"bob"}
    assert watched.take() is None
    assert not watched.read_again()


def test_of_two_changes_the_last_counts(file: Path) -> None:
    watched = WatchedRules(str(file), NO_AUDIT)
    for user in ("bob", "carol"):
        file.write_text(f'operators = ["{user}"]')
        assert watched.read_again()
    rules = watched.take()
    assert rules is not None
    assert rules.operators == {"carol"}
    assert watched.take() is None


def test_what_is_wrong_at_the_start_is_fatal(file: Path) -> None:
    file.write_text("operators = 3")
    with pytest.raises(BadRules, match=r"rules\.toml', line 1"):
        WatchedRules(str(file), NO_AUDIT)


def test_what_is_wrong_later_is_logged_once_and_changes_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    watched = WatchedRules(str(file), NO_AUDIT)
    right = file.read_text()
    for text in ("operators = 3", "operators = 3", "operatos = []"):
        file.write_text(text)
        assert not watched.read_again()
    file.unlink()
    assert not watched.read_again()
    assert watched.take() is None
    file.write_text(right)
    for _ in range(2):
        assert not watched.read_again()
    file.write_text("stats = []")
    assert watched.read_again()
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in lines] == [
        "the rules are wrong, and stay as they were",
        "the rules are wrong, and stay as they were",
        "the rules are wrong, and stay as they were",
        "the rules are right again, as they were",
        "rules were read",
    ]
    assert "line 1" in lines[0]
    assert "operatos" in lines[1]
    assert "can't be read" in lines[2]


def test_what_becomes_of_them_is_recorded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[tuple[str, dict[str, object]]] = []
    audit = AuditLog(False, lambda: 0)
    monkeypatch.setattr(audit, "record", lambda event, **fields: recorded.append((event, fields)))
    watched = WatchedRules(str(file), audit)
    right = file.read_text()
    for text in (right, "operators = 3", "operators = 3", right, "stats = []"):
        file.write_text(text)
        watched.read_again()
    assert [event for event, _ in recorded] == ["rules_read", "rules_wrong", "rules_read", "rules_read"]
    first, wrong, again, other = (fields for _, fields in recorded)
    assert first == again != other
    assert "line 1" in str(wrong["text"])
