from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.broker.store.driver import ALICE, BOB, Clock, block
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store import ledger as module
from zchat.broker.store.contract import (
    PRODUCER_DAY,
    TRIM_BLOCKS,
    Duplicate,
    ForgottenProducer,
    Full,
    OutOfSequence,
    Stored,
)
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.ledger import (
    AHEAD_BLOCKS,
    MAX_EPOCH,
    MAX_ROOMS,
    MAX_SEQ,
    Ledger,
    LogEnds,
    Producer,
    count_old,
    random_epoch,
)
from zchat.wire.values import unpack


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def stored(ledger: Ledger, number: int, *texts: str, room: str = "General", producer: bytes = ALICE) -> Stored:
    answer = ledger.append(block(number, *texts, room=room, producer=producer))
    assert isinstance(answer, Stored), answer
    return answer


def test_a_stored_block_is_encoded_with_what_was_decided(ledger: Ledger, clock: Clock) -> None:
    stored(ledger, 1, "a")
    answer = stored(ledger, 2, "b", "c").block
    assert unpack(answer.data) == [2, clock.now, "alice", ALICE, block(2, "b", "c").bodies]
    assert answer[:4] == (2, 3, clock.now, ALICE)


def test_only_what_is_stored_changes_anything(ledger: Ledger) -> None:
    ledger.append(block(2, "a", room="Other"))
    assert ledger.logs() == []
    stored(ledger, 1, "a")
    before = ledger.logs()
    for number in (0, 1, 3):
        ledger.append(block(number, "b"))
    assert ledger.logs() == before


def test_an_epoch_begins_with_the_first_block_of_each_room(clock: Clock) -> None:
    ledger = Ledger(clock, iter([11, 12]).__next__)
    assert [stored(ledger, number, "a").epoch for number in (1, 2)] == [11, 11]
    assert stored(ledger, 1, "a", room="Other").epoch == 12
    assert [log.epochs for log in ledger.logs()] == [((11, 1),), ((12, 1),)]


def test_epochs_are_random_and_fit_into_every_languages_numbers() -> None:
    epochs = {random_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(1 <= epoch <= MAX_EPOCH == 2**53 - 1 for epoch in epochs)


def test_a_restored_ledger_goes_on_where_it_was(clock: Clock) -> None:
    ledger = Ledger(clock)
    ledger.restore_room(LogEnds(7, "General", 5, 9, clock.now + 10, [Epoch(11, 1), Epoch(33, 8), Epoch(55, 9)]))
    ledger.restore_producer((ALICE, "General"), Producer(3, [8, 2, 5], clock.now))
    assert ledger.append(block(3, "a", "b")) == Duplicate(8, 2, 5, 33)
    assert ledger.append(block(2, "a")) == OutOfSequence(4)
    answer = stored(ledger, 4, "c").block
    assert (answer.first, answer.timestamp) == (10, clock.now + 10)
    stored(ledger, 1, "a", room="Other")
    assert ledger.rooms["Other"].id == 8


def test_producers_are_forgotten_by_age_and_named_to_the_keeper_of_a_copy(ledger: Ledger, clock: Clock) -> None:
    stored(ledger, 1, "a")
    clock.now += 1
    stored(ledger, 1, "b", producer=BOB)
    clock.now += PRODUCER_DAY - 1
    stored(ledger, 2, "b", producer=BOB)
    assert ledger.expire(clock.now - PRODUCER_DAY, clock.now) == [(ALICE, "General")]
    assert ledger.append(block(2, "a")) == ForgottenProducer()
    assert ledger.forget(ALICE) == []
    assert ledger.forget(BOB) == [(BOB, "General")]


def test_many_old_producers_are_forgotten_a_few_at_a_time(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPIRED_AT_ONCE", 2)
    for number in range(5):
        stored(ledger, 1, "a", producer=bytes([number]) * 16)
    clock.now += PRODUCER_DAY
    for expired in (2, 2, 1, 0):
        assert len(ledger.expire(clock.now - PRODUCER_DAY, clock.now)) == expired


def test_numbers_that_a_key_can_not_hold_are_never_given(ledger: Ledger) -> None:
    ledger.restore_room(LogEnds(1, "General", MAX_SEQ - 1, MAX_SEQ - 2))
    assert isinstance(ledger.append(block(1, *"abc")), Full)
    assert stored(ledger, 1, "a", "b").block.last == MAX_SEQ
    ledger.restore_room(LogEnds(MAX_ROOMS, "Last"))
    assert isinstance(ledger.append(block(1, "a", room="One more")), Full)
    assert "One more" not in ledger.rooms


appends = st.lists(
    st.tuples(
        st.sampled_from([ALICE, BOB]),
        st.sampled_from(["A", "B"]),
        st.integers(-2, 20),
        st.integers(1, 3),
        st.integers(-5, 5),
    ),
    max_size=80,
)


@given(appends)
def test_whatever_comes_every_block_is_in_the_log_once_and_in_its_producers_order(
    asked: list[tuple[bytes, str, int, int, int]],
) -> None:
    clock = Clock()
    ledger = Ledger(clock)
    model: dict[tuple[bytes, str], list[Stored]] = {}
    logs: dict[str, list[Stored]] = {"A": [], "B": []}
    for producer, room, back, count, moved in asked:
        clock.now += moved
        had = model.setdefault((producer, room), [])
        number = len(had) + 1 - back if back else len(had) + 1
        answer = ledger.append(block(number, *["x"] * count, room=room, producer=producer))
        if number == len(had) + 1:
            assert isinstance(answer, Stored)
            assert answer.block.timestamp >= clock.now
            had.append(answer)
            logs[room].append(answer)
        elif not had:
            assert answer == ForgottenProducer()
        elif max(0, len(had) - MAX_REQUESTS) < number <= len(had):
            first, last, timestamp, *_ = had[number - 1].block
            assert answer == Duplicate(first, last - first + 1, timestamp, had[number - 1].epoch)
        else:
            assert answer == OutOfSequence(len(had) + 1)
    for log in logs.values():
        ends = [0] + [each.block.last for each in log]
        assert [each.block.first for each in log] == [end + 1 for end in ends[:-1]]
        times = [each.block.timestamp for each in log]
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("times", "keep", "before", "old"),
    [
        ([100] * 9, 4, 0, 5),
        ([100] * 9, 9, 0, 0),
        ([100] * 9, 0, 0, 0),
        ([100, 100, 101, 102], 0, 101, 2),
        ([], 4, 101, 0),
        ([999, 999, 100, 102], 0, 101, 3),  # what was dated by a clock that was ahead goes with what is old after it
        ([999, 999, 102, 100], 0, 101, 0),  # and doesn't go before it
        ([999, 999], 0, 101, 0),
        ([102, 5, 102], 0, 101, 0),  # nor does what was dated by one that was back
        ([100, 5, 102], 0, 101, 2),
        ([999, 999, 103], 2, 0, 1),
    ],
)
def test_a_block_is_old_when_enough_follows_or_its_time_is_over(
    times: list[int], keep: int, before: int, old: int
) -> None:
    assert count_old(enumerate(times, 1), len(times), keep, before, 200) == old


def test_what_goes_is_counted_no_further_than_one_call_removes() -> None:
    assert count_old(((last, 1) for last in range(1, 1_000)), 999, 0, 2, 200) == TRIM_BLOCKS + 1
    passed_over = iter(range(1, 2 * AHEAD_BLOCKS))
    assert count_old(((last, 999) for last in passed_over), 0, 0, 2, 200) == 0
    assert next(passed_over) == AHEAD_BLOCKS + 1


def test_a_producer_that_was_seen_by_a_clock_that_was_ahead_is_in_no_others_way(ledger: Ledger, clock: Clock) -> None:
    clock.now += 10 * PRODUCER_DAY
    stored(ledger, 1, "a")
    clock.now -= 10 * PRODUCER_DAY
    stored(ledger, 1, "b", producer=BOB)
    clock.now += PRODUCER_DAY
    assert ledger.expire(clock.now - PRODUCER_DAY, clock.now) == [(BOB, "General")]
    clock.now += 10 * PRODUCER_DAY
    assert ledger.expire(clock.now - PRODUCER_DAY, clock.now) == [(ALICE, "General")]


def test_no_time_is_before_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    for nanoseconds, microseconds in ((-315_619_200_000_000_000, 0), (-1, 0), (1_999, 1)):
        monkeypatch.setattr("time.time_ns", lambda now=nanoseconds: now)
        assert module.now() == microseconds
