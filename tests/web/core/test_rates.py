"""How much of a connection is taken in how long."""

from __future__ import annotations

from zchat.web.core import limits
from zchat.web.core.rates import Rates


def test_commands_and_messages_have_a_burst_and_a_rate() -> None:
    rates = Rates(0)
    assert [rates.take("send", 0) is None for _ in range(21)] == [True] * 20 + [False]
    assert [rates.take("rooms", 0) is None for _ in range(101)] == [True] * 100 + [False]
    refused = rates.take("rooms", 0)
    assert refused is not None
    assert (refused.code, refused.after, refused.retryable) == ("too_fast", 51, True)
    assert [rates.take("rooms", 1) is None for _ in range(21)] == [True] * 20 + [False]
    assert [rates.take("send", 2) is None for _ in range(11)] == [True] * 10 + [False]


def test_refusals_are_bounded_too() -> None:
    rates = Rates(0)
    assert [rates.refused(0) is None for _ in range(201)] == [True] * 200 + [False]
    found = rates.refused(0)
    assert found is not None
    assert found.after == limits.TOO_FAST_AGAIN


def test_frames_that_are_no_commands_have_a_burst_which_is_larger_after_the_greeting_and_a_rate() -> None:
    rates = Rates(0)
    assert [rates.take_frame(0) is None for _ in range(21)] == [True] * 20 + [False]
    rates.greeted(0)
    assert [rates.take_frame(0) is None for _ in range(201)] == [True] * 200 + [False]
    assert [rates.take_frame(1) is None for _ in range(21)] == [True] * 20 + [False]
    found = rates.take_frame(1)
    assert found is not None
    assert (found.code, found.after) == ("too_fast", limits.TOO_FAST_AGAIN)
    assert str(found) == "20 pings, pongs and parts of commands a second are taken from a connection"
