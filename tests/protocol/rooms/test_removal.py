"""Why a membership has ended, in words and in fields."""

from __future__ import annotations

import pytest

from zchat import errors, events
from zchat.protocol.rooms.removal import refused, removed, until_of
from zchat.wire.notices import Removed

UNTIL = 1_764_252_300_000_000
"""Five past two in the afternoon of 27 November 2025, in microseconds since 1970."""


@pytest.mark.parametrize(
    ("code", "reason", "by", "until", "kind", "text"),
    [
        ("kicked", "spam", "bob", 0, errors.Kicked, "bob has put you out of Ops: spam"),
        ("kicked", "", "bob", 0, errors.Kicked, "bob has put you out of Ops"),
        ("banned", "spam", "bob", 0, errors.Banned, "bob has banned you from Ops: spam"),
        ("banned", "", "bob", UNTIL, errors.Banned, "bob has banned you from Ops until 2025-11-27 14:05:00 UTC"),
        (
            "not_allowed",
            "new rules",
            "",
            0,
            errors.NotAllowed,
            "you are not in Ops any more: new rules",
        ),
        ("not_allowed", "", "", 0, errors.NotAllowed, "you are not in Ops any more: not_allowed"),
        ("of a later version", "spam", "bob", 0, errors.Refused, "bob has removed you from Ops: spam"),
    ],
)
def test_the_error_says_by_whom_until_when_and_why(
    code: str, reason: str, by: str, until: int, kind: type[errors.Refused], text: str
) -> None:
    removal = removed("Ops", Removed("ops", 1, code, reason, by, until))
    assert type(removal.error) is kind
    assert (str(removal.error), removal.error.code) == (text, code)
    assert removal.error.retryable is kind.retryable
    assert removal.event == events.Removed("Ops", reason, by, until_of(until), code)


def test_a_ban_says_until_when_to_programs() -> None:
    for until, seconds in ((UNTIL, UNTIL / 1e6), (0, None)):
        removal = removed("Ops", Removed("Ops", 1, "banned", "", "bob", until))
        assert isinstance(removal.error, errors.Banned)
        assert removal.error.until == removal.event.until == seconds


def test_the_error_of_a_ban_names_no_second_in_which_it_is_still_in_force() -> None:
    removal = removed("Ops", Removed("Ops", 1, "banned", "", "bob", UNTIL + 1))
    assert isinstance(removal.error, errors.Banned)
    assert (removal.error.until, removal.event.until) == (UNTIL / 1e6 + 1, (UNTIL + 1) / 1e6)


@pytest.mark.parametrize("until", [1, (1 << 63) - 1, (1 << 64) - 1])
def test_a_time_that_no_calendar_has_is_no_failure(until: int) -> None:
    removal = removed("Ops", Removed("Ops", 1, "banned", "", "bob", until))
    assert str(removal.error).startswith("bob has banned you from Ops")


def test_a_room_that_can_not_be_joined_again_has_the_brokers_reason() -> None:
    banned = errors.Banned("you are banned from Ops", detail=5)
    assert refused("Ops", banned) == (banned, events.Removed("Ops", "you are banned from Ops", "", 5.0, "banned"))
    gone = errors.NoSuchRoom("there is no room Ops")
    assert refused("Ops", gone) == (gone, events.Removed("Ops", "there is no room Ops", "", None, "no_such_room"))
