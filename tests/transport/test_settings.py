"""What a client is given, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from zchat.errors import BadName, UsageError
from zchat.transport import keys
from zchat.transport.settings import Settings, settings

GIVEN: dict[str, Any] = {
    "url": "tcp://127.0.0.1:5555", "user": "alice", "timeout": 5.0, "high_water_mark": 0, "invitations": True,
    "key": None, "server_key": None,
}  # fmt: skip


def given(**changed: Any) -> Settings:
    return settings(**{**GIVEN, **changed})


def test_what_is_right_is_kept() -> None:
    found = given(url=("tcp://127.0.0.1:1", "ipc:///run/zchat"), high_water_mark=3, invitations=False, timeout=1)
    assert found[:5] == (["tcp://127.0.0.1:1", "ipc:///run/zchat"], "alice", 1, 3, False)


def test_a_user_without_a_name_has_that_of_the_key_or_of_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.make("bob")
    assert given(user=None, key=key, server_key=key.public).user == "bob"
    monkeypatch.setattr("zchat.transport.settings.getpass.getuser", lambda: "carol")
    assert given(user=None).user == "carol"


def test_a_login_that_nobody_knows_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("zchat.transport.settings.getpass.getuser", unknown)
    with pytest.raises(UsageError, match="give a user name"):
        given(user=None)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"url": []}, UsageError),
        ({"user": "#"}, BadName),
        ({"timeout": None}, UsageError),
        ({"high_water_mark": -1}, UsageError),
        ({"invitations": 1}, UsageError),
        ({"server_key": "x"}, UsageError),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        given(**wrong)
