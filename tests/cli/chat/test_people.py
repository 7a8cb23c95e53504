"""The users that a chat knows of, and those that its user ignores."""

from __future__ import annotations

import pytest

from zchat.cli.chat.people import People
from zchat.errors import BadName, UsageError


def test_a_user_is_ignored_until_asked_again_however_the_name_is_spelt() -> None:
    people = People("alice")
    assert not people.is_ignored("bob")
    assert people.ignore("Bob")
    assert people.is_ignored("BOB")
    assert people.ignored == ["Bob"]
    assert not people.ignore("bob")
    assert not people.is_ignored("Bob")
    assert people.ignored == []


def test_nobody_ignores_themselves_or_what_is_no_name() -> None:
    people = People("alice")
    with pytest.raises(UsageError, match="your own name"):
        people.ignore("Alice")
    with pytest.raises(BadName):
        people.ignore("x" * 65)
    assert people.ignored == []


def test_who_looks_like_another_or_like_oneself_is_named_once() -> None:
    people = People("alice")
    assert people.saw("coco") is None
    assert people.saw("сосо") == "coco"
    assert people.saw("сосо") is None
    assert people.saw("aIice") == "alice"
