"""What a client and a room do in every face without waiting."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import Wire
from tests.protocol.faces.driver import HandLink
from zchat.errors import Busy, MessageTooLarge, NotAMember, UsageError
from zchat.messages import Position
from zchat.protocol.faces.face import BaseClient, BaseRoom
from zchat.protocol.faces.inbox import Inbox
from zchat.threads import Bell


class Joined:
    """A joined room, the core of its client, and what goes out."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.link = HandLink(self.wire)
        _, self.membership = self.wire.join()
        self.inbox = Inbox(Bell(), self.link.events.arrived, self.wire.core.credit)
        self.inbox.cursor.begin(Position(77, 4), 10, gap=False)
        self.room = BaseRoom(self.link, self.membership, self.inbox)


@pytest.fixture
def joined() -> Joined:
    return Joined()


def test_a_client_says_who_it_is_and_what_the_broker_allows(wire: Wire) -> None:
    client = BaseClient(HandLink(wire))
    assert (client.user, client.url, client.max_message) == ("alice", "tcp://127.0.0.1:5555", 1 << 20)


def test_a_room_says_how_it_is(joined: Joined) -> None:
    room = joined.room
    joined.inbox.roster.members = 3
    assert (room.name, room.member_count, room.position) == ("General", 3, (77, 4))
    assert repr(room) == "<BaseRoom 'General'>"


def test_a_room_says_whether_it_is_reported_with_names(joined: Joined) -> None:
    room, roster = joined.room, joined.inbox.roster
    assert not room.crowded
    roster.crowded(300, 0, 0)
    assert (room.crowded, room.member_count) == (True, 300)
    roster.named(True, 0, {}, 0.0)
    assert not room.crowded


def test_typing_and_read_marks_go_out_at_once(joined: Joined) -> None:
    joined.room.typing()
    joined.room.mark_read()
    commands = joined.wire.commands()
    assert [command[0] for command in commands] == ["typing", "mark"]
    assert commands[1][3] == 4, "the position, as no seq was given"


@pytest.mark.parametrize("wrong", [-1, True, "5", 1.5])
def test_a_read_mark_is_a_number(joined: Joined, wrong: Any) -> None:
    with pytest.raises(UsageError, match="seq is a number"):
        joined.room.mark_read(wrong)


def test_a_read_mark_that_was_refused_is_reported_by_the_next_call_once(joined: Joined) -> None:
    joined.inbox.roster.mark_refused(Busy("later"))
    with pytest.raises(Busy):
        joined.room.mark_read(3)
    joined.room.mark_read(3)


def test_a_closed_client_neither_types_nor_marks(joined: Joined) -> None:
    joined.link.closed = True
    for call in (joined.room.typing, joined.room.mark_read):
        with pytest.raises(UsageError, match="closed"):
            call()


def test_what_is_too_large_or_said_in_a_room_that_was_left_is_refused_at_once(joined: Joined) -> None:
    with pytest.raises(MessageTooLarge, match="a message has 1048576 bytes at most, this has"):
        joined.room._encode("x" * (1 << 20))
    for side in (joined.inbox, joined.membership):
        side.left = True
        with pytest.raises(NotAMember, match="you are not in General any more"):
            joined.room._encode("hello")
        side.left = False
    assert joined.room._encode("hello") == b"\xa5hello"
