"""How much may be sent in a second, by the rules."""

from __future__ import annotations

from random import Random

import pytest

from zchat.broker.guard.rates import Rates, TooFast
from zchat.broker.guard.rules import Rate, Rules, Table
from zchat.broker.limits import BYTES_BURST, MESSAGES_BURST, SPENT_TOLD
from zchat.broker.store.news import Amount, Spent

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


# -- over several brokers ----------------------------------------------------------------------------


def test_what_was_sent_through_another_broker_is_taken_from_what_is_left_here() -> None:
    rates = Rates()
    assert take(rates, RULES, "alice", "general", 1, 1, 0.0) is None
    rates.told(Spent((Amount("@alice", 1_500, 0), Amount("ops", 0, 4_500), Amount("general", 9, 9))), RULES, 60.0)
    too_fast = take(rates, RULES, "alice", "general", 1, 1, 60.0)
    assert too_fast is not None
    assert too_fast.seconds == pytest.approx(5.01), "she had a burst at that time, and no more"
    too_fast = take(rates, RULES, "bob", "ops", 1, 1, 60.0)
    assert too_fast is not None
    assert too_fast.slowed == "slowed_bytes"
    assert too_fast.seconds == pytest.approx(0.501)
    assert take(rates, RULES, "alice", "general", 1, 1, 65.02) is None


def test_where_rules_bound_nothing_what_others_tell_changes_nothing() -> None:
    rates = Rates()
    rates.told(Spent((Amount("@alice", 1_000_000, 0), Amount("ops", 1_000_000, 0))), Rules(), 0.0)
    assert take(rates, Rules(), "alice", "ops", 1, 1, 0.0) is None
    assert rates._buckets == {}


def test_others_are_told_once_it_is_a_seconds_worth_and_of_all_since_they_were_last_told() -> None:
    told: list[Spent] = []
    rates = Rates(told.append)
    rates.tell()
    for number in range(99):
        assert take(rates, RULES, "alice", "general", 1, 10, number / 100) is None
    rates.tell()
    assert told == []
    assert take(rates, RULES, "alice", "ops", 1, 10, 1.0) is None
    rates.tell()
    assert told.pop() == Spent((Amount("@alice", 100, 1_000),)), "not yet of the room"
    assert take(rates, RULES, "bob", "ops", 9, 10, 1.0) is None
    rates.tell()
    assert told.pop() == Spent((Amount("ops", 10, 20),))
    assert take(rates, RULES, "bob", "general", 1, 10_000, 1.0) is None
    assert take(rates, RULES, "guest-1", "general", 100, 0, 1.0) is None
    rates.tell()
    assert told.pop() == Spent((Amount("@bob", 10, 10_010), Amount("@guest-", 100, 0)))
    rates.tell()
    assert told == []


def test_what_is_refused_is_told_to_nobody() -> None:
    told: list[Spent] = []
    rates = Rates(told.append)
    assert take(rates, RULES, "alice", "general", 5_000, 0, 0.0) is None
    rates.tell()
    for _ in range(500):
        assert take(rates, RULES, "alice", "general", 100, 0, 0.0) is not None
    rates.tell()
    assert told == [Spent((Amount("@alice", 5_000, 0),))]


def test_of_a_bounded_number_others_are_told_at_once_and_of_the_rest_next() -> None:
    told: list[Spent] = []
    rates = Rates(told.append)
    for number in range(SPENT_TOLD + 2):
        assert take(rates, RULES, f"user {number}", "general", 100, 0, 0.0) is None
    assert take(rates, RULES, f"user {SPENT_TOLD}", "general", 1, 0, 0.0) is None
    for _ in range(3):
        rates.tell()
    assert [len(news.amounts) for news in told] == [SPENT_TOLD, 2]
    assert told[1].amounts == (
        Amount(f"@user {SPENT_TOLD}", 101, 0),
        Amount(f"@user {SPENT_TOLD + 1}", 100, 0),
    )


def test_what_others_are_not_told_of_is_kept_of_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.guard.rates.RATES_KEPT", 2)
    rates = Rates(lambda news: None)
    for number in range(9):
        assert take(rates, RULES, f"user {number}", "general", 100 * (number % 2), 1, 0.0) is None
        assert len(rates._untold) <= 2
        assert len(rates._due) <= 2
    rates.tell()


@pytest.mark.parametrize("way", ["at all at once", "at one after the other", "by chance"])
@pytest.mark.parametrize("brokers", [1, 2, 5])
def test_over_several_brokers_a_user_has_its_rate_and_for_each_a_burst_and_two_seconds_more(
    way: str, brokers: int
) -> None:
    random, rate, block = Random(f"{way} {brokers}"), 10, 7
    rules = Rules(limits=Rate(messages=rate))
    heard: list[tuple[float, int, Spent]] = []
    now = 0.0

    def telling(each: int) -> Rates:
        return Rates(lambda news: heard.append((now + 0.05, each, news)))

    all_rates = [telling(each) for each in range(brokers)]
    sent: list[float] = []
    for tick in range(20_000):  # at fiftieths of a second
        now = tick / 50
        while heard and heard[0][0] <= now:
            _, told, news = heard.pop(0)
            for each, rates in enumerate(all_rates):
                if each != told:
                    rates.told(news, rules, now)
        for each, rates in enumerate(all_rates):
            if tick % 50 == 7 * each:
                rates.tell()
        if way == "by chance" and random.random() < 0.2:
            continue  # it rests
        at = {"at one after the other": [tick // 100 % brokers], "by chance": [random.randrange(brokers)]}
        for each in at.get(way, range(brokers)):
            for _ in range(random.choice((1, 40))):
                if take(all_rates[each], rules, "alice", "general", block, 0, now) is None:
                    sent += [now] * block
    seconds = MESSAGES_BURST + 2 + 0.05
    for span in (0, 10, 60, 390):
        most, first = 0, 0
        for last, time in enumerate(sent):
            while sent[first] < time - span:
                first += 1
            most = max(most, last + 1 - first)
        assert most <= rate * (span + seconds * brokers) + block * brokers
    assert len(sent) >= rate * 390, "who sends all the time has no less than the rate"
