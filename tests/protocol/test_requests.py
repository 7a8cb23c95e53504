"""The client's questions to the broker: how many, over which connection, and what becomes of them."""

from __future__ import annotations

from tests.protocol.driver import FakeCall, FakeFeed, FakeSubmission, Wire
from zchat import errors
from zchat.messages import Position
from zchat.protocol.send_queue import SWEEP
from zchat.wire.replies import RoomsPage


def test_unanswered_questions_are_asked_again_and_withdrawn_ones_are_not(wire: Wire) -> None:
    calls = [FakeCall() for _ in range(3)]
    for number, call in enumerate(calls):
        wire.core.ask("rooms", (None, number), call, lambda result: result)
    calls[1].withdrawn = True
    wire.come_back()
    sent = wire.commands()
    assert [command[3] for command in sent] == [0, 2]
    wire.ok(sent[0], [], False)
    assert calls[0].result == RoomsPage([], False)


def test_a_join_without_an_answer_is_asked_again(wire: Wire) -> None:
    call, feed = FakeCall(), FakeFeed()
    wire.core.join("General", Position(77, 5), True, call, feed)
    wire.come_back()
    [join] = wire.commands()
    assert join[2:] == ["General", 1, [77, 5], 0, True]
    wire.ok(join, "General", 77, 5, 1, 9, 10, False)
    assert call.result is feed.membership


def test_to_leave_is_done_once_the_connection_is_lost(wire: Wire) -> None:
    _, membership = wire.join()
    calls = [FakeCall(), FakeCall()]
    wire.core.leave(membership, calls[0])
    assert [call.done for call in calls] == [False, False]
    wire.core.lost("cut")
    wire.core.leave(membership, calls[1])
    assert [(call.done, call.error) for call in calls] == [(True, None), (True, None)]
    wire.connected_anew()
    assert [command[0] for command in wire.commands()] == ["leave", "hello"], "and the room is not joined again"


def test_a_room_can_be_left_while_there_is_no_connection(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.core.lost("cut")
    wire.core.leave(membership, call := FakeCall())
    assert call.done
    wire.connected_anew()
    wire.greet()
    assert wire.commands() == []
    assert feed.removals == []


def test_a_room_left_before_its_rejoin_is_answered_stays_left(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.come_back()
    [join] = wire.commands()
    wire.core.leave(membership, FakeCall())
    assert wire.commands() == [["leave", join[1] + 1, "General", join[3]]]
    wire.ok(join, "General", 77, 0, 1, 0, 10, False)
    wire.say("push", "General", 77, 0, 3, [])
    assert feed.notices == []
    assert feed.begun == 1


def test_questions_whose_callers_have_gone_do_not_pile_up(wire: Wire) -> None:
    wire.core.lost("cut")
    for _ in range(50 * SWEEP):
        call = FakeCall()
        wire.core.ask("rooms", (None, 5), call)
        call.withdrawn = True
    assert len(wire.core._requests.waiting) <= SWEEP


def test_messages_whose_callers_have_gone_do_not_pile_up(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.core.offer("General", stays := FakeSubmission("stays"))
    for _ in range(50 * SWEEP):
        submission = FakeSubmission("withdrawn")
        wire.core.offer("General", submission)
        submission.bodies.clear()
    assert len(wire.core._queues.queues["general"].submissions) <= SWEEP
    wire.connected_anew()
    wire.greet()
    [send] = wire.commands()
    wire.store(send)
    assert wire.texts(send) == ["stays"]
    assert stays.seqs == [1]


def test_requests_beyond_what_the_broker_allows_wait_for_answers() -> None:
    wire = Wire(requests=3)
    calls = [FakeCall() for _ in range(5)]
    for call in calls:
        wire.core.ask("rooms", (None, 5), call, lambda result: result)
    sent = wire.commands()
    assert len(sent) == 3
    wire.ok(sent[1], [], False)
    assert calls[1].result == RoomsPage([], False)
    assert len(wire.commands()) == 1
    assert not calls[0].done


def test_a_request_withdrawn_before_it_went_out_never_does() -> None:
    wire = Wire(requests=1)
    first, second = FakeCall(), FakeCall()
    wire.core.ask("rooms", (None, 1), first)
    wire.core.ask("rooms", (None, 2), second)
    second.withdrawn = True
    wire.ok(wire.commands()[0])
    assert wire.commands() == []


def test_a_refused_request_fails_with_the_named_error(wire: Wire) -> None:
    call = FakeCall()
    wire.core.ask("history", ("Nowhere", None, None, 5), call)
    wire.refuse(wire.commands()[0], errors.NoSuchRoom("there is none"))
    assert isinstance(call.error, errors.NoSuchRoom)
    assert not wire.core.over
    wire.core.ask("history", ("Nowhere", None, None, 5), call := FakeCall())
    wire.say("error", wire.commands()[0][1], "of a later version", "what it says", True, None)
    assert (type(call.error), str(call.error)) == (errors.Refused, "what it says")


def test_what_an_older_version_of_the_protocol_lacks_is_refused_when_its_turn_comes_and_never_sent() -> None:
    wire = Wire(greet=False)
    wire.core.ask("kick", ("General", "bob", ""), kick := FakeCall())
    wire.core.ask("rooms", (None, 5), rooms := FakeCall())
    wire.greet(version=1)
    assert isinstance(kick.error, errors.VersionRefused)
    assert "kick requires version 2 of the protocol, the broker speaks 1" in str(kick.error)
    assert [command[0] for command in wire.commands()] == ["rooms"]
    assert not rooms.done


def test_each_connection_has_its_version(wire: Wire) -> None:
    wire.core.ask("kick", ("General", "bob", ""), call := FakeCall())
    assert [command[0] for command in wire.commands()] == ["kick"]
    wire.come_back(version=1)
    assert isinstance(call.error, errors.VersionRefused)
    wire.come_back()
    wire.core.ask("kick", ("General", "bob", ""), again := FakeCall())
    [kick] = wire.commands()
    wire.ok(kick, 2)
    assert again.result.sessions == 2
