"""From notifications to messages and positions, over one join and the next."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import Any

import pytest

from tests.promises.breaking_off import interrupted_at
from zchat.client.reading import batches_of, messages_of
from zchat.errors import GapError, Kicked, ProtocolError
from zchat.events import Gap
from zchat.messages import Batch, Message, Position
from zchat.protocol.faces.inbox import Chunk, Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.removal import removed
from zchat.threads import Bell
from zchat.wire.blocks import encode_body, join_bodies
from zchat.wire.notices import PUSH, GapNotice, Push, Removed


class Joined:
    """Hold a reading and its membership; `credit` is what was returned."""

    def __init__(self, position: Position, window: int = 10) -> None:
        self.credit: list[int] = []
        self.reading = Inbox(
            Bell(), lambda reading: None, lambda membership: self.credit.append(membership.cursor.credit())
        )
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
        chunk = self.reading.take()
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


def test_own_messages_that_the_next_join_begins_after_are_passed_once_all_before_them_is_taken() -> None:
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


def test_who_takes_messages_is_given_all_that_came_and_then_why_the_room_has_ended_each_time() -> None:
    joined = Joined(Position(77, 0))
    joined.notify("push", "General", 77, 0, 1, [[1, 1, "bob", b"", join_bodies([encode_body("before")])]])
    joined.reading.removed(removed("General", Removed("General", 1, "kicked", "spam", "bob", 0)))
    messages = messages_of(joined.reading, 0)
    assert next(messages).body == "before"
    with pytest.raises(Kicked, match="bob has put you out of General: spam"):
        next(messages)
    assert joined.reading.position == (77, 1), "where to join again"
    for _ in range(2):
        with pytest.raises(Kicked):
            next(messages_of(joined.reading, None))
    joined.reading.leave()
    assert list(messages_of(joined.reading, None)) == [], "it was left"


def test_a_room_that_ends_after_what_can_not_be_read_does_not_move_the_position_over_that() -> None:
    joined = Joined(Position(77, 0))
    joined.notify("push", "General", 77, 0, 1, [[1, 1, "bob", b"", b"\xc1"]])
    joined.reading.removed(removed("General", Removed("General", 1, "kicked", "", "bob", 0)))
    with pytest.raises(ProtocolError):
        next(messages_of(joined.reading, 0))
    last = joined.reading.take(among_others=True)
    assert last is not None
    assert [type(each).__name__ for each in last.messages] == ["Removed"]
    joined.reading.finish(last)
    assert joined.reading.position == (77, 0)


# -- batches -----------------------------------------------------------------------------------------------


def block(first: int, *bodies: Any) -> list[Any]:
    return [first, 9, "bob", b"", join_bodies(list(map(encode_body, bodies)))]


def test_a_batch_has_what_came_in_one_notification_and_it_is_taken_once_it_is_had() -> None:
    joined = Joined(Position(77, 0), window=2)
    joined.notify("push", "General", 77, 0, 3, [block(1, "a", "b", "c")])
    joined.notify("push", "General", 77, 3, 6, [block(4, "d"), block(5, "e", ["f"])])
    batches = batches_of(joined.reading, 0)
    first = next(batches)
    assert joined.reading.position == first.position == (77, 3)
    second = next(batches)
    assert joined.reading.position == second.position == (77, 6)
    assert (first.bodies, second.bodies) == (["a", "b", "c"], ["d", "e", ["f"]])
    assert list(second) == [Message("General", seq, 9, "bob", body) for seq, body in ((4, "d"), (5, "e"), (6, ["f"]))]
    assert list(batches) == []
    assert joined.credit == [1, 2]


def test_what_messages_has_begun_a_batch_ends_and_what_a_batch_has_messages_has_not() -> None:
    joined = Joined(Position(77, 0))
    joined.notify("push", "General", 77, 0, 4, [block(1, "a", "b", "c", "d")])
    joined.notify("push", "General", 77, 4, 6, [block(5, "e"), block(6, "f")])
    joined.notify("push", "General", 77, 6, 7, [block(7, "g")])
    messages = messages_of(joined.reading, 0)
    assert next(messages).body == "a"
    batches = batches_of(joined.reading, 0)
    batch = next(batches)
    assert (batch.bodies, batch.seqs, batch.first, batch.last) == (["b", "c", "d"], [2, 3, 4], 2, 4)
    assert next(messages).body == "e"
    assert next(batches).seqs == [6]
    assert next(messages).body == "g"
    assert [*batches, *messages] == []
    assert joined.reading.position == (77, 7)


def test_a_gap_comes_between_two_batches_and_so_does_what_can_not_be_read_and_the_end_comes_after_them() -> None:
    joined = Joined(Position(77, 0))
    joined.notify("push", "General", 77, 0, 1, [block(1, "a")])
    joined.notify("gap", "General", 77, 1, 5, "trimmed")
    joined.notify("push", "General", 77, 5, 6, [])
    joined.notify("push", "General", 77, 6, 8, [block(7, "b"), [8, 9, "bob", b"", b"\xc1"]])
    joined.notify("push", "General", 77, 8, 9, [block(9, "c")])
    joined.reading.removed(removed("General", Removed("General", 1, "kicked", "", "bob", 0)))
    had: list[Any] = []
    for _ in range(5):
        try:
            for batch in batches_of(joined.reading, 0):
                had += batch.seqs
        except (GapError, ProtocolError, Kicked) as error:
            had.append(type(error))
    assert had == [1, GapError, ProtocolError, 9, Kicked, Kicked, Kicked]
    assert joined.reading.position == (77, 9)


def test_a_batch_is_lost_to_an_exception_only_in_the_step_that_yields_it() -> None:
    at, lost = 0, []
    while True:
        at += 1
        joined = Joined(Position(77, 0))
        joined.notify("push", "General", 77, 0, 3, [block(1, "a", "b", "c")])
        had: list[Batch] = []
        with interrupted_at(at, KeyboardInterrupt) as tracer, suppress(KeyboardInterrupt):
            had.extend(batches_of(joined.reading, 0))
        had.extend(batches_of(joined.reading, 0))
        assert joined.reading.position == (77, 3)
        if not had:
            lost.append(tracer.where)
        else:
            assert [batch.bodies for batch in had] == [["a", "b", "c"]], tracer.where
        if not tracer.where:
            break
    assert at > 100
    assert len(lost) <= 1, lost


def test_of_threads_that_take_batches_each_has_others() -> None:
    joined = Joined(Position(77, 0), window=1000)
    joined.notify("push", "General", 77, 0, 1, [block(1, "a")])
    chunk = joined.reading.take()
    assert isinstance(chunk, Chunk)
    one, other = chunk.batches, chunk.batches
    assert [batch.bodies for batch in one] == [["a"]]
    assert list(other) == []
