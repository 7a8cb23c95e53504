"""One moment for a wait of several steps."""

from __future__ import annotations

import threading
from math import inf

import pytest

from zchat.deadline import Deadline
from zchat.errors import UsageError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, to be changed."""
    now = [100.0]
    monkeypatch.setattr("zchat.deadline.time.monotonic", lambda: now[0])
    return now


def test_what_is_left_falls_to_nothing_and_no_further(clock: list[float]) -> None:
    limit = Deadline(5)
    assert (limit.seconds, limit.at, limit.left) == (5, 105.0, 5.0)
    clock[0] = 104.0
    assert limit.left == 1.0
    clock[0] = 106.0
    assert limit.left == 0


@pytest.mark.parametrize("never", [None, inf])
def test_one_without_a_limit_never_comes(never: float | None) -> None:
    limit = Deadline(never)
    assert (limit.seconds, limit.at, limit.left) == (None, inf, None)


def test_one_that_is_far_off_is_one_that_a_thread_can_wait_for() -> None:
    assert Deadline(1e300).left == threading.TIMEOUT_MAX


def test_a_time_below_zero_is_none() -> None:
    with pytest.raises(UsageError, match="a timeout is a number of seconds"):
        Deadline(-1)
