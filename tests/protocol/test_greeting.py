"""What a client asks for when it greets, and what it takes for an answer."""

from __future__ import annotations

import pytest

from zchat.errors import ProtocolError
from zchat.protocol.greeting import Greeting
from zchat.wire.limits import MAX_WINDOW, OLDEST_VERSION, VERSION
from zchat.wire.replies import Welcome


def greeting(window: int = 0) -> Greeting:
    return Greeting("alice", b"p" * 16, b"t" * 16, window)


def welcome(version: int = VERSION, window: int = 10) -> Welcome:
    return Welcome(version, "alice", window, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 15_000)


def test_each_greeting_is_the_same_but_for_the_number_of_its_connection() -> None:
    first, second = greeting(5).fields(1), greeting(5).fields(2)
    assert first == (OLDEST_VERSION, VERSION, "alice", b"p" * 16, b"t" * 16, 5, 1)
    assert second == (*first[:-1], 2)


@pytest.mark.parametrize("version", [OLDEST_VERSION, VERSION])
@pytest.mark.parametrize("window", [1, 5])
def test_any_version_that_it_speaks_and_a_window_up_to_its_own_is_agreed_on(version: int, window: int) -> None:
    greeting(5).check(welcome(version, window))
    greeting().check(welcome(version, MAX_WINDOW))


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (0, welcome(OLDEST_VERSION - 1)),
        (0, welcome(VERSION + 1)),
        (5, welcome(window=6)),
        (0, welcome(window=MAX_WINDOW + 1)),
    ],
)
def test_what_was_not_asked_for_is_a_fault_of_the_broker(asked: int, agreed: Welcome) -> None:
    with pytest.raises(ProtocolError, match=f"version {agreed.version} and a window of {agreed.window}: not as asked"):
        greeting(asked).check(agreed)
