"""What every store makes of a clock that is far ahead for a moment."""

from __future__ import annotations

from tests.broker.store.driver import Driver
from zchat.broker.store.contract import PRODUCER_DAY, TRIM_BLOCKS, Trimmed
from zchat.broker.store.ledger import JUMP


def test_one_moment_of_a_clock_that_is_far_ahead_dates_no_later_message(store: Driver) -> None:
    now = store.clock.now
    store.clock.now += 10 * 365 * PRODUCER_DAY
    ahead = store.stored(1, "a").block.timestamp
    store.clock.now = now
    assert store.stored(2, "b").block.timestamp == now
    store.clock.now -= JUMP
    assert store.stored(3, "c").block.timestamp == now, "a clock that is corrected by little stands still"
    store.clock.now -= 1
    assert store.stored(4, "d").block.timestamp == now - JUMP - 1
    assert [message.timestamp for message in store.messages()] == [ahead, now, now, now - JUMP - 1]


def test_what_was_dated_by_a_clock_that_was_ahead_is_trimmed_with_what_follows_it(store: Driver) -> None:
    now = store.clock.now
    store.clock.now += 10 * 365 * PRODUCER_DAY
    store.say(*map(str, range(2 * TRIM_BLOCKS)))
    store.clock.now = now
    store.say("then", "later")
    assert store.trim(before=now, ahead=now) == Trimmed(1, False)
    store.clock.now += 100 * JUMP
    store.say("new")
    firsts = []
    more = True
    while more:
        trimmed = store.trim(before=store.clock.now, ahead=store.clock.now)
        assert isinstance(trimmed, Trimmed)
        more = trimmed.more
        firsts.append(trimmed.first)
    assert firsts == [TRIM_BLOCKS + 1, 2 * TRIM_BLOCKS + 1, 2 * TRIM_BLOCKS + 3]
    assert store.texts() == ["new"]
