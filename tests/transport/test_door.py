"""What is said of a broker's door that stays shut."""

from __future__ import annotations

import pytest

from zchat.errors import KeyNeeded, NoKeysThere, NotLetIn, ServerKeyWrong
from zchat.transport import keys
from zchat.transport.door import refused_key, shut_door

KEY = keys.make("alice")
URL = "tcp://127.0.0.1:5555"


@pytest.mark.parametrize(
    ("mechanism", "key", "error"),
    [
        ("CURVE", None, KeyNeeded),
        ("NULL", KEY, NoKeysThere),
        ("CURVE", KEY, ServerKeyWrong),
        ("NULL", None, None),
        ("", KEY, None),
    ],
)
def test_a_mechanism_says_why(mechanism: str, key: keys.Key | None, error: type[NotLetIn] | None) -> None:
    found = shut_door(URL, mechanism, key, [KEY.public])
    assert (None if found is None else type(found)) is error
    assert found is None or URL in str(found)


def test_a_key_that_is_not_let_in_is_named_and_so_is_a_machine_without_one() -> None:
    assert KEY.fingerprint in str(refused_key(URL, KEY))
    assert "by a login" in str(refused_key("ipc:///run/zchat", None))
