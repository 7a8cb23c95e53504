"""From notifications to messages and positions, over one join and the next."""

from __future__ import annotations

import gc
from typing import Any

from zchat.client.inbox import Inbox
from zchat.events import Gap
from zchat.messages import Position
from zchat.protocol.rooms.membership import Membership
from zchat.wire.blocks import encode_body, join_bodies
from zchat.wire.notices import PUSH, GapNotice, Push


class Joined:
    """Hold a reading and its membership; `credit` is what was returned."""

    def __init__(self, position: Position, window: int = 10) -> None:
        self.credit: list[int] = []
        self.reading = Inbox(lambda reading: None, lambda membership: self.credit.append(membership.cursor.credit()))
        self.cursor = self.reading.cursor
        self.cursor.begin(position, window, gap=False)
        self.reading.begin(Membership("General", "General", 1, self.reading))

    def own(self, epoch: int, first: int, last: int) -> None:
        self.cursor.own(epoch, first, last)

    def notify(self, word: str, *fields: Any) -> None:
        notice = Push(*fields) if word == PUSH else GapNotice(*fields)
        self.cursor.receive(notice.epoch, notice.upto)
        self.reading.push(notice)

    def taken(self) -> list[Any]:
        """Take the next notification, which is there, to its end."""
        chunk = self.reading.take(0)
        assert chunk is not None
        taken = list(chunk.messages)
        self.reading.finish(chunk)
        return taken

    def rejoin(self, *, gap: bool, window: int = 10) -> int:
        """Join again; returns how many notifications are said to be held."""
        held = self.cursor.rejoin(window)
        self.cursor.rejoined(window, gap=gap)
        return held


def test_own_messages_of_the_next_log_do_not_move_a_position_past_the_gap_between_them() -> None:
    joined = Joined(Position(77, 0))
    joined.own(77, 1, 43)
    assert joined.reading.position == (77, 43)
    joined.rejoin(gap=True)
    joined.own(99, 12, 160)
    assert joined.reading.position == (77, 43)
    joined.notify("gap", "General", 0, 43, 0, "reset")
    assert [type(each) for each in joined.taken()] == [Gap]
    assert joined.reading.position == (0, 0), "1 to 11 are others' and not taken"
    joined.notify("push", "General", 99, 0, 11, [])
    assert joined.taken() == []
    assert joined.reading.position == (99, 160)


def test_own_messages_that_the_next_join_begins_behind_are_passed_once_all_before_them_is_taken() -> None:
    joined = Joined(Position(77, 0))
    joined.notify("push", "General", 77, 0, 5, [])
    joined.own(77, 6, 9)
    joined.rejoin(gap=False)
    assert joined.reading.position == (77, 0)
    assert joined.taken() == []
    assert joined.reading.position == (77, 9)


def test_own_messages_that_were_trimmed_do_not_move_a_position_back() -> None:
    joined = Joined(Position(77, 0))
    joined.own(77, 1, 9)
    joined.notify("gap", "General", 77, 0, 5, "trimmed")
    assert [type(each) for each in joined.taken()] == [Gap]
    assert joined.reading.position == (77, 9)


def test_what_was_taken_is_not_held_in_the_next_window() -> None:
    joined = Joined(Position(77, 0))
    for number in range(4):
        joined.notify("push", "General", 77, number, number + 1, [])
        assert joined.taken() == []
    assert joined.credit == []
    assert joined.rejoin(gap=False, window=2) == 0


def test_own_messages_that_are_acknowledged_out_of_order_are_all_passed() -> None:
    joined = Joined(Position(77, 4))
    joined.own(99, 6, 8)
    joined.own(88, 5, 5)
    assert joined.cursor.received_position == (99, 8)
    assert joined.reading.position == (99, 8)


def test_a_gap_that_never_came_holds_the_position_up_no_longer_than_to_the_next_join_without_one() -> None:
    joined = Joined(Position(77, 4))
    joined.rejoin(gap=True)
    joined.rejoin(gap=False)
    joined.own(77, 5, 7)
    assert joined.cursor.received_position == (77, 7)
    assert joined.reading.position == (77, 7)


def test_a_room_is_joined_again_where_its_reader_stands_though_own_messages_lie_in_two_epochs() -> None:
    joined = Joined(Position(1, 0))
    joined.own(1, 3, 5)
    joined.own(2, 6, 9)  # the broker's store was opened anew between them
    joined.notify("push", "General", 1, 0, 2, [])
    assert joined.taken() == []
    assert joined.reading.position == joined.cursor.received_position == (2, 9)


def test_a_room_is_joined_again_where_its_reader_stands_though_a_block_is_answered_late() -> None:
    joined = Joined(Position(1, 0))
    joined.own(1, 8, 9)
    joined.own(1, 3, 5)  # put off, and yet in front of the other
    joined.notify("push", "General", 1, 0, 7, [])
    assert joined.taken() == []
    assert joined.reading.position == joined.cursor.received_position == (1, 9)


def test_credit_is_due_for_half_a_window_together() -> None:
    joined = Joined(Position(77, 0), window=6)
    due = []
    for number in range(7):
        joined.notify("push", "General", 77, number, number + 1, [])
        before = len(joined.credit)
        joined.taken()
        due.append(len(joined.credit) > before)
    assert due == [False, False, True, False, False, True, False]


def test_what_was_taken_is_kept_nowhere_though_more_of_its_window_is_to_come() -> None:
    joined = Joined(Position(77, 0))
    for first in (1, 3):
        blocks = [[first, 1, "alice", b"", join_bodies([encode_body(["a body"]), encode_body(["another"])])]]
        joined.notify("push", "General", 77, first - 1, first + 1, blocks)
    bodies = [message.body for message in joined.taken()]
    assert bodies == [["a body"], ["another"]]
    assert joined.reading.position == (77, 2)
    for body in bodies:
        assert gc.get_referrers(body) == [bodies]
