"""What a store reports to its watcher, whatever it is made of."""

from __future__ import annotations

from tests.broker.store.driver import BOB, Driver, block, duplicate
from zchat.broker.store.contract import (
    Appended,
    ForgottenProducer,
    Marked,
    Stored,
    Trimmed,
)


def test_a_block_that_was_stored_is_reported_just_before_its_answer(store: Driver) -> None:
    store.store.follow("General", True)
    answers: list[Appended] = []

    def answered(answer: Appended) -> None:
        answers.append(answer)
        assert len(store.reports.of("grew")) == len(answers)

    for number, text in enumerate("ab", 1):
        store.store.append(block(number, text), answered)
    store.wait(lambda: len(answers) == 2)
    assert store.reports.of("grew") == [
        ("General", answer.block, answer.epoch, "alice") for answer in answers if isinstance(answer, Stored)
    ]


def test_a_block_that_was_not_stored_is_not_reported(store: Driver) -> None:
    store.store.follow("General", True)
    store.stored(1, "a")
    for number in (1, 3):
        store.append(number, "a")
    store.append(2, "b", producer=BOB)
    assert len(store.reports.of("grew")) == 1


def test_reports_of_a_room_follow_each_other_without_a_hole(store: Driver) -> None:
    store.store.follow("General", True)
    store.say("a", "b")
    store.trim(keep=1)
    store.say("c")
    blocks = [block for _, block, _, _ in store.reports.of("grew")]
    assert [(each.first, each.last) for each in blocks] == [(1, 1), (2, 2), (3, 3)]


def test_a_duplicate_says_the_epoch_that_its_block_was_stored_in(store: Driver) -> None:
    before = store.stored(1, "a")
    store.reopen()
    after = store.append(2, "b")
    if store.keeps:
        assert isinstance(after, Stored)
        assert (after.epoch != before.epoch) is store.begins
        assert store.append(1, "a") == duplicate(before)
        assert store.append(2, "b") == duplicate(after)
        store.reopen()
        assert store.append(1, "a") == duplicate(before)
    else:
        assert after == ForgottenProducer()


def test_a_mark_that_moves_is_reported_just_before_its_answer_and_one_that_stands_is_not(store: Driver) -> None:
    store.stored(1, "a", "b")
    assert store.mark(1) == Marked(1)
    assert store.reports.of("marked") == [("General", "bob", 1)]
    store.mark(1)
    store.mark(0)
    store.mark(9)
    store.mark(1, room="Other")
    assert store.reports.of("marked") == [("General", "bob", 1), ("General", "bob", 2)]


def test_a_trim_is_reported_just_before_its_answer(store: Driver) -> None:
    store.say("a", "b", "c")
    answers: list[object] = []

    def answered(answer: object) -> None:
        assert store.reports.all[-1] == ("trimmed", "General", 3)
        answers.append(answer)

    store.store.trim("General", 1, 0, answered)
    store.wait(lambda: answers)
    assert answers == [Trimmed(3, False)]


def test_a_trim_of_a_room_without_a_log_reports_nothing(store: Driver) -> None:
    assert store.trim(keep=1, room="Nowhere") == Trimmed(1, False)
    assert store.reports.all == []


def test_closing_answers_and_reports_no_more(store: Driver) -> None:
    answers: list[object] = []
    store.store.append(block(1, "a"), answers.append)
    store.store.close()
    assert len(answers) == 1
    assert store.reports.all == []


def test_a_store_of_one_broker_has_reported_all_there_is(store: Driver) -> None:
    located: list[bool] = []
    store.store.follow("General", True)
    store.store.locate("General", lambda: located.append(True))
    store.wait(lambda: located)
    store.store.follow("General", False)
