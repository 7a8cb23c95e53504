"""Checks that clients and brokers have in common."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from zchat import checks
from zchat.checks import MAX_SHOWN, shown
from zchat.errors import UsageError


@pytest.mark.parametrize("seconds", [0, 0.5, 5, 1e300])
def test_a_timeout_is_a_number_of_seconds(seconds: float) -> None:
    assert checks.check_timeout(seconds) == seconds
    assert checks.check_finite_timeout("closing", seconds) == seconds


@pytest.mark.parametrize("endless", [None, inf])
def test_no_timeout_and_infinity_are_the_same_and_not_always_allowed(endless: Any) -> None:
    assert checks.check_timeout(endless) is None
    with pytest.raises(UsageError, match="closing takes a timeout in seconds"):
        checks.check_finite_timeout("closing", endless)


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1", True, []])
def test_anything_else_is_no_timeout(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a timeout is a number of seconds"):
        checks.check_timeout(wrong)


class Odd:
    """Something that can't be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


def test_a_number_beyond_all_is_no_limit() -> None:
    assert checks.check_timeout(10**400) is None
    assert checks.check_timeout(1e300) == 1e300


def test_whatever_is_wrong_is_shown_in_short() -> None:
    assert shown("x") == "'x'"
    assert shown([0] * 10**6) == f"{repr([0] * 200)[:MAX_SHOWN]}…"
    assert shown(10**5000) == "one int"
    assert shown(Odd()) == "one Odd"


def test_a_flag_is_true_or_false_and_text_is_text() -> None:
    for value in (True, False):
        checks.check_flag("create", value)
    with pytest.raises(UsageError, match="create is True or False, not 1"):
        checks.check_flag("create", 1)
    checks.check_text("the name of a room", "General")
    with pytest.raises(UsageError, match="the name of a room is text, not b'General'"):
        checks.check_text("the name of a room", b"General")


def test_a_list_of_texts_is_no_single_text() -> None:
    for several in (["a", "b"], ("a", "b"), dict.fromkeys("ab").keys(), (each for each in "ab")):
        assert checks.check_texts("public", "patterns", several) == ("a", "b")
    for wrong in ("news*", b"news", {"a": 1}, None, 5):
        with pytest.raises(UsageError, match=r"^public is a list of patterns, not "):
            checks.check_texts("public", "patterns", wrong)
    with pytest.raises(UsageError, match=r"^each of the patterns is text, not b'x'$"):
        checks.check_texts("public", "patterns", ["a", b"x"])
