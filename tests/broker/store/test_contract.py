"""What every store does, whatever it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.store.driver import ALICE, BOB, DECIDING, EVERYTHING, Driver, block, duplicate
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store import open_store
from zchat.broker.store.contract import (
    PRODUCER_DAY,
    Appended,
    Duplicate,
    ForgottenProducer,
    Full,
    LogPage,
    Marked,
    NotStored,
    OutOfSequence,
    Stored,
    Trimmed,
)
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import UsageError
from zchat.messages import Message


def test_a_new_store_has_no_rooms(store: Driver) -> None:
    assert store.logs == []
    assert store.blocks() == []


def test_messages_are_numbered_without_holes(store: Driver) -> None:
    first = store.stored(1, "a", "b")
    second = store.stored(1, "c", producer=BOB)
    third = store.stored(2, "d", "e", "f")
    assert [(each.block.first, each.block.last) for each in (first, second, third)] == [(1, 2), (3, 3), (4, 6)]
    assert [(message.seq, message.body) for message in store.messages()] == list(enumerate("abcdef", 1))


def test_a_reader_gets_what_was_sent_with_its_sender_and_time(store: Driver) -> None:
    store.append(1, "hello", user="alice")
    store.clock.now += 5
    store.append(1, "hi", producer=BOB, user="bob")
    now = store.clock.now
    assert store.messages() == [
        Message("General", 1, now - 5, "alice", "hello"),
        Message("General", 2, now, "bob", "hi"),
    ]


def test_a_block_that_is_read_is_the_block_that_was_stored(store: Driver) -> None:
    stored = store.stored(1, "a", "b").block
    assert store.blocks() == [stored]
    assert stored.producer == ALICE


def test_each_room_numbers_its_own_messages_and_producers(store: Driver) -> None:
    store.stored(1, "a", "b")
    other = store.stored(1, "c", room="Other")
    assert other.block.first == 1
    assert store.texts() == ["a", "b"]
    assert store.texts("Other") == ["c"]


def test_time_never_goes_back_in_a_room(store: Driver) -> None:
    ahead = store.stored(1, "a").block.timestamp
    store.clock.now -= 1_000_000
    assert store.stored(2, "b").block.timestamp == ahead
    assert store.stored(1, "c", room="Other").block.timestamp == store.clock.now
    store.clock.now = ahead
    store.reopen()
    store.clock.now -= 1_000_000
    assert store.stored(1, "d", producer=BOB).block.timestamp == (ahead if store.keeps else store.clock.now)


def test_answers_come_in_the_order_of_the_calls(store: Driver) -> None:
    answers: list[tuple[int, Appended]] = []
    for index, number in enumerate([1, 1, 2, 7, 3]):
        store.store.append(block(number, f"{number}"), lambda answer, index=index: answers.append((index, answer)))  # type: ignore[misc]
    store.wait(lambda: len(answers) == 5)
    assert [index for index, _ in answers] == [0, 1, 2, 3, 4]
    assert [type(answer) for _, answer in answers] == [Stored, Duplicate, Stored, OutOfSequence, Stored]


def test_a_caller_that_is_answered_may_ask_again_at_once(store: Driver) -> None:
    answers: list[Appended] = []

    def again(answer: Appended) -> None:
        answers.append(answer)
        if len(answers) < 20:
            store.store.append(block(len(answers) + 1, "again"), again)

    store.store.append(block(1, "again"), again)
    store.wait(lambda: len(answers) == 20)
    assert [answer.block.first for answer in answers if isinstance(answer, Stored)] == list(range(1, 21))


def test_a_block_that_comes_twice_is_stored_once(store: Driver) -> None:
    stored = store.stored(1, "a", "b")
    store.clock.now += 1
    assert store.append(1, "a", "b") == duplicate(stored)
    assert store.texts() == ["a", "b"]


def test_as_many_blocks_as_may_be_unanswered_are_known_again(store: Driver) -> None:
    stored = [store.stored(number, f"{number}") for number in range(1, MAX_REQUESTS + 2)]
    assert store.append(1, "1") == OutOfSequence(MAX_REQUESTS + 2)
    for number in range(2, MAX_REQUESTS + 2):
        assert store.append(number, f"{number}") == duplicate(stored[number - 1])


def test_a_block_without_messages_asks_whether_its_number_is_stored_and_stores_nothing(store: Driver) -> None:
    assert store.append(1) == NotStored()
    assert store.append(2) == ForgottenProducer()
    stored = store.stored(1, "a")
    assert store.append(1) == duplicate(stored)
    assert store.append(2) == NotStored()
    assert store.append(3) == OutOfSequence(2)
    assert store.stored(2, "b").block.first == 2
    assert store.append(1, room="Other") == NotStored()
    assert [log.name for log in store.reopen()] == ["General"] * store.keeps


def test_a_number_too_far_ahead_is_sent_back_and_uses_up_nothing(store: Driver) -> None:
    store.stored(1, "a")
    assert store.append(3, "c") == OutOfSequence(2)
    assert store.stored(2, "b").block.first == 2


def test_a_producer_that_goes_on_but_is_not_known_learns_so(store: Driver) -> None:
    assert store.append(2, "b") == ForgottenProducer()
    assert store.append(0, "b") == ForgottenProducer()
    assert store.blocks() == []
    store.stored(1, "a")
    assert store.append(2, "b", room="Other") == ForgottenProducer()


def test_a_producer_is_known_after_a_reopening(store: Driver) -> None:
    stored = [store.stored(number, f"{number}") for number in range(1, 20)]
    store.reopen()
    if store.keeps:
        assert store.append(19, "19") == duplicate(stored[18])
        assert store.append(4, "4") == duplicate(stored[3])
        assert store.append(3, "3") == OutOfSequence(20)
        assert store.stored(20, "20").block.first == 20
    else:
        assert store.append(20, "20") == ForgottenProducer()


def test_a_producer_that_says_goodbye_is_forgotten_in_every_room(store: Driver) -> None:
    for room in ("General", "Other"):
        store.stored(1, "a", room=room)
        store.stored(1, "b", room=room, producer=BOB)
    store.store.forget(ALICE)
    store.store.forget(b"never heard of..")
    for _ in range(2):
        for room in ("General", "Other"):
            assert store.append(2, "c", room=room) == ForgottenProducer()
        if store.keeps:
            store.reopen()
    assert isinstance(store.append(2, "b", producer=BOB), Stored)


def test_a_forgotten_producer_begins_again_at_1(store: Driver) -> None:
    store.stored(1, "a")
    store.stored(2, "b")
    store.store.forget(ALICE)
    stored = store.stored(1, "c")
    assert stored.block.first == 3
    if store.keeps:
        store.reopen()
    assert store.append(1, "c") == duplicate(stored)


def test_a_producer_is_remembered_for_a_day_after_its_last_block(store: Driver) -> None:
    store.stored(1, "a")
    store.clock.now += PRODUCER_DAY // 2
    store.stored(1, "b", producer=BOB)
    store.clock.now += PRODUCER_DAY // 2
    store.expire()
    assert store.append(2, "a") == ForgottenProducer()
    assert isinstance(store.append(2, "b", producer=BOB), Stored)
    if store.keeps:
        store.reopen()
        assert store.append(2, "a") == ForgottenProducer()
        store.clock.now += PRODUCER_DAY
        store.expire()
        assert store.append(3, "b", producer=BOB) == ForgottenProducer()
        store.reopen()
        assert store.append(3, "b", producer=BOB) == ForgottenProducer()


def test_a_producer_that_comes_back_after_more_than_a_day_is_remembered_anew(store: Driver) -> None:
    store.stored(1, "a")
    store.clock.now += PRODUCER_DAY
    store.expire()
    again = store.stored(1, "b")
    if store.keeps:
        store.reopen()
    assert store.append(1, "b") == duplicate(again)


def test_no_young_producer_makes_room_for_a_new_one(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in DECIDING["MAX_PRODUCERS"]:
        monkeypatch.setattr(f"zchat.broker.store.{module}.MAX_PRODUCERS", 1)
    store.stored(1, "a")
    assert isinstance(store.append(1, "b", producer=BOB), Full)
    assert store.stored(2, "c").block.first == 2
    store.store.forget(ALICE)
    assert store.stored(1, "b", producer=BOB).block.first == 3


def test_results_outlive_the_trimming_of_their_blocks(store: Driver) -> None:
    stored = store.stored(1, "a")
    store.stored(2, "b")
    assert store.trim(keep=1) == Trimmed(2, False)
    assert store.append(1, "a") == duplicate(stored)
    assert store.texts() == ["b"]


def test_the_first_message_after_each_opening_begins_an_epoch(store: Driver) -> None:
    first = store.stored(1, "a")
    assert store.stored(2, "b").epoch == first.epoch
    assert store.stored(1, "b", room="Other").epoch != first.epoch
    store.reopen()
    store.reopen()
    second = store.stored(1, "c", producer=BOB)
    assert (second.epoch != first.epoch) is store.begins
    for epoch in (first.epoch, second.epoch):
        assert 1 <= epoch < 1 << 53
    logs = {log.name: log for log in store.reopen()}
    if store.keeps:
        assert logs["General"].epochs == ((first.epoch, 1), (second.epoch, 3))[: 1 + store.begins]
        assert len(logs["Other"].epochs) == 1


def test_a_reopened_store_says_where_its_rooms_begin_and_end(store: Driver) -> None:
    for number in range(1, 4):
        store.stored(number, "a", "b")
    store.stored(1, "a", room="Trimmed")
    store.trim(keep=2)
    store.trim(before=EVERYTHING, room="Trimmed")
    logs = {log.name: (log.first, log.last) for log in store.reopen()}
    if store.keeps:
        assert logs == {"General": (5, 6), "Trimmed": (2, 1)}
        assert [message.seq for message in store.messages()] == [5, 6]
        assert store.stored(2, "b", room="Trimmed").block.first == 2
    else:
        assert logs == {}


def test_a_read_begins_with_the_block_that_holds_the_next_message(store: Driver) -> None:
    for number in range(1, 4):
        store.stored(number, "a", "b", "c")
    for after, first in [(0, 1), (1, 1), (2, 1), (3, 4), (5, 4), (6, 7), (8, 7)]:
        assert store.blocks(after)[0].first == first
    assert store.blocks(9) == store.blocks(500) == store.blocks(EVERYTHING) == []
    store.trim(keep=3)
    assert store.blocks(0)[0].first == 7


def test_a_read_stays_in_its_room(store: Driver) -> None:
    for room in ("A", "B", "C"):
        store.stored(1, f"of {room}", room=room)
    for room in ("A", "B", "C"):
        assert store.texts(room) == [f"of {room}"]
        assert store.blocks(1, room=room) == []


def test_a_read_ends_before_the_block_that_is_too_much(store: Driver) -> None:
    for number in range(1, 5):
        store.stored(number, "x" * 50)
    size = len(store.blocks()[0].data)
    for max_bytes, count in [(0, 1), (size - 1, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (3 * size, 3)]:
        assert len(store.blocks(max_bytes=max_bytes)) == count


def test_a_read_ends_with_the_block_that_holds_its_end(store: Driver) -> None:
    for number in range(1, 4):
        store.stored(number, "a", "b")
    for upto, lasts in [(0, []), (1, [2]), (2, [2]), (3, [2, 4]), (4, [2, 4]), (5, [2, 4, 6])]:
        assert [each.last for each in store.blocks(upto=upto)] == lasts


def test_reads_are_answered_in_the_order_of_the_calls(store: Driver) -> None:
    for number in range(1, 6):
        store.stored(number, f"{number}")
    pages: list[object] = []
    for after in range(5):
        store.store.read("General", after, after + 1, 0, pages.append)
    store.store.read("Nowhere", 0, 1, 0, lambda page: None)
    store.wait(lambda: len(pages) == 5)
    assert [page.blocks[0].first for page in pages if isinstance(page, LogPage)] == [1, 2, 3, 4, 5]


def test_trimming_keeps_what_it_is_to_keep_in_whole_blocks(store: Driver) -> None:
    for number in range(1, 4):
        store.stored(number, "a", "b")
    assert store.trim(keep=6) == Trimmed(1, False)
    assert store.trim(keep=5) == Trimmed(1, False)
    assert store.trim(keep=3) == Trimmed(3, False)
    assert store.trim(keep=1) == Trimmed(5, False)
    assert store.trim(keep=1) == Trimmed(5, False)
    assert [message.seq for message in store.messages()] == [5, 6]


def test_trimming_removes_what_is_older_than_a_time(store: Driver) -> None:
    for number in range(1, 4):
        store.stored(number, f"{number}")
        store.clock.now += 10
    start = store.clock.now - 30
    assert store.trim(before=start) == Trimmed(1, False)
    assert store.trim(before=start + 11) == Trimmed(3, False)
    assert store.trim(before=store.clock.now) == Trimmed(4, False)
    assert store.texts() == []
    assert store.stored(4, "d").block.first == 4


def test_trimming_goes_in_small_steps(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory", "sqlite.committer", "redis.committer"):
        monkeypatch.setattr(f"zchat.broker.store.{module}.TRIM_BLOCKS", 2)
    for number in range(1, 7):
        store.stored(number, f"{number}")
    assert store.trim(keep=1) == Trimmed(3, True)
    assert store.trim(keep=1) == Trimmed(5, True)
    assert store.trim(keep=1) == Trimmed(6, False)


def test_trimming_with_no_rule_or_no_room_removes_nothing(store: Driver) -> None:
    store.stored(1, "a")
    assert store.trim() == Trimmed(1, False)
    assert store.trim(keep=1, room="Nowhere") == Trimmed(1, False)
    assert store.texts() == ["a"]


def test_a_mark_says_how_far_a_user_has_read_and_never_goes_back(store: Driver) -> None:
    store.stored(1, *"abcde")
    assert [store.mark(seq) for seq in (2, 4, 4, 3, 5)] == [Marked(seq) for seq in (2, 4, 4, 4, 5)]
    assert store.marks() == ([("General", "bob", 5)] if store.keeps else [])


def test_each_user_has_a_mark_of_its_own_in_each_room(store: Driver) -> None:
    for room in ("General", "Other", "@alice\nbob"):
        store.stored(1, *"abc", room=room)
    store.mark(1, "bob")
    store.mark(2, "straße")
    store.mark(3, "bob", "Other")
    store.mark(2, "bob", "@alice\nbob")
    marks = [("@alice\nbob", "bob", 2), ("General", "bob", 1), ("General", "straße", 2), ("Other", "bob", 3)]
    assert store.marks() == (marks if store.keeps else [])


def test_a_mark_stands_after_a_reopening_and_moves_on_from_there(store: Driver) -> None:
    store.stored(1, *"abcde")
    store.mark(3)
    if store.keeps:
        store.reopen()
        assert store.mark(2) == Marked(3)
    assert store.mark(5) == Marked(5)
    assert store.marks() == ([("General", "bob", 5)] if store.keeps else [])


def test_who_has_read_nothing_yet_can_say_so(store: Driver) -> None:
    store.stored(1, "a")
    assert store.mark(0) == Marked(0)
    assert store.marks() == ([("General", "bob", 0)] if store.keeps else [])


def test_a_mark_beyond_the_end_of_the_log_stands_at_its_end(store: Driver) -> None:
    store.stored(1, "a", "b")
    assert [store.mark(seq) for seq in (EVERYTHING, 3)] == [Marked(2), Marked(2)]
    store.stored(2, "c")
    assert store.mark(0) == Marked(2)
    assert store.marks() == ([("General", "bob", 2)] if store.keeps else [])


def test_a_room_without_a_log_has_no_marks(store: Driver) -> None:
    assert store.mark(1, room="Nowhere") == Full("the room has no log yet, so there is nothing to mark as read")
    store.stored(1, "a")
    assert isinstance(store.mark(0, room="Other"), Full)
    assert store.marks() == []


def test_a_mark_stays_when_all_of_the_log_is_trimmed(store: Driver) -> None:
    store.stored(1, *"abc")
    store.mark(2)
    assert store.trim(before=EVERYTHING) == Trimmed(4, False)
    assert store.mark(1) == Marked(2)
    if store.keeps:
        assert store.marks() == [("General", "bob", 2)]
    else:
        assert store.store.read_marks() == [("General", "bob", 2)]
    store.mark(3)
    assert store.mark(0) == Marked(3)


def test_marks_are_answered_in_the_order_of_their_calls_and_after_the_blocks_that_they_are_about(
    store: Driver,
) -> None:
    answers: list[object] = []
    store.store.append(block(1, "a", "b"), answers.append)
    for seq in (1, 2, 1):
        store.store.set_read_mark("General", "bob", seq, answers.append)
    store.store.append(block(2, "c"), answers.append)
    for seq in (3, 0):
        store.store.set_read_mark("General", "bob", seq, answers.append)
    store.wait(lambda: len(answers) == 7)
    assert [answer.block.last if isinstance(answer, Stored) else answer for answer in answers] == [
        2,
        *map(Marked, (1, 2, 2)),
        3,
        *map(Marked, (3, 3)),
    ]


def test_no_mark_makes_room_for_a_new_one_and_those_there_still_move(
    store: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in DECIDING["MAX_READ_MARKS"]:
        monkeypatch.setattr(f"zchat.broker.store.{module}.MAX_READ_MARKS", 2)
    store.stored(1, "a", "b")
    assert [store.mark(1, user) for user in ("alice", "bob")] == [Marked(1), Marked(1)]
    if store.keeps:
        store.reopen()
    assert isinstance(store.mark(1, "carol"), Full)
    assert [store.mark(2, user) for user in ("alice", "bob")] == [Marked(2), Marked(2)]


def test_nothing_is_trimmed_unasked(store: Driver) -> None:
    store.say("a", "b")
    store.wait(lambda: True)
    assert store.reports.of("trimmed") == []


def test_closing_twice_is_no_fault(store: Driver) -> None:
    store.stored(1, "a")
    store.store.close()
    store.store.close()
    store.store.poll(store.reports)


def test_a_store_is_named_by_its_url(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    store = open_store(f"sqlite:{tmp_path}/new/z.db")
    assert isinstance(store, SqliteStore)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url", ["", "memory", "memory:big", "sqlite:", "sqlite", "postgresql://host", "/a/path", "z.db"]
)
def test_a_url_that_names_no_store_is_refused_with_those_there_are(url: str) -> None:
    with pytest.raises(UsageError, match=r"is not a store: use memory: or sqlite:PATH or redis://HOST"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    ["sqlite::memory:", "sqlite::MEMORY:", "sqlite:file:z.db?mode=memory", "sqlite:///z.db", "sqlite:///:memory:"],
)
def test_what_is_a_store_in_memory_elsewhere_makes_no_file_of_that_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"PATH being a file: use memory: to keep nothing, or an ordinary path"):
        open_store(url)
    assert isinstance(open_store("sqlite:./:memory:"), SqliteStore)
    assert list(tmp_path.iterdir()) == []


def test_commits_are_reported_once_by_a_store_that_makes_them(store: Driver) -> None:
    store.say("hello", "again")
    commits = [commit for (commit,) in store.reports.of("committed")]
    assert bool(commits) == store.keeps
    assert all(commit.microseconds > 0 and commit.size > 0 for commit in commits)
    store.wait(lambda: True)
    assert len(store.reports.of("committed")) == len(commits)


# -- what is reported ------------------------------------------------------------------------------
