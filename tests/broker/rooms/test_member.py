"""A member has a cursor, and credit for so many notifications."""

from __future__ import annotations

from tests.broker.rooms.driver import block, member_of, room_of
from zchat.broker.rooms.member import MemberState
from zchat.events import Gap


def test_a_member_begins_at_its_position_with_what_the_application_still_holds() -> None:
    member = member_of(room_of(last=9), cursor=5, held=3)
    assert (member.cursor, member.covered, member.sent, member.taken) == (5, 5, 3, 0)
    assert member.out == [0, 0, 0]
    assert member.state is MemberState.CAUGHT_UP


def test_a_member_is_behind_while_there_is_a_message_or_a_gap_to_send() -> None:
    room = room_of(last=3)
    caught_up, waiting, cut = (member_of(room, user, cursor=3) for user in ("alice", "bob", "carol"))
    assert not caught_up.behind
    room.grow(block(4, 4), 7)
    caught_up.cursor = cut.cursor = 4
    cut.gap = Gap("General", 4, 4, "reset")
    assert [member.behind for member in (caught_up, waiting, cut)] == [False, True, True]
