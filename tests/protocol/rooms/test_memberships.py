"""The rooms that a client is in, over one connection and the next."""

from __future__ import annotations

from typing import Any

from tests.protocol.driver import FakeBatch, FakeCall, FakeFeed, Wire
from zchat import errors
from zchat.client.waiting import Answer, Deadline
from zchat.messages import Position
from zchat.protocol.rooms.membership import Membership
from zchat.wire.limits import JOIN_FLAGS, OWN, PRESENT
from zchat.wire.notices import GapNotice, Push


def test_rooms_are_joined_again_where_they_were_with_what_is_held(wire: Wire) -> None:
    feed, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.take(membership, 1)
    wire.come_back()
    join = wire.rejoin()
    assert join[2:] == ["General", 2, [77, 4], 3, True]
    wire.say("push", "General", 77, 4, 9, [])
    assert [notice.upto for notice in feed.notices] == [1, 2, 3, 4, 9]
    assert feed.begun == 2


def test_a_room_that_cannot_be_joined_again_ends_with_the_reason_and_the_others_go_on(wire: Wire) -> None:
    feed, membership = wire.join()
    sport, _ = wire.join("Sports")
    on_its_way, waits = FakeBatch("on its way"), FakeBatch(*["x"] * 9_000)
    wire.core.offer("General", on_its_way)
    wire.core.offer("General", waits)
    wire.come_back()
    general, sports = wire.commands()
    wire.refuse(general, errors.NoSuchRoom("the rooms here are fixed"))
    wire.ok(sports, "Sports", 77, 0, 1, 0, 10, False)
    assert [type(error) for error in feed.ends] == [errors.NoSuchRoom]
    assert membership.left
    assert isinstance(on_its_way.errors[0], errors.OutcomeUnknown)
    assert isinstance(waits.errors[-1], errors.NoSuchRoom)
    wire.say("push", "Sports", 77, 0, 1, [])
    assert sport.notices
    wire.core.leave(membership, call := FakeCall())
    assert call.done


def test_a_rejoin_refused_for_now_is_tried_again_over_another_connection(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.come_back()
    wire.refuse(wire.commands()[0], errors.Busy("later"))
    wire.connected_anew()
    wire.greet()
    wire.rejoin()
    assert feed.ends == []
    assert feed.begun == 2


def test_more_rooms_than_requests_may_be_unanswered_are_joined_again_one_after_the_other() -> None:
    wire = Wire(requests=3)
    for number in range(8):
        wire.join(f"room {number}")
    wire.come_back(requests=3)
    joined = []
    while joins := wire.commands():
        assert len(joins) <= 3
        for join in joins:
            joined.append(join[2])
            wire.ok(join, join[2], 77, 0, 1, 0, 10, False)
    assert sorted(joined) == [f"room {number}" for number in range(8)]


def test_another_broker_may_spell_a_room_in_its_own_way(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.offer("General", batch := FakeBatch("x"))
    wire.come_back()
    [join] = wire.commands()
    wire.ok(join, "GENERAL", 77, 0, 1, 0, 10, False)
    assert membership.name == "GENERAL"
    wire.store(wire.commands("send")[0])
    assert batch.seqs == [1]
    assert feed.moves == 1
    assert feed.cursor.position == (77, 1)
    wire.say("push", "GENERAL", 77, 0, 3, [])
    assert len(feed.notices) == 1


def test_notifications_go_to_their_rooms_feed_in_order(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("gap", "General", 77, 3, 5, "trimmed")
    assert [type(notice) for notice in feed.notices] == [Push, GapNotice]
    assert (membership.cursor.received_position, membership.cursor.upto) == ((77, 5), 5)


def test_own_messages_are_told_to_the_feed(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.core.offer("General", FakeBatch("a", "b"))
    wire.store(wire.commands("send")[0])
    assert feed.moves == 1
    assert feed.cursor.position == (77, 2)


def test_a_join_that_nobody_waits_for_any_more_leaves_again(wire: Wire) -> None:
    call, feed = FakeCall(), FakeFeed()
    wire.core.join("General", Position(77, 3), True, call, feed)
    [join] = wire.commands()
    assert join == ["join", 2, "General", 1, [77, 3], 0, True]
    call.withdrawn = True
    wire.ok(join, "General", 77, 3, 1, 9, 10, False)
    assert wire.commands() == [["leave", 3, "General", 1]]
    wire.say("push", "General", 77, 3, 9, [])
    assert feed.notices == []
    assert not wire.core.over


def test_a_caller_who_gives_up_as_the_join_is_answered_leaves_no_membership_behind(wire: Wire) -> None:
    answer = Answer()

    class Late(FakeFeed):
        def begin(self, membership: Membership) -> None:
            super().begin(membership)
            assert answer.withdraw()

    wire.core.join("General", None, True, answer, late := Late())
    wire.ok(wire.commands("join")[0], "General", 77, 0, 1, 0, 10, False)
    assert [command[0] for command in wire.commands()] == ["leave"]
    wire.say("push", "General", 77, 0, 3, [])
    assert (late.notices, answer.result) == ([], None)


def test_an_answer_that_came_before_the_caller_gave_up_is_his() -> None:
    answer = Answer()
    assert answer.resolve("here")
    assert not answer.withdraw()
    assert answer.wait(Deadline(0), "asking") == "here"


def test_what_is_under_way_from_a_room_that_was_left_is_dropped(wire: Wire) -> None:
    feed, membership = wire.join()
    call = FakeCall()
    wire.core.leave(membership, call)
    wire.say("push", "General", 77, 0, 3, [])
    wire.take(membership, 1)
    assert [command[0] for command in wire.commands()] == ["leave"]
    assert feed.notices == []
    again, second = wire.join()
    assert second.join == 2
    wire.say("push", "General", 77, 0, 3, [])
    assert len(again.notices) == 1


# -- what a join may ask for -----------------------------------------------------------------------

ECHO = JOIN_FLAGS | OWN


def asked(wire: Wire, flags: int = ECHO) -> tuple[FakeFeed, FakeCall, list[Any]]:
    """Ask to join General with flags; return the join with its feed and call."""
    feed, call = FakeFeed(), FakeCall()
    wire.core.join("General", None, True, call, feed, flags)
    [join] = wire.commands("join")
    return feed, call, join


def test_own_messages_that_come_with_the_log_move_the_position_when_they_come(wire: Wire) -> None:
    feed, call, join = asked(wire)
    assert join[7:] == [ECHO]
    wire.ok(join, "General", 77, 0, 1, 0, 10, False, ECHO)
    assert call.result is feed.membership
    wire.core.offer("General", batch := FakeBatch("a", "b"))
    wire.store(wire.commands("send")[0])
    assert batch.seqs == [1, 2]
    assert feed.cursor.position == feed.cursor.received_position == (77, 0)
    wire.say("push", "General", 77, 0, 2, [])
    assert feed.cursor.received_position == (77, 2)


def test_a_room_is_joined_again_with_what_it_was_joined_with(wire: Wire) -> None:
    feed, _, join = asked(wire)
    wire.ok(join, "General", 77, 0, 1, 0, 10, False, ECHO)
    wire.say("push", "General", 77, 0, 2, [])
    wire.come_back()
    [again] = wire.commands("join")
    assert again[2:] == ["General", 2, [77, 2], 1, True, ECHO]
    wire.ok(again, "General", 77, 2, 1, 4, 10, False, ECHO)
    wire.say("push", "General", 77, 2, 4, [])
    assert [notice.upto for notice in feed.notices] == [2, 4]


def test_who_is_not_sent_the_log_stays_at_the_position_of_the_join(wire: Wire) -> None:
    feed, _, join = asked(wire, PRESENT)
    wire.ok(join, "General", 77, 3, 1, 3, 10, False, PRESENT)
    wire.seq = 3
    wire.core.offer("General", FakeBatch("a"))
    wire.store(wire.commands("send")[0])
    assert feed.cursor.position == (77, 3)
    assert feed.cursor.sure


def test_an_older_broker_that_does_not_honour_a_join_is_noticed_and_the_room_left(wire: Wire) -> None:
    feed, call, join = asked(wire)
    wire.ok(join, "General", 77, 0, 1, 0, 10, False)
    assert isinstance(call.error, errors.VersionRefused)
    assert [command[2:] for command in wire.commands("leave")] == [["General", 1]]
    wire.say("push", "General", 77, 0, 1, [])
    assert not feed.notices
    assert wire.core.connected
    wire.join()


def test_an_older_broker_that_took_the_place_of_another_ends_the_room_alone(wire: Wire) -> None:
    feed, _, join = asked(wire)
    wire.ok(join, "General", 77, 0, 1, 0, 10, False, ECHO)
    sports, _ = wire.join("Sports")
    wire.come_back()
    first, second = wire.commands("join")
    wire.ok(first, "General", 77, 0, 1, 0, 10, False)
    wire.ok(second, "Sports", 77, 0, 1, 0, 10, False)
    assert [type(error) for error in feed.ends] == [errors.VersionRefused]
    assert [command[2:] for command in wire.commands("leave")] == [["General", 3]]
    assert not sports.ends
    wire.say("push", "Sports", 77, 0, 1, [])
    assert len(sports.notices) == 1
