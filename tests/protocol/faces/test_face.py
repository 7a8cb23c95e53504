"""What a client and a room do in every face without waiting, and the bodies of a `send_many` on their way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import Wire
from tests.protocol.faces.driver import HandLink, HandStream, carry_out
from zchat.errors import (
    Busy,
    DeadlineExceeded,
    MessageTooLarge,
    NotAMember,
    OutcomeUnknown,
    UsageError,
    ZchatError,
)
from zchat.messages import Position
from zchat.protocol.faces import face, steps
from zchat.protocol.faces.face import BaseClient, BaseRoom, Feeding
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


class Interrupted(BaseException):
    """What a signal may raise at any moment."""


@pytest.fixture
def link(wire: Wire) -> HandLink:
    return HandLink(wire)


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


def test_a_room_says_where_the_users_stay_in_it_began(joined: Joined) -> None:
    assert joined.room.began is joined.room._membership.began
    joined.room._membership.began = Position(77, 4)
    assert joined.room.began == (77, 4)


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


# -- sending many ------------------------------------------------------------------------------------


class Sending:
    """A `send_many` into a room that is joined."""

    def __init__(self, wire: Wire, link: HandLink, bodies: Any) -> None:
        self.wire = wire
        self.stream = HandStream()
        _, self.membership = wire.join()
        inbox = Inbox(Bell(), link.events.arrived, wire.core.credit)
        self.feeding = Feeding(link, self.membership, inbox, self.stream, bodies)
        self.steps = steps.send_many(self.feeding, 5.0)

    def store(self) -> None:
        """Answer what has come."""
        for command in self.wire.commands("send"):
            self.wire.store(command)


def test_many_messages_are_sent_and_counted(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, map(str, range(2_500)))
    assert carry_out(sending.steps, *[sending.store] * 2) == 2_500


def test_what_is_stored_just_before_the_wait_ends_it(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one", "two"])
    wait = next(sending.steps)
    sending.store()
    with pytest.raises(StopIteration) as end:
        sending.steps.send(wait())
    assert end.value.value == 2


def test_what_is_stored_just_when_time_is_up_is_no_error(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one", "two"])
    next(sending.steps)
    sending.store()
    with pytest.raises(StopIteration) as end:
        sending.steps.send(DeadlineExceeded("no message was acknowledged for 5 s"))
    assert end.value.value == 2


def test_what_breaks_a_wait_off_comes_through_as_it_is_an_error_of_another_call_too(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one", "two"])
    error = DeadlineExceeded("of a call in the handler of a signal")
    error.stored = 7

    def broken_off() -> None:
        raise error

    with pytest.raises(DeadlineExceeded) as raised:
        carry_out(sending.steps, broken_off)
    assert raised.value is error
    assert error.stored == 7
    assert (sending.stream.failed, sending.stream.out) == (True, 2)


def test_of_what_is_on_its_way_when_time_is_up_the_outcome_is_unknown(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one", "two"])
    with pytest.raises(OutcomeUnknown, match="messages to General may or may not be stored") as failed:
        carry_out(sending.steps)
    assert failed.value.stored == 0


def test_no_more_is_taken_from_the_source_than_may_wait(
    wire: Wire, link: HandLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "MAX_WAITING_BYTES", 100 * face.WAITING_COST)
    taken = 0

    def source() -> Any:
        nonlocal taken
        for number in range(1_000):
            taken += 1
            yield number

    wire.core.offer = lambda name, submission, more=False: None  # type: ignore[method-assign]  # nothing goes out
    sending = Sending(wire, link, source())
    with pytest.raises(DeadlineExceeded):
        carry_out(sending.steps)
    assert taken == 100
    assert not sending.stream.bodies, "and what waits never is sent"


def test_a_body_that_cannot_be_sent_ends_it_once_those_before_are_stored(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one", object(), "three"])
    with pytest.raises(UsageError, match="object") as failed:
        carry_out(sending.steps, sending.store)
    assert failed.value.stored == 1


def test_what_the_source_raises_comes_through_and_the_rest_is_withdrawn(wire: Wire, link: HandLink) -> None:
    def source() -> Any:
        yield "one"
        raise Interrupted

    sending = Sending(wire, link, source())
    with pytest.raises(Interrupted):
        carry_out(sending.steps)
    assert sending.stream.failed


@pytest.mark.parametrize("error", [UsageError("of another call"), DeadlineExceeded("of another client")])
def test_what_the_source_raises_while_the_client_is_closed_comes_through_as_it_is(
    wire: Wire, link: HandLink, monkeypatch: pytest.MonkeyPatch, error: ZchatError
) -> None:
    monkeypatch.setattr(face, "MAX_WAITING_BYTES", 100 * face.WAITING_COST)
    monkeypatch.setattr(wire.core, "offer", lambda name, submission, more=False: None)

    def source() -> Any:
        yield from map(str, range(100))
        raise error

    sending = Sending(wire, link, source())

    def close() -> None:
        link.closed = True
        sending.stream.stored(90, 1, 0)
        sending.stream.bodies.clear()

    with pytest.raises(type(error)) as raised:
        carry_out(sending.steps, close)
    assert raised.value is error
    assert error.stored == 0
    assert (sending.stream.stored_count, sending.stream.handed, sending.stream.failed) == (90, 100, True)


def test_once_a_room_was_left_it_ends_at_once_whatever_is_on_its_way(wire: Wire, link: HandLink) -> None:
    def source() -> Any:
        yield "one"
        sending.membership.left = True
        yield "two"
        raise AssertionError

    sending = Sending(wire, link, source())
    with pytest.raises(NotAMember, match="you are not in General any more") as failed:
        next(sending.steps)
    assert failed.value.stored == 0
    assert (sending.stream.out, list(sending.stream.bodies)) == (1, [])


def test_nothing_is_sent_to_a_room_that_was_left(wire: Wire, link: HandLink) -> None:
    sending = Sending(wire, link, ["one"])
    sending.membership.left = True
    with pytest.raises(NotAMember, match="you are not in General any more"):
        carry_out(sending.steps)
    assert wire.commands() == []


def test_once_the_client_is_closed_nothing_more_is_handed_over(wire: Wire, link: HandLink) -> None:
    def source() -> Any:
        yield "one"
        link.closed = True
        yield "two"
        raise AssertionError

    sending = Sending(wire, link, source())
    with pytest.raises(UsageError, match="closed") as failed:
        carry_out(sending.steps, sending.store)
    assert (failed.value.stored, sending.stream.handed, sending.stream.out) == (1, 1, 0)
    assert not sending.stream.bodies


@pytest.mark.parametrize(("count", "stored"), [(100, None), (101, 100)])
def test_closed_while_it_waits_it_ends_with_what_is_handed_over(
    wire: Wire, link: HandLink, monkeypatch: pytest.MonkeyPatch, count: int, stored: int | None
) -> None:
    monkeypatch.setattr(face, "MAX_WAITING_BYTES", 100 * face.WAITING_COST)
    monkeypatch.setattr(wire.core, "offer", lambda name, submission, more=False: None)
    sending = Sending(wire, link, map(str, range(count)))

    def close() -> None:
        link.closed = True
        sending.stream.stored(100, 1, 0)
        sending.stream.bodies.clear()

    if stored is None:
        assert carry_out(sending.steps, close) == count
    else:
        with pytest.raises(UsageError, match="closed") as failed:
            carry_out(sending.steps, close)
        assert failed.value.stored == stored
