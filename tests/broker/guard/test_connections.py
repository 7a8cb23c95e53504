"""Whose a frame is, and who is cut: connections by descriptor and number, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zchat.broker.guard import connections as guard
from zchat.broker.guard.connections import Connections
from zchat.broker.limits import (
    CHANCE,
    CROWDED_A_MOMENT,
    CUT_AFTER,
    ENDLESS_BYTES,
    GREET_WITHIN,
    HELD_BYTES,
    OVERRUN_BYTES,
    SAMPLE_AGAIN,
    SAMPLE_EVERY,
    SAMPLES_A_MOMENT,
    UNGREETED,
    UNGREETED_AT_ALL,
    UNGREETED_BYTES,
)
from zchat.broker.port import Cut

ID = b"\0\0\0\0\1"


def come(made: Connections, fd: int, routing_id: bytes = ID, now: float = 0.0) -> int:
    """Have a connection accepted, let in, heard and greeted; return its number."""
    made.accepted(fd, now)
    number = speak(made, fd, routing_id)
    made.greeted(number)
    return number


def speak(made: Connections, fd: int, routing_id: bytes = ID) -> int:
    """Have an accepted connection let in and heard; return its number."""
    number = made.admit()
    assert made.peer(number, fd, routing_id, 1, known=False) is not None
    return number


def heard(made: Connections, now: float) -> list[tuple[int, Cut]]:
    """Have all read that has come; return who is to be cut then."""
    made.drained(now)
    return made.take_due(now)


def nothing(routing_id: bytes) -> int:
    return 0


def reading(**sizes: int) -> Callable[[int], int]:
    """Return a function that says of descriptor 7 `_7` bytes, and so on."""
    return lambda fd: sizes[f"_{fd}"]


# -- whose a frame is --------------------------------------------------------------------------------


def test_a_frame_is_that_of_the_connection_with_its_number() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = made.admit("alice", "k" * 40, "192.0.2.1", "Alice")
    peer = made.peer(number, 7, ID, 1, known=False)
    assert peer == (ID, "alice", "k" * 40, "192.0.2.1", number, "Alice")
    assert made.peer(number, 7, ID, 1, known=True) is peer
    assert made.fd_of(number) == 7


def test_no_two_connections_have_the_same_number() -> None:
    made = Connections()
    assert len({made.admit() for _ in range(1_000)}) == 1_000


def test_a_descriptor_that_was_used_again_is_not_taken_for_that_of_the_connection_before() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    first = made.admit()
    made.closed(7)  # it said something and was closed; the loop reads that later
    made.accepted(7, 0.1)
    second = made.admit()
    assert made.peer(first, 7, b"first", 1, known=True) is not None
    assert made.fd_of(first) == -1
    assert made.peer(second, 7, b"second", 1, known=False) is not None
    assert made.fd_of(second) == 7
    made.cut(first, Cut.ENDED, 0.2)
    made.greeted(second)
    assert made.take_due(10.0) == [], "the later one is not cut in its place"


def test_late_frames_of_a_closed_connection_are_read_if_there_is_a_session_and_else_dropped() -> None:
    made = Connections()
    number = come(made, 7)
    gone = made.closed(7)
    assert gone is not None
    assert gone.connection == number
    assert made.peer(number, 7, ID, 1, known=True) is gone
    assert made.peer(number, 7, ID, 1, known=False) is None


def test_a_stranger_that_is_closed_before_it_is_read_is_dropped() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = made.admit()
    assert made.closed(7) is None
    assert made.peer(number, 7, ID, 1, known=False) is None


def test_nothing_is_read_of_a_connection_that_is_to_be_cut() -> None:
    made = Connections()
    number = come(made, 7)
    made.cut(number, Cut.ENDED, 1.0)
    assert made.peer(number, 7, ID, 1, known=True) is None
    assert made.peer(number, 7, ID, 1, known=False) is None


def test_a_number_that_was_never_given_is_nobodys() -> None:
    assert Connections().peer(5, 7, ID, 1, known=True) is None


def test_who_they_were_is_known_of_a_bounded_number_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "NUMBERS_KEPT", 3)
    made = Connections()
    silent = [made.admit() for _ in range(5)]
    closed = []
    for fd in range(5):
        closed.append(come(made, fd))
        made.closed(fd)
    assert [made.peer(number, 9, ID, 1, known=True) is not None for number in silent[:2]] == [False, False]
    assert [made.peer(number, 9, ID, 1, known=True) is not None for number in closed] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert len(made._peers) <= 3 + 3


# -- when a frame may be another's --------------------------------------------------------------------


def test_frames_are_checked_from_a_newcomer_on_until_it_has_greeted_and_all_is_read() -> None:
    made = Connections()
    checked = [made.checking]
    steps: list[Callable[[], object]] = [
        lambda: come(made, 7),
        lambda: made.drained(0.0),
        lambda: made.accepted(8, 0.0),
        lambda: made.drained(0.0),  # it may have a routing id that was another's
        lambda: made.closed(8),  # what it has said is not read yet
        lambda: made.drained(0.0),
    ]
    for step in steps:
        step()
        checked.append(made.checking)
    assert checked == [False, True, False, True, True, True, False]


# -- cuts ----------------------------------------------------------------------------------------------


def test_who_has_not_greeted_in_time_is_cut() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    made.accepted(8, 1.0)
    come(made, 9)
    assert made.due() == pytest.approx(SAMPLE_EVERY)
    assert heard(made, GREET_WITHIN - 0.01) == []
    assert heard(made, GREET_WITHIN) == [(7, Cut.LATE)]
    assert heard(made, GREET_WITHIN + 1.0) == [(8, Cut.LATE)]
    assert heard(made, 100.0) == []


def test_who_may_have_greeted_unread_is_not_late() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    assert made.take_due(100.0) == []
    made.drained(CHANCE - 0.01)
    assert made.take_due(100.0) == []
    made.drained(100.0, all_let_in=False)  # its handshake may not be answered yet
    assert made.take_due(100.0) == []
    made.drained(CHANCE)
    assert made.take_due(100.0) == [(7, Cut.LATE)]


def test_who_has_greeted_and_waits_for_an_answer_is_neither_late_nor_one_of_a_crowd() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = speak(made, 7)
    made.waits(number)
    assert heard(made, 100.0) == []
    assert made.checking, "it may claim the routing id of somebody who has gone"
    for fd in range(100, 100 + UNGREETED):
        made.accepted(fd, 100.0)
    assert heard(made, 101.0) == []
    made.refused(number, 101.0)
    assert heard(made, 101.0) == [(100, Cut.CROWDED)], "it counts as the newest"
    assert (7, Cut.LATE) in heard(made, 101.0 + GREET_WITHIN)


def test_who_waits_and_goes_is_counted_as_lost_and_is_nowhere_any_more() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = speak(made, 7)
    made.waits(number)
    made.closed(7)
    made.refused(number, 1.0)
    made.drained(1.0)
    assert made.lost == 1
    assert not made.checking
    assert heard(made, 100.0) == []


def test_who_waits_and_sends_on_and_on_is_cut() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = speak(made, 7)
    made.waits(number)
    assert made.sample(reading(_7=UNGREETED_BYTES + 1), nothing, SAMPLE_EVERY) == [(7, Cut.STUFFED)]


def test_who_sends_on_and_on_after_its_last_word_is_cut_at_once() -> None:
    made = Connections()
    number, other = come(made, 7), come(made, 8, b"other")
    for each in (number, other):
        made.cut(each, Cut.ENDED, 0.0)
    for _ in range(2):
        assert made.peer(number, 7, ID, OVERRUN_BYTES // 2, known=False) is None
        assert made.take_due(0.0) == []
    for _ in range(3):  # more of it is still to be read
        assert made.peer(number, 7, ID, 1, known=False) is None
    assert made.take_due(0.0) == [(7, Cut.ENDLESS)]
    assert made.take_due(0.0) == [], "once"
    made.closed(7)
    assert made.take_due(CUT_AFTER) == [(8, Cut.ENDED)], "the other had its time"


def test_of_too_many_newcomers_the_oldest_are_cut() -> None:
    made = Connections()
    for fd in range(UNGREETED + 2):
        made.accepted(fd, 0.0)
    assert heard(made, CHANCE) == [(0, Cut.CROWDED), (1, Cut.CROWDED)]
    assert made.take_due(0.1, UNGREETED - 1) == [(2, Cut.CROWDED)]
    assert made.give_up_oldest() == 3
    assert Connections().give_up_oldest() == -1


def test_of_far_too_many_newcomers_some_are_cut_in_a_moment() -> None:
    made = Connections()
    for fd in range(UNGREETED + CROWDED_A_MOMENT + 1):
        made.accepted(fd, 0.0)
    assert heard(made, CHANCE) == [(fd, Cut.CROWDED) for fd in range(CROWDED_A_MOMENT)]
    assert heard(made, CHANCE) == [(CROWDED_A_MOMENT, Cut.CROWDED)]
    assert heard(made, CHANCE) == []


def test_of_a_fleet_that_comes_back_at_once_nobody_is_cut_before_all_is_read_that_it_can_have_said() -> None:
    made = Connections()
    fleet = range(UNGREETED_AT_ALL)
    for fd in fleet:
        made.accepted(fd, 0.0)
    assert made.take_due(4.0) == []
    for fd in fleet[UNGREETED:]:
        made.greeted(speak(made, fd))
    assert heard(made, 4.0) == []
    made.accepted(-2, 4.0)
    assert heard(made, 4.0) == [(0, Cut.CROWDED)]


def test_there_are_never_more_newcomers_than_there_can_be_sessions_whether_they_wait_or_not() -> None:
    made = Connections()
    made.accepted(0, 0.0)
    number = speak(made, 0)
    made.waits(number)
    for fd in range(1, UNGREETED_AT_ALL + 1):
        made.accepted(fd, 0.0)
    assert made.take_due(0.0) == [(1, Cut.CROWDED)]
    assert made.take_due(0.0, 1) == [(fd, Cut.CROWDED) for fd in range(2, UNGREETED_AT_ALL + 1)]
    assert made.take_due(0.0, 0) == [(0, Cut.CROWDED)]


def test_a_greeting_of_a_newcomer_that_was_given_up_comes_too_late() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    number = made.admit()
    assert heard(made, GREET_WITHIN) == [(7, Cut.LATE)]
    assert made.peer(number, 7, ID, 1, known=False) is None
    made.closed(7)


def test_a_newcomer_that_was_given_up_while_its_greeting_waited_is_cut_all_the_same() -> None:
    made = Connections()
    for fd in range(UNGREETED + 1):
        made.accepted(fd, 0.0)
    number = speak(made, 0)
    assert heard(made, CHANCE) == [(0, Cut.CROWDED)]
    made.greeted(number)  # what waited was carried out before the connection was closed
    made.closed(0)
    assert made.fd_of(number) == -1


def test_who_leaves_before_it_has_greeted_is_counted_and_who_is_cut_is_not() -> None:
    made = Connections()
    come(made, 7)
    for fd in (8, 9, 10):
        made.accepted(fd, 0.0)
    made.closed(7)
    made.closed(8)
    assert made.lost == 1
    number = speak(made, 9)
    made.cut(number, Cut.STRANGER, 0.0)
    made.closed(9)
    assert heard(made, GREET_WITHIN) == [(10, Cut.LATE)]
    made.closed(10)
    assert made.lost == 1


def test_a_connection_is_cut_once_its_last_word_has_had_time() -> None:
    made = Connections()
    number = come(made, 7)
    made.cut(number, Cut.ENDED, 1.0)
    made.cut(number, Cut.STRANGER, 1.1)
    assert made.due() == pytest.approx(SAMPLE_EVERY)
    assert made.take_due(1.0 + CUT_AFTER - 0.01) == []
    assert made.take_due(1.0 + CUT_AFTER) == [(7, Cut.ENDED)]
    assert made.take_due(9.0) == []


def test_a_connection_that_was_closed_meanwhile_is_not_cut() -> None:
    made = Connections()
    number = come(made, 7)
    made.cut(number, Cut.ENDED, 1.0)
    made.closed(7)
    made.accepted(7, 1.0)
    assert made.take_due(1.0 + CUT_AFTER) == []


# -- bytes ---------------------------------------------------------------------------------------------


def test_who_sends_too_much_before_its_greeting_is_cut() -> None:
    made = Connections()
    made.accepted(7, 0.0)
    made.accepted(8, 0.0)
    read = reading(_7=UNGREETED_BYTES, _8=UNGREETED_BYTES + 1)
    assert made.sample(read, nothing, SAMPLE_EVERY - 0.01) == []
    assert made.sample(read, nothing, SAMPLE_EVERY) == [(8, Cut.STUFFED)]
    assert made.sample(read, nothing, 2 * SAMPLE_EVERY) == [], "once"


def test_a_message_without_an_end_is_cut_once_all_complete_ones_are_read() -> None:
    made = Connections()
    come(made, 7, b"honest")
    come(made, 8, b"endless")
    taken = {b"honest": 900 << 20, b"endless": 1_000}
    read = reading(_7=(900 << 20) + ENDLESS_BYTES, _8=ENDLESS_BYTES + 1_001)
    assert made.sample(read, taken.__getitem__, SAMPLE_EVERY) == []
    assert made.sampled
    assert made.judge(taken.__getitem__, drained=True) == [(8, Cut.ENDLESS)]


def test_while_complete_messages_may_wait_more_is_allowed() -> None:
    made = Connections()
    come(made, 7)
    read = reading(_7=HELD_BYTES)
    made.sample(read, nothing, SAMPLE_EVERY)
    assert made.sample(reading(_7=HELD_BYTES + 1), nothing, 2 * SAMPLE_EVERY) == []
    assert made.sample(read, nothing, 3 * SAMPLE_EVERY) == [(7, Cut.ENDLESS)]


def test_small_frames_earn_no_credit_for_an_endless_message() -> None:
    made = Connections()
    come(made, 7)
    made.sample(reading(_7=10_000), lambda routing_id: 50_000_000, SAMPLE_EVERY)  # counted with more than they took
    assert made.judge(lambda routing_id: 50_000_000, drained=True) == []
    made.sample(reading(_7=10_001 + ENDLESS_BYTES), lambda routing_id: 50_000_000, 2 * SAMPLE_EVERY)
    assert made.judge(lambda routing_id: 50_000_000, drained=True) == [(7, Cut.ENDLESS)]


def test_where_bytes_cant_be_counted_nobody_is_cut_for_them() -> None:
    made = Connections()
    come(made, 7)
    assert made.sample(lambda fd: -1, nothing, SAMPLE_EVERY) == []
    assert made.judge(nothing, drained=True) == []


def test_many_connections_are_sampled_in_several_moments() -> None:
    made = Connections()
    for fd in range(SAMPLES_A_MOMENT + 1):
        made.accepted(fd, 0.0)
    seen: list[int] = []
    now = SAMPLE_EVERY
    while len(seen) <= SAMPLES_A_MOMENT:
        before = len(seen)
        made.sample(lambda fd: seen.append(fd) or 0, nothing, now)  # type: ignore[func-returns-value]
        assert len(seen) - before <= SAMPLES_A_MOMENT
        now += SAMPLE_AGAIN
    assert sorted(seen) == list(range(SAMPLES_A_MOMENT + 1))
