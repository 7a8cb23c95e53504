"""The state of rooms in the client's core: state frames, typing, read marks, invitations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import FakeCall, FakeFeed, FakeSubmission, Wire
from zchat import errors
from zchat.client.reading import events_of
from zchat.events import MemberJoined, MemberLeft, Typing
from zchat.messages import GapReason, Message
from zchat.protocol.faces.event_queue import EventQueue
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.room_state import READ_MARK_AGAIN, UNREAD_EVERY
from zchat.protocol.rooms.roster import RETURN_SECONDS
from zchat.threads import Bell
from zchat.wire.limits import PRESENT, TYPING_EVERY
from zchat.wire.notices import PersonEntry, Push
from zchat.wire.values import pack

DIRECT = "@alice\nbob"


def named(room: str, *people: tuple[str, int, bool, int], whole: bool = True) -> list[Any]:
    """Return an update with names."""
    return [room, whole, len(people), [list(each) for each in people], 0, 0]


def own_mark(wire: Wire) -> list[Any]:
    """Return the one mark that has gone out since the last call."""
    [mark] = wire.commands("mark")
    return mark


# -- state frames ----------------------------------------------------------------------------------


def test_a_state_frame_is_answered_at_once_with_its_number(wire: Wire) -> None:
    for number in (1, 2):
        wire.say("state", number, [], [])
        assert wire.commands() == [["seen", number]]


def test_state_frames_fill_the_pictures_of_their_rooms(wire: Wire) -> None:
    feeds = {room: wire.join(room)[0] for room in ("General", "Sports")}
    wire.say("state", 1, [named("General", ("alice", 5, False, 0)), ["Sports", True, 900, None, 3, 4]], [])
    wire.say("state", 2, [named("General", ("bob", 6, True, 2), whole=False)], [])
    assert next(feeds["General"].roster.take()) == MemberJoined("General", "bob")
    assert feeds["Sports"].roster.members == 900
    assert feeds["General"].told == 1


def test_updates_of_rooms_that_were_left_are_dropped(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.leave(membership, FakeCall())
    wire.say("state", 1, [named("General", ("bob", 6, True, 2))], [])
    assert feed.roster.members == 0
    assert wire.commands("seen") == [["seen", 1]]


@pytest.mark.parametrize(
    "rooms",
    [
        [["General"]],
        [named("General", ("bob", -1, True, 2))],
        [named("General", ("x" * 65, 1, True, 2))],
        [["General", True, "many", [], 0, 0]],
        [["General", True, 1, 5, 0, 0]],
        [5],
    ],
)
def test_a_state_frame_that_is_malformed_ends_the_client(wire: Wire, rooms: list[Any]) -> None:
    wire.join()
    wire.say("state", 1, rooms, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_who_does_not_come_back_after_a_loss_has_left_in_the_end(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.say("state", 1, [named("General", ("alice", 5, False, 0), ("bob", 6, True, 0))], [])
    list(feed.roster.take())
    wire.come_back()
    assert list(feed.roster.take()) == [Typing("General", "bob", False)]
    wire.rejoin()
    wire.say("state", 1, [named("General", ("alice", 5, False, 0))], [])
    back = wire.now
    told = feed.told
    while feed.told == told:
        wire.say("pong", 1000)
        wire.now = wire.core.tick(wire.now)
        wire.core.tick(wire.now)
    assert RETURN_SECONDS <= wire.now - back <= RETURN_SECONDS + 0.1
    assert list(feed.roster.take()) == [MemberLeft("General", "bob")]


# -- typing ----------------------------------------------------------------------------------------


def test_typing_goes_out_once_in_three_seconds_however_often_it_is_reported(wire: Wire) -> None:
    _, membership = wire.join()
    for _ in range(100):
        wire.core.typing(membership, True, wire.now)
        wire.now += TYPING_EVERY / 50
    assert wire.commands() == [["typing", "General", True]] * 2


def test_that_typing_has_ended_goes_out_if_it_was_reported(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.typing(membership, False, wire.now)
    assert wire.commands() == []
    wire.core.typing(membership, True, wire.now)
    for _ in range(2):
        wire.core.typing(membership, False, wire.now + 1)
    assert wire.commands() == [["typing", "General", True], ["typing", "General", False]]


def test_a_message_ends_typing_without_another_word(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.typing(membership, True, wire.now)
    wire.core.offer("General", FakeSubmission("said"))
    wire.core.typing(membership, False, wire.now)
    assert [command[0] for command in wire.commands()] == ["typing", "send"]


def test_typing_without_a_connection_or_in_a_room_that_was_left_comes_to_nothing(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.typing(membership, True, wire.now)
    wire.come_back()
    wire.core.typing(membership, False, wire.now)
    wire.core.typing(membership, True, wire.now + TYPING_EVERY)
    wire.rejoin()
    wire.core.leave(membership, FakeCall())
    wire.core.typing(membership, True, wire.now + TYPING_EVERY)
    assert wire.commands("typing") == []


# -- marks -----------------------------------------------------------------------------------------


def test_marks_are_conflated_while_one_is_on_its_way(wire: Wire) -> None:
    _, membership = wire.join()
    for seq in (3, 5, 4, 9, 8):
        wire.core.mark_read(membership, seq)
    first = own_mark(wire)
    assert first[2:] == ["General", 3]
    wire.ok(first, 3)
    second = own_mark(wire)
    assert second[2:] == ["General", 9]
    wire.ok(second, 9)
    assert wire.commands() == []
    assert not wire.core._pending


def test_a_mark_without_an_answer_is_sent_again_once_the_room_is_joined_again(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.come_back()
    wire.core.mark_read(membership, 5)
    assert wire.commands("mark") == []
    return_to(wire, membership)
    assert own_mark(wire)[2:] == ["General", 5]


def return_to(wire: Wire, membership: Membership, *, gap: bool = False) -> None:
    """Answer the join that is on its way."""
    join = next(command for command in reversed(wire.port.sent) if command[0] == "join")
    wire.ok(join, join[2], *(join[4] or (77, 0)), 1, 0, 10, gap)
    assert membership.live


@pytest.mark.parametrize("reason", [GapReason.RESET, GapReason.TAIL_LOST])
def test_a_mark_of_a_log_that_is_no_more_is_dropped(wire: Wire, reason: str) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.come_back()
    return_to(wire, membership, gap=True)
    wire.say("gap", "General", 78, 0, 9, reason)
    assert wire.commands("mark") == []
    assert not wire.core._pending


def test_a_mark_waits_until_it_is_known_that_messages_were_only_trimmed(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.come_back()
    return_to(wire, membership, gap=True)
    assert wire.commands("mark") == []
    wire.say("gap", "General", 77, 0, 9, GapReason.TRIMMED)
    assert own_mark(wire)[2:] == ["General", 3]


def test_a_mark_in_a_room_that_is_left_before_its_log_is_known_is_dropped(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.come_back()
    return_to(wire, membership, gap=True)
    wire.core.leave(membership, FakeCall())
    assert wire.commands("mark") == []
    assert not wire.core._states.pending


def test_a_mark_that_the_broker_has_no_place_for_is_sent_again_later(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.core.tick(wire.now)
    wire.refuse(own_mark(wire), errors.Busy("too many marks"))
    start = wire.now
    again: list[Any] = []
    while not again:
        wire.now = wire.core.tick(wire.now)
        wire.say("pong", 1000)
        wire.core.tick(wire.now)
        again = wire.commands("mark")
    assert wire.now - start == pytest.approx(READ_MARK_AGAIN)
    assert feed.roster.refusal() is None
    wire.ok(again[0], 3)
    assert not wire.core._pending


def test_a_mark_that_is_refused_for_good_is_reported_and_not_sent_again(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.refuse(own_mark(wire), errors.NoSuchRoom("there is no General"))
    [(room, error)] = wire.port.marks_refused
    assert room == "General"
    assert feed.roster.refusal() is error
    assert isinstance(error, errors.NoSuchRoom)
    assert not wire.core._pending
    wire.core.mark_read(membership, 4)
    assert own_mark(wire)[3] == 4


def test_close_waits_for_a_mark(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.core.mark_read(membership, 4)
    wire.core.close(wire.now + 5)
    wire.ok(own_mark(wire), 3)
    assert wire.core.state.value == "closing"
    wire.ok(own_mark(wire), 4)
    assert [command[0] for command in wire.commands()] == ["bye"]


def test_close_tries_a_mark_that_the_broker_had_no_place_for_once_more(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.refuse(own_mark(wire), errors.Busy("too many marks"))
    wire.core.close(wire.now + 5)
    wire.refuse(own_mark(wire), errors.Busy("too many marks"))
    assert [command[0] for command in wire.commands()] == ["bye"]
    assert isinstance(feed.roster.refusal(), errors.Busy)


def test_a_room_that_was_left_is_marked_all_the_same(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.leave(membership, FakeCall())
    wire.core.mark_read(membership, 3)
    wire.come_back()
    assert own_mark(wire)[2:] == ["General", 3]


def test_a_mark_of_a_room_that_is_left_without_a_connection_goes_out_over_the_next(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.mark_read(membership, 3)
    wire.commands()
    wire.core.lost("cut")
    wire.core.leave(membership, FakeCall())
    wire.connected_anew()
    wire.greet()
    assert own_mark(wire)[2:] == ["General", 3]


# -- direct rooms ----------------------------------------------------------------------------------


def test_an_invitation_is_handed_on_with_its_position(wire: Wire) -> None:
    wire.say("state", 1, [], [[DIRECT, "bob", 77, 3]])
    assert wire.port.invitations == [(DIRECT, "bob", (77, 3))]


def test_an_invitation_to_a_room_that_is_joined_is_dropped(wire: Wire) -> None:
    wire.join(DIRECT)
    wire.say("state", 1, [], [[DIRECT, "bob", 77, 3]])
    wire.come_back()
    wire.say("state", 1, [], [[DIRECT, "bob", 77, 3]])
    assert wire.port.invitations == []


def test_a_direct_room_is_shown_under_the_other_users_name(wire: Wire) -> None:
    feed, membership = wire.join(DIRECT)
    assert (membership.name, membership.shown) == (DIRECT, "@bob")
    wire.say("state", 1, [named(DIRECT, ("alice", 5, False, 0))], [])
    wire.say("state", 2, [named(DIRECT, ("bob", 5, False, 0), whole=False)], [])
    assert list(feed.roster.take()) == [MemberJoined("@bob", "bob")]


def test_what_goes_wrong_with_a_message_names_the_room_as_the_application_does(wire: Wire) -> None:
    wire.join(DIRECT)
    submission = FakeSubmission("x")
    wire.core.offer(DIRECT, submission)
    wire.core.close(wire.now)
    wire.core.tick(wire.now)
    assert "@bob" in str(submission.errors[0])
    assert "\n" not in str(submission.errors[0])


def test_a_feed_learns_its_room_before_anything_comes() -> None:
    wire, feed = Wire(), FakeFeed()
    wire.join("General", feed)
    assert feed.roster.room == "General"


# -- through one loop ------------------------------------------------------------------------------


def test_who_breaks_off_a_loop_at_a_change_of_the_picture_finds_the_messages_in_the_next() -> None:
    queue = EventQueue(Bell())
    reading = Inbox(Bell(), queue.arrived, lambda membership: None)
    reading.roster.begin("General", "alice")
    reading.roster.named(True, 0, {}, 0.0)
    queue.inboxes.append(reading)
    reading.roster.named(False, 1, {"bob": PersonEntry("bob", 5, False, 0)}, 0.0)
    reading.push(Push("General", 7, 0, 1, [[1, 5, "bob", b"p" * 16, pack(["hi"])]]))
    assert next(events_of(queue, 0)) == MemberJoined("General", "bob")
    assert [event.body for event in events_of(queue, 0) if isinstance(event, Message)] == ["hi"]


# -- state frames of rooms that are joined without their messages --------------------------------------


def unread(wire: Wire) -> FakeFeed:
    """Return the feed of a room that is joined without its messages, whose first state frame has been answered."""
    feed, _ = wire.join(flags=PRESENT)
    wire.commands()
    wire.say("state", 1, [named("General", ("bob", 6, True, 2))], [])
    assert wire.commands() == [["seen", 1]]
    return feed


def test_state_of_a_room_joined_without_its_messages_is_answered_once_a_second(wire: Wire) -> None:
    feed = unread(wire)
    wire.say("state", 2, [named("General", ("carol", 7, False, 0), whole=False)], [])
    assert feed.roster.members == 1, "it counts at once"
    assert wire.commands("seen") == []
    assert wire.pass_time(lambda: bool(wire.commands("seen"))) == pytest.approx(UNREAD_EVERY, abs=0.01)
    wire.now += UNREAD_EVERY
    wire.say("state", 3, [named("General", ("carol", 0, False, 0), whole=False)], [])
    assert wire.commands("seen") == [["seen", 3]], "what comes seldom isn't put off"


def test_what_is_put_off_is_answered_before_the_next_request_and_while_one_is_out(wire: Wire) -> None:
    unread(wire)
    wire.say("state", 2, [named("General", ("carol", 7, False, 0), whole=False)], [])
    wire.core.ask("rooms", (None, 500), FakeCall())
    assert [command[0] for command in wire.commands()] == ["seen", "rooms"]
    wire.say("state", 3, [named("General", ("carol", 0, False, 0), whole=False)], [])
    assert wire.commands() == [["seen", 3]]


def test_state_is_answered_at_once_that_is_of_a_room_whose_messages_come_or_of_none_or_invites(wire: Wire) -> None:
    unread(wire)
    wire.join("Sports")
    wire.commands()
    sports = named("Sports", ("carol", 7, False, 0))
    wire.say("state", 2, [named("General", ("carol", 7, False, 0), whole=False), sports], [])
    wire.say("state", 3, [], [])
    wire.say("state", 4, [named("General", ("carol", 0, False, 0), whole=False)], [[DIRECT, "bob", 7, 3]])
    assert wire.commands("seen") == [["seen", 2], ["seen", 3], ["seen", 4]]


def test_an_answer_that_was_put_off_is_not_sent_over_the_next_connection(wire: Wire) -> None:
    unread(wire)
    wire.say("state", 2, [named("General", ("carol", 7, False, 0), whole=False)], [])
    wire.come_back()
    wire.now += 2 * UNREAD_EVERY
    wire.core.tick(wire.now)
    assert wire.commands("seen") == []
