from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.broker.store.driver import Clock, Driver, Reports, block
from zchat.broker.store import memory
from zchat.broker.store.blocks import BLOCK_COST
from zchat.broker.store.contract import Marked, Stored, Trimmed
from zchat.broker.store.memory import MemoryStore


def driver(max_room_messages: int = 1_000_000, max_bytes: int = 1 << 30) -> Driver:
    return Driver(lambda clock: MemoryStore(clock, max_room_messages, max_bytes), keeps=False)


def cost(text: str = "x") -> int:
    """Return what a block of one text is counted with."""
    store = driver()
    return store.stored(1, text).block.cost


def test_reads_are_answered_at_once_and_all_else_by_the_next_poll_without_a_wake() -> None:
    store = MemoryStore(Clock())
    answers: list[object] = []
    store.open(lambda: answers.append("woken"))
    store.read("General", 0, 1, 1, answers.append)
    assert len(answers) == 1
    store.append(block(1, "a"), answers.append)
    store.trim("General", 1, 0, answers.append)
    store.set_read_mark("General", "bob", 1, answers.append)
    assert len(answers) == 1
    store.poll(Reports())
    assert [type(answer) for answer in answers[1:]] == [Stored, Trimmed, Marked]


def test_a_room_keeps_its_newest_messages_in_whole_blocks() -> None:
    store = driver(max_room_messages=4)
    store.stored(1, "a", "b")
    store.stored(2, "c", "d")
    assert store.reports.of("trimmed") == []
    store.stored(3, "e")
    assert store.reports.of("trimmed") == [("General", 3)]
    store.wait(lambda: True)
    assert store.reports.of("trimmed") == [("General", 3)]
    assert store.texts() == ["c", "d", "e"]


def test_the_newest_block_is_kept_however_large() -> None:
    store = driver(max_room_messages=1, max_bytes=1)
    store.stored(1, "a", "b", "c")
    assert store.texts() == ["a", "b", "c"]
    store.stored(2, "d", "e")
    assert store.texts() == ["d", "e"]
    assert store.reports.of("trimmed") == [("General", 4)]


def test_bytes_are_bounded_over_all_rooms_and_the_oldest_goes_first() -> None:
    store = driver(max_bytes=3 * cost())
    for room, text in [("A", "1"), ("B", "2"), ("A", "3"), ("B", "4"), ("B", "5")]:
        store.say(text, room=room)
    assert (store.texts("A"), store.texts("B")) == (["3"], ["4", "5"])
    assert sorted(store.reports.of("trimmed")) == [("A", 2), ("B", 2)]


def test_a_room_may_lose_all_it_has_to_others() -> None:
    store = driver(max_bytes=2 * cost())
    store.say("1", room="A")
    store.say("2", "3", "4", room="B")
    assert (store.texts("A"), store.texts("B")) == ([], ["3", "4"])
    store.say("5", room="A")
    assert [message.seq for message in store.messages("A")] == [2]


def test_what_was_trimmed_before_does_not_stand_for_what_is_there() -> None:
    store = driver(max_bytes=3 * cost())
    store.say("1", "2", room="A")
    store.trim(keep=1, room="A")
    store.say("3", room="B")
    store.say("4", "5", room="A")
    assert (store.texts("A"), store.texts("B")) == (["4", "5"], ["3"])
    assert store.reports.of("trimmed") == [("A", 2), ("A", 3)]


def test_a_block_is_counted_with_what_python_needs_around_it() -> None:
    assert cost("x" * 100) > 100 + BLOCK_COST


actions = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from("ABC"), st.integers(0, 40)),
        st.tuples(st.just("trim"), st.sampled_from("ABC"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(actions, st.integers(1, 8), st.integers(1, 12))
def test_the_oldest_go_whatever_came_before(
    asked: list[tuple[str, str, int]], max_messages: int, max_blocks: int
) -> None:
    max_bytes = max_blocks * cost()
    store = driver(max_messages, max_bytes)
    model: list[tuple[str, int, int]] = []  # room, seq, cost
    firsts: dict[str, int] = {}

    def drop(place: int) -> None:
        room, seq, _ = model.pop(place)
        firsts[room] = seq + 1

    def oldest(room: str, keep: int) -> None:
        while sum(each[0] == room for each in model) > keep:
            drop(next(place for place, each in enumerate(model) if each[0] == room))

    numbers = dict.fromkeys("ABC", 0)
    previous = memory.STALE_PLACES
    memory.STALE_PLACES = 2
    try:
        for action, room, value in asked:
            if action == "trim":
                store.trim(keep=value, room=room)
                oldest(room, value)
                continue
            numbers[room] += 1
            stored = store.stored(numbers[room], "x" * value, room=room).block
            model.append((room, stored.first, stored.cost))
            oldest(room, max_messages)
            while sum(each[2] for each in model) > max_bytes and len(model) > 1:
                drop(0)
    finally:
        memory.STALE_PLACES = previous
    for room in "ABC":
        assert [message.seq for message in store.messages(room)] == [seq for each, seq, _ in model if each == room]
    assert all(firsts.get(room, 1) >= first for room, first in store.reports.of("trimmed"))
