"""How far a room is read: positions, own messages, and credit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random

from tests.protocol.driver import FakeSubmission, Wire
from zchat import errors
from zchat.messages import Position
from zchat.protocol.rooms.cursor import MAX_OWN_RANGES, Cursor, Portion
from zchat.wire.notices import GapNotice


class Part:
    """One notification on its way to the application."""

    another_log = False
    last_taken = None

    def __init__(self, number: int, epoch: int = 77, upto: int = 0) -> None:
        self.number = number
        self.epoch = epoch
        self.upto = upto
        self.rest: Iterator[object] = iter((None,))
        self.next: Portion | None = None

    def take(self) -> None:
        next(self.rest, None)


class Chain:
    """A cursor, and the notifications that it has received."""

    def __init__(self, position: Position, window: int) -> None:
        self.cursor = Cursor()
        self.cursor.begin(position, window, gap=False)
        self._last: Portion = self.cursor.beginning

    def receive(self, epoch: int, upto: int) -> Part:
        self.cursor.receive(epoch, upto)
        part = Part(self.cursor.received, epoch, upto)
        self._last.next = part
        self._last = part
        return part


def test_credit_after_a_rejoin_counts_from_what_was_held(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.take(membership, 1)
    wire.come_back()
    wire.rejoin()
    wire.say("push", "General", 77, 4, 5, [])
    for taken in (1, 3, 5):
        wire.take(membership, taken)
    assert wire.commands() == [["credit", "General", 2, 2], ["credit", "General", 2, 4]]


def test_credit_given_before_the_rejoin_is_answered_goes_out_after_it(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.come_back()
    [join] = wire.commands("join")
    wire.take(membership, 3)
    assert wire.commands() == []
    wire.ok(join, "General", 77, 4, 1, 4, 10, False)
    assert wire.commands() == [["credit", "General", 2, 3]]


def test_credit_given_between_connections_leaves_less_held(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.core.lost("cut")
    wire.take(membership, 3)
    wire.connected_anew()
    wire.greet()
    assert wire.rejoin()[5] == 1
    assert wire.commands() == []
    wire.take(membership, 4)
    assert wire.commands() == [["credit", "General", 2, 1]]


def test_no_more_is_held_than_a_smaller_window_has(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(8):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.come_back(mark=3)
    assert wire.rejoin(mark=3)[5] == 3
    for taken in (5, 6):
        wire.take(membership, taken)
    assert wire.commands() == [["credit", "General", 2, 1]], "the five that came first are no longer counted"


def test_a_position_moves_over_own_messages_too(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", FakeSubmission("a", "b"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 2]


def test_own_messages_move_a_position_once_everything_before_them_has_come(wire: Wire) -> None:
    wire.join()
    wire.seq = 5
    wire.core.offer("General", FakeSubmission("a"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 0]
    wire.core.offer("General", FakeSubmission("b"))
    wire.seq = 5
    wire.store(wire.commands("send")[0])
    wire.say("push", "General", 77, 0, 5, [])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 6]


def test_a_position_does_not_move_into_another_log_before_the_gap_is_reported(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin(gap=True)
    wire.core.offer("General", FakeSubmission("into another log"))
    [send] = wire.commands("send")
    wire.ok(send, 5, 1_000, 99)
    wire.come_back()
    assert wire.rejoin(gap=True)[4] == [77, 4], "or the gap would never come"
    wire.say("gap", "General", 99, 4, 5, "reset")
    assert isinstance(feed.notices[-1], GapNotice)
    wire.come_back()
    assert wire.rejoin()[4] == [99, 5]


def test_a_position_moves_over_own_messages_of_a_broker_started_again(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin()
    wire.core.offer("General", FakeSubmission("in a new epoch of the same log"))
    [send] = wire.commands("send")
    wire.ok(send, 5, 1_000, 99)
    wire.come_back()
    assert wire.rejoin()[4] == [99, 5]


def test_own_messages_of_a_log_that_is_gone_do_not_move_the_position_in_the_next(wire: Wire) -> None:
    wire.join()
    wire.seq = 9
    wire.core.offer("General", FakeSubmission("a"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    wire.rejoin()
    wire.say("gap", "General", 99, 0, 9, "reset")
    wire.come_back()
    assert wire.rejoin()[4] == [99, 9]


def test_a_first_notification_that_does_not_follow_the_position_asked_for_ends_it(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin()
    wire.say("push", "General", 77, 3, 6, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_credit_is_a_running_count_of_the_join_and_never_goes_back(wire: Wire) -> None:
    _, membership = wire.join()
    for taken in (3, 5, 5):
        wire.take(membership, taken)
    assert wire.commands() == [["credit", "General", 1, 3], ["credit", "General", 1, 5]]


def test_what_is_taken_while_a_join_is_under_way_is_returned_once_it_is_answered(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.come_back(mark=2)
    [join] = wire.commands("join")
    assert join[5] == 2, "as many as the smaller window has"
    membership.cursor.taken = 4
    wire.ok(join, "General", 77, 4, 1, 4, 2, False)
    assert wire.commands() == [["credit", "General", 2, 2]]


def test_what_is_received_never_lags_what_is_taken() -> None:
    random = Random(7)
    for _ in range(300):
        chain = Chain(Position(1, 0), random.choice((1, 3, 10)))
        cursor = chain.cursor
        end = 0
        waiting: deque[Part] = deque()
        for _ in range(60):
            act = random.random()
            if act < 0.3:
                first, end = end + 1, end + random.randint(1, 4)
                cursor.own(1, first, end)
            elif act < 0.6:
                end += random.randint(0, 3)
                if end > cursor.upto:
                    waiting.append(chain.receive(1, end))
            elif act < 0.9 and waiting:
                waiting.popleft().take()
            elif act > 0.97:
                cursor.rejoin(10)
                cursor.rejoined(10, gap=False)
                end = cursor.received_position.seq
            assert cursor.position.seq <= cursor.received_position.seq <= end
        while waiting:
            waiting.popleft().take()
        assert cursor.position == cursor.received_position


def test_own_messages_beyond_the_bound_cost_what_is_received_nothing() -> None:
    cursor = Cursor()
    cursor.begin(Position(1, 0), 10, gap=False)
    seq = 0
    for _ in range(MAX_OWN_RANGES + 50):  # nothing is taken meanwhile
        cursor.receive(1, seq + 1)
        cursor.own(1, seq + 2, seq + 2)
        seq += 2
    assert cursor.received_position == (1, seq)


def test_a_gap_that_is_not_taken_is_not_forgotten_for_a_later_one_that_never_came() -> None:
    chain = Chain(Position(77, 23), 10)
    cursor = chain.cursor
    cursor.rejoined(10, gap=True)
    gap = chain.receive(88, 0)
    for says in (True, False):  # a third log, and again the second
        cursor.rejoin(10)
        cursor.rejoined(10, gap=says)
    cursor.own(88, 2, 24)
    assert cursor.position == (77, 23), "of another log than the own messages"
    first = chain.receive(88, 1)
    gap.take()
    first.take()
    assert cursor.position == (88, 24)


def test_a_position_moves_over_notifications_in_their_order_alone() -> None:
    chain = Chain(Position(77, 0), 10)
    one, two, three = (chain.receive(77, 5 * number) for number in (1, 2, 3))
    two.take()
    assert chain.cursor.position == (77, 0), "the first is not taken"
    three.take()
    assert (chain.cursor.position, chain.cursor.taken_now) == ((77, 0), 0)
    one.take()
    assert (chain.cursor.position, chain.cursor.taken_now) == ((77, 15), 3)


def test_where_it_is_read_is_the_same_whether_what_receives_has_counted_it_or_not() -> None:
    chain = Chain(Position(77, 0), 10)
    cursor = chain.cursor
    cursor.own(77, 6, 9)
    chain.receive(77, 5).take()
    assert cursor.position == (77, 9)
    assert cursor.rejoin(10) == 0
    assert cursor.position == (77, 9)
