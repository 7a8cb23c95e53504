"""How much may be sent in a second, by the rules."""

from __future__ import annotations

import pytest

from zchat.broker.guard.rates import Rates, TooFast
from zchat.broker.guard.rules import Rate, Rules, Table
from zchat.broker.limits import BYTES_BURST, MESSAGES_BURST

RULES = Rules((Table(("ops",), rate=Rate(10, 1_000)),), limits=Rate(100, 10_000))


def take(rates: Rates, rules: Rules, user: str, room: str, messages: int, size: int, now: float) -> TooFast | None:
    return rates.take(user, rules.limits, room, rules.table(room).rate, messages, size, now)


def test_what_nobody_limits_is_never_too_fast() -> None:
    rates = Rates()
    for _ in range(1_000):
        assert take(rates, Rules(), "alice", "general", 1_000, 1 << 20, 0.0) is None


@pytest.mark.parametrize(("messages", "size", "slowed"), [(1, 0, "slowed_messages"), (0, 100, "slowed_bytes")])
def test_a_user_has_a_burst_and_then_a_rate_and_others_have_theirs(messages: int, size: int, slowed: str) -> None:
    rates = Rates()
    burst = 100 * MESSAGES_BURST if messages else 100 * BYTES_BURST
    for _ in range(int(burst)):
        assert take(rates, RULES, "alice", "general", messages, size, 0.0) is None
    too_fast = take(rates, RULES, "alice", "general", messages, size, 0.0)
    assert too_fast is not None
    assert too_fast.slowed == slowed
    assert 0 < too_fast.seconds <= 0.01
    assert take(rates, RULES, "alice", "other", messages, size, 0.0) is not None, "whatever the room"
    assert take(rates, RULES, "bob", "general", messages, size, 0.0) is None
    assert take(rates, RULES, "alice", "general", messages, size, 0.02) is None


def test_a_room_has_a_rate_for_all_together() -> None:
    rates = Rates()
    for number in range(int(10 * MESSAGES_BURST)):
        assert take(rates, RULES, f"user {number}", "ops", 1, 1, 0.0) is None
    assert take(rates, RULES, "another", "ops", 1, 1, 0.0) == TooFast(0.1, "slowed_messages")
    assert take(rates, RULES, "another", "general", 1, 1, 0.0) is None
    assert rates.take("another", RULES.limits, "ops", Rate(), 1, 1, 0.0) is None, "it has none by other rules"


def test_no_block_is_too_large_and_what_it_is_more_delays_the_next() -> None:
    rates = Rates()
    assert take(rates, RULES, "alice", "general", 1, 1_000_000, 0.0) is None
    too_fast = take(rates, RULES, "alice", "general", 1, 1, 0.0)
    assert too_fast is not None
    assert too_fast.seconds == pytest.approx((1_000_001 - 10_000 * BYTES_BURST) / 10_000)


def test_what_is_refused_is_not_counted() -> None:
    rates = Rates()
    for _ in range(int(10 * MESSAGES_BURST)):
        take(rates, RULES, "alice", "ops", 1, 1, 0.0)
    for _ in range(10_000):
        assert take(rates, RULES, "alice", "ops", 1, 1, 0.0) is not None
    assert take(rates, RULES, "alice", "general", 1, 1, 0.0) is None


def test_other_rules_begin_with_a_burst_of_their_own() -> None:
    rates = Rates()
    assert take(rates, RULES, "alice", "general", 1_000_000, 1, 0.0) is None
    assert take(rates, RULES, "alice", "general", 1, 1, 0.0) is not None
    assert take(rates, Rules(limits=Rate(100, 1)), "alice", "general", 1, 1, 0.0) is None


def test_guests_have_one_rate_together() -> None:
    rates = Rates()
    assert take(rates, RULES, "guest-1", "general", 1_000_000, 1, 0.0) is None
    assert take(rates, RULES, "guest-2", "general", 1, 1, 0.0) is not None


def test_a_bounded_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.guard.rates.RATES_KEPT", 2)
    rates = Rates()
    for number in range(9):
        assert take(rates, RULES, f"user {number}", "general", 1, 1, 0.0) is None
        assert len(rates._buckets) <= 2
