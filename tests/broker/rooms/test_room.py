"""A room keeps the ends of its log, its newest blocks, and what members share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.broker.rooms.driver import block, member_of, room_of
from zchat.broker.limits import SHARED_NOTIFICATIONS
from zchat.broker.rooms.member import MemberState
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.epochs import Epoch
from zchat.messages import Position
from zchat.names import direct_name


def test_a_room_grows_by_blocks_and_shrinks_at_its_front() -> None:
    room = room_of()
    for first in (1, 4):
        room.grow(block(first, first + 2), epoch=7)
    assert (room.first, room.last, len(room.tail), room.epochs.current) == (1, 6, 2, 7)
    assert room.trim(4) == block(1, 3).cost
    assert (room.first, room.last, len(room.tail)) == (4, 6, 1)
    assert room.trim(2) == 0, "a log's front never goes back"
    assert room.first == 4


def test_a_room_whose_log_has_parted_has_the_ends_and_epochs_of_what_is_left_and_no_tail() -> None:
    room = room_of()
    blocks = [block(first, first) for first in (1, 2, 3)]
    for each in blocks:
        room.grow(each, epoch=7)
    room.share((0, 3), (b"frame", 3, 3, frozenset()))
    assert room.part(RoomLog("General", 1, 2, (Epoch(7, 1), Epoch(8, 2)))) == sum(each.cost for each in blocks)
    assert (room.first, room.last, room.epochs.current, len(room.tail), room.shared) == (1, 2, 8, 0, {})
    room.grow(block(3, 3), epoch=8)
    assert (room.last, len(room.tail)) == (3, 1)


def test_what_members_share_is_forgotten_when_the_log_changes() -> None:
    room = room_of(last=3)
    changes: list[Callable[[], object]] = [lambda: room.grow(block(4, 4), 7), lambda: room.trim(2)]
    for change in changes:
        room.share((0, 3), (b"frame", 3, 3, frozenset()))
        change()
        assert room.shared == {}


def test_of_what_members_share_the_last_few_are_kept() -> None:
    room = room_of(last=3)
    for place in range(SHARED_NOTIFICATIONS + 3):
        room.share((place, place), (b"frame", 3, 3, frozenset()))
    assert list(room.shared) == [(place, place) for place in range(3, SHARED_NOTIFICATIONS + 3)]


@pytest.mark.parametrize(
    ("position", "known"),
    [(Position(0, 0), True), (Position(7, 3), True), (Position(7, 4), False), (Position(8, 3), False)],
)
def test_a_position_beyond_what_is_known_of_the_log_cannot_be_judged_yet(position: Position, known: bool) -> None:
    assert room_of(last=3).reaches(position) is known


def test_a_room_is_idle_when_nothing_of_it_must_be_kept() -> None:
    assert room_of().idle
    assert not room_of(last=1).idle
    fixed, waiting = room_of(), room_of()
    fixed.fixed, waiting.pending = True, 1
    assert not fixed.idle
    assert not waiting.idle


def test_a_member_that_is_removed_is_none_any_more_and_is_sent_nothing_of_the_room() -> None:
    room = room_of()
    member = member_of(room)
    member.session.stale[member] = None
    room.remove(member)
    room.remove(member)
    assert (room.members, room.caught_up, member.session.stale, member.state) == ({}, {}, {}, MemberState.LEFT)


def test_a_direct_room_knows_its_two_users_in_the_spelling_of_its_name() -> None:
    room = room_of(direct_name("Alice", "bob"))
    assert sorted(room.direct) == ["alice", "bob"]
    assert (room.other("alice"), room.other("bob")) == ("bob", "Alice")
    assert room_of("General").direct == ()
