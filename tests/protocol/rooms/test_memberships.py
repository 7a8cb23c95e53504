"""The rooms that a client is in, over one connection and the next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import FakeCall, FakeFeed, FakeSubmission, Wire
from zchat import errors
from zchat.client.waiting import Answer
from zchat.deadline import Deadline
from zchat.events import Removed
from zchat.messages import Position
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT
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


def test_where_a_stay_in_a_room_began_is_the_same_over_a_lost_connection(wire: Wire) -> None:
    _, membership = wire.join()
    assert membership.began == (77, 0)
    wire.say("push", "General", 77, 0, 9, [])
    wire.come_back()
    assert membership.began == (77, 0)
    wire.rejoin()
    assert membership.began == (77, 0)
    wire.say("gap", "General", 77, 9, 12, "trimmed")
    assert membership.began == (77, 0), "the user was there"


def test_a_stay_begins_after_the_gap_that_a_join_begins_with_and_is_unknown_until_that_has_come(wire: Wire) -> None:
    _, membership = wire.join()
    wire.come_back()
    [join] = wire.commands()
    wire.ok(join, "General", 77, 0, 1, 20, 10, True)
    assert (membership.live, membership.began) == (True, None)
    wire.say("gap", "General", 78, 0, 20, "withheld")
    assert membership.began == (78, 20)
    wire.come_back()
    [join] = wire.commands()
    wire.ok(join, "General", 78, 20, 1, 30, 10, True)
    wire.come_back()
    wire.rejoin()
    assert membership.began == (78, 20), "nothing is missing, as the broker says now"


def test_a_room_that_cannot_be_joined_again_ends_with_the_reason_and_the_others_go_on(wire: Wire) -> None:
    feed, membership = wire.join()
    sport, _ = wire.join("Sports")
    on_its_way, waits = FakeSubmission("on its way"), FakeSubmission(*["x"] * 9_000)
    wire.core.offer("General", on_its_way)
    wire.core.offer("General", waits)
    wire.come_back()
    general, sports = wire.commands()
    wire.refuse(general, errors.NoSuchRoom("the rooms here are fixed"))
    wire.ok(sports, "Sports", 77, 0, 1, 0, 10, False)
    assert [type(removal.error) for removal in feed.removals] == [errors.NoSuchRoom]
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
    assert feed.removals == []
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
    wire.core.offer("General", submission := FakeSubmission("x"))
    wire.come_back()
    [join] = wire.commands()
    wire.ok(join, "GENERAL", 77, 0, 1, 0, 10, False)
    assert membership.name == "GENERAL"
    wire.store(wire.commands("send")[0])
    assert submission.seqs == [1]
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


def test_own_messages_are_reported_to_the_feed(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.core.offer("General", FakeSubmission("a", "b"))
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
    wire.core.offer("General", submission := FakeSubmission("a", "b"))
    wire.store(wire.commands("send")[0])
    assert submission.seqs == [1, 2]
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
    wire.core.offer("General", FakeSubmission("a"))
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
    assert [type(removal.error) for removal in feed.removals] == [errors.VersionRefused]
    assert [command[2:] for command in wire.commands("leave")] == [["General", 3]]
    assert not sports.removals
    wire.say("push", "Sports", 77, 0, 1, [])
    assert len(sports.notices) == 1


# -- removed from a room -----------------------------------------------------------------------------------


def test_who_is_removed_has_what_came_before_and_then_the_reason_and_is_in_the_room_no_more(wire: Wire) -> None:
    feed, membership = wire.join()
    sports, _ = wire.join("Sports")
    wire.say("push", "General", 77, 0, 1, [])
    wire.remove(membership, "banned", "spam", until=7_000_000)
    wire.say("push", "General", 77, 1, 2, [])
    assert [notice.upto for notice in feed.notices] == [1]
    [removal] = feed.removals
    assert removal.event == Removed("General", "spam", "bob", 7.0, "banned")
    assert isinstance(removal.error, errors.Banned)
    assert membership.left
    assert membership.removed is removal.error
    wire.commands()
    wire.take(membership, 1)
    wire.core.typing(membership, True, wire.now)
    wire.core.leave(membership, call := FakeCall())
    assert call.done
    assert wire.commands() == []
    wire.say("push", "Sports", 77, 0, 1, [])
    assert sports.notices, "the others go on"


def test_a_room_that_the_user_was_removed_from_is_not_joined_again_by_itself_but_when_asked(wire: Wire) -> None:
    _, membership = wire.join()
    wire.remove(membership)
    wire.come_back()
    assert wire.commands() == []
    _, again = wire.join()
    wire.remove(membership)
    assert not again.left, "that was of an earlier join"
    wire.remove(again)
    assert again.left


def test_a_removal_of_a_room_that_is_not_joined_or_is_being_joined_again_changes_nothing(wire: Wire) -> None:
    feed, membership = wire.join()
    for room, join in (("Other", 1), ("General", 2), ("General", 0), ("general", 1)):
        wire.say("removed", room, join, "kicked", "", "bob", 0)
    wire.come_back()
    wire.remove(membership)
    wire.rejoin()
    assert feed.removals == []
    assert not membership.left
    assert wire.core.connected


def test_what_waits_fails_with_the_reason_and_what_is_on_its_way_gets_its_own_answer(wire: Wire) -> None:
    _, membership = wire.join()
    submissions = [FakeSubmission(str(number)) for number in range(BLOCKS_IN_FLIGHT)]
    for submission in submissions:
        wire.core.offer("General", submission)
    wire.core.offer("General", waits := FakeSubmission("waits"))
    stored, refused, *others = wire.commands("send")
    wire.remove(membership)
    assert [type(error) for error in waits.errors] == [errors.Kicked]
    assert not any(submission.errors for submission in submissions), "the broker had taken them before, or had not"
    wire.store(stored)
    wire.refuse(refused, errors.NotAMember("you are not in General"))
    for each in others:
        wire.refuse(each, errors.OutOfOrder("that is not due", detail=2))
    assert submissions[0].seqs == [1]
    assert [type(submission.errors[0]) for submission in submissions[1:]] == [
        errors.NotAMember,
        errors.Kicked,
        errors.Kicked,
    ]
    assert wire.commands("send") == []
    assert not wire.core._pending


@pytest.mark.parametrize("error", [errors.Closing("going down"), errors.Busy("too fast", detail=300)])
def test_what_is_put_off_is_not_sent_again_after_a_removal(wire: Wire, error: errors.Refused) -> None:
    _, membership = wire.join()
    wire.core.offer("General", before := FakeSubmission("before"))
    wire.core.offer("General", after := FakeSubmission("after"))
    first, second = wire.commands("send")
    wire.refuse(first, error)
    wire.remove(membership)
    assert [type(each) for each in before.errors] == [errors.Kicked]
    wire.refuse(second, error)
    assert [type(each) for each in after.errors] == [errors.Kicked]
    wire.pass_time(lambda: wire.now > 51)
    assert wire.commands("send") == []
    wire.join()
    wire.core.offer("General", again := FakeSubmission("again"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.OutOfOrder("that is not due", detail=1))
    [send] = wire.commands("send")
    assert send[3] == 1
    wire.store(send)
    assert again.seqs == [1]


def test_what_is_on_its_way_when_the_connection_is_lost_after_a_removal_is_unknown(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.offer("General", submission := FakeSubmission("x"))
    wire.remove(membership)
    assert not submission.errors
    wire.come_back()
    [error] = submission.errors
    assert isinstance(error, errors.OutcomeUnknown)
    assert isinstance(error.__cause__, errors.Kicked)
    assert wire.commands() == []


def test_a_client_that_closes_waits_for_what_is_on_its_way_in_a_room_that_it_was_removed_from(wire: Wire) -> None:
    _, membership = wire.join()
    wire.core.offer("General", submission := FakeSubmission("x"))
    [send] = wire.commands("send")
    wire.core.close(wire.now + 5)
    wire.remove(membership)
    assert wire.commands() == []
    wire.store(send)
    assert submission.seqs == [1]
    assert [command[0] for command in wire.commands()] == ["bye"]


def test_a_read_mark_on_its_way_is_answered_after_a_removal(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.mark_read(membership, 3)
    [mark] = wire.commands("mark")
    wire.remove(membership)
    wire.refuse(mark, errors.Banned("you are banned from General", detail=0))
    assert isinstance(feed.roster.refusal(), errors.Banned)
    assert wire.commands() == []
