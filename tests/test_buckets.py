"""So much a second, and so much at once."""

from __future__ import annotations

import pytest

from zchat.buckets import Bucket


def test_a_burst_may_be_taken_at_once_and_then_the_rate() -> None:
    bucket = Bucket(10, 3, 0.0)
    for _ in range(3):
        assert not bucket.wait(0.0)
        bucket.take()
    assert bucket.wait(0.0) == pytest.approx(0.1)
    assert bucket.wait(0.05) == pytest.approx(0.05)
    assert not bucket.wait(0.1)


def test_what_is_more_than_there_is_may_be_taken_and_delays_the_next() -> None:
    bucket = Bucket(10, 3, 0.0)
    bucket.take(103)
    assert bucket.wait(0.0) == pytest.approx(10.1)
    assert not bucket.wait(10.1)


def test_no_more_than_a_burst_gathers() -> None:
    bucket = Bucket(10, 3, 0.0)
    assert not bucket.wait(1_000.0)
    bucket.take(3)
    assert bucket.wait(1_000.0)
