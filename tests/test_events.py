"""Events are values: equal if they say the same, hashable, and never changed."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from zchat import events
from zchat.events import (
    Crowd,
    Disconnected,
    Gap,
    Invited,
    MemberJoined,
    MemberLeft,
    ReadMark,
    Reconnected,
    Removed,
    Typing,
)
from zchat.messages import Message

EACH = [
    Message("General", 1, 2, "bob", "hi"),
    Gap("General", 2, 7, "trimmed"),
    Disconnected("cut"),
    Reconnected(),
    MemberJoined("General", "bob"),
    MemberLeft("General", "bob"),
    Typing("General", "bob", True),
    ReadMark("General", "bob", 3),
    Crowd("General", 300, 2, 40),
    Invited("@bob", "bob"),
    Removed("General", "spam", "bob", 7.5, "banned"),
]


def test_every_kind_of_event_is_one_of_event() -> None:
    assert [type(each) for each in EACH] == list(get_args(events.Event))


@pytest.mark.parametrize("event", EACH, ids=lambda event: type(event).__name__)
def test_an_event_is_a_value_that_can_be_kept_compared_and_sent_on(event: events.Event) -> None:
    copy = pickle.loads(pickle.dumps(event))
    assert copy == event
    assert {copy, event} == {event}
    assert [each for each in EACH if each == event] == [event]


@pytest.mark.parametrize("event", EACH[1:], ids=lambda event: type(event).__name__)
def test_an_event_is_never_changed(event: events.Event) -> None:
    with pytest.raises((FrozenInstanceError, TypeError)):
        event.room = "Sports"  # type: ignore[misc, union-attr]
