"""The client's core by itself: what goes out, what comes in, and what becomes of those who wait."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import FakeBatch, FakeCall, FakeFeed, Wire
from zchat import errors
from zchat.client.waiting import Answer, Deadline
from zchat.messages import Position
from zchat.protocol.core import RETRY_MAX, State
from zchat.protocol.heartbeat import STALL
from zchat.protocol.membership import Membership
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT
from zchat.wire.blocks import check_bodies
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_NESTED
from zchat.wire.values import array_header, pack


@pytest.fixture
def wire() -> Wire:
    return Wire()


# -- greeting --------------------------------------------------------------------------------------


def test_the_first_word_is_a_greeting_and_nothing_else_goes_out_before_its_answer() -> None:
    wire = Wire(greet=False)
    call, batch = FakeCall(), FakeBatch("early")
    wire.core.ask("rooms", (None, 5), call)
    wire.core.offer("General", batch)
    [hello] = wire.commands()
    assert hello == ["hello", 1, 1, 1, "alice", b"p" * 16, b"t" * 16, 0, 1]
    wire.ok(hello, 1, "alice", 10, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 10_000, "a later version's field")
    assert [command[0] for command in wire.commands()] == ["rooms", "send"]
    assert wire.port.welcome is not None
    assert wire.port.welcome.mark == 10


@pytest.mark.parametrize("refusal", [errors.VersionRefused("too old"), errors.Busy("full")])
def test_a_refused_greeting_ends_it_with_the_brokers_reason(refusal: errors.Refused) -> None:
    wire = Wire(greet=False)
    call = FakeCall()
    wire.core.ask("rooms", (None, 5), call)
    wire.refuse(wire.commands()[0], refusal)
    assert type(wire.failed_with()) is type(refusal)
    assert type(call.error) is type(refusal)


def test_a_greeting_that_is_answered_with_too_little_ends_it() -> None:
    wire = Wire(greet=False)
    wire.ok(wire.commands()[0], 1, "alice")
    assert isinstance(wire.failed_with(), errors.ProtocolError)


# -- requests --------------------------------------------------------------------------------------


def test_requests_beyond_what_the_broker_allows_wait_for_answers() -> None:
    wire = Wire(requests=3)
    calls = [FakeCall() for _ in range(5)]
    for call in calls:
        wire.core.ask("rooms", (None, 5), call, lambda result: result)
    sent = wire.commands()
    assert len(sent) == 3
    wire.ok(sent[1], "second")
    assert calls[1].result == ["second"]
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


# -- blocks ----------------------------------------------------------------------------------------


def test_a_message_at_rest_goes_out_at_once(wire: Wire) -> None:
    batch = FakeBatch("hi")
    wire.core.offer("General", batch)
    [send] = wire.commands()
    assert send == ["send", 2, "General", 1, b"\x91\xa2hi"]
    wire.store(send)
    assert batch.seqs == [1]


def test_blocks_grow_under_load_and_only_a_few_are_in_flight(wire: Wire) -> None:
    batches = [FakeBatch(str(number)) for number in range(50)]
    for batch in batches:
        wire.core.offer("General", batch)
    sent = wire.commands()
    assert [wire.texts(send) for send in sent] == [[str(number)] for number in range(BLOCKS_IN_FLIGHT)]
    wire.store(sent[0])
    [block] = wire.commands()
    assert wire.texts(block) == list(map(str, range(BLOCKS_IN_FLIGHT, 50)))
    for send in [*sent[1:], block]:
        wire.store(send)
    assert [batch.seqs for batch in batches] == [[number + 1] for number in range(50)]
    assert block[3] == BLOCKS_IN_FLIGHT + 1


def test_a_block_holds_a_thousand_messages_and_a_mebibyte_at_most(wire: Wire) -> None:
    batch = FakeBatch(*["x"] * 2_500)
    wire.core.offer("General", batch)
    assert [len(wire.texts(send)) for send in wire.commands()] == [MAX_BLOCK_MESSAGES, MAX_BLOCK_MESSAGES, 500]
    wire.core.offer("Sports", FakeBatch(*["y" * (MAX_BLOCK_BYTES // 3)] * 4))
    sent = wire.commands()
    assert [len(wire.texts(send)) for send in sent] == [2, 2]
    for send in sent:
        assert len(send[4]) <= MAX_BLOCK_BYTES + len(array_header(1000))


def test_a_block_never_has_more_arrays_and_maps_than_a_broker_takes(wire: Wire) -> None:
    heavy: Any = [[]] * (MAX_NESTED // 4)
    batches = [FakeBatch(*[heavy] * 6, "plain"), FakeBatch("x" * MAX_NESTED, heavy), FakeBatch([[]] * (MAX_NESTED - 1))]
    for batch in batches:
        wire.core.offer("General", batch)
    stored = 0
    while sent := wire.commands():
        for send in sent:
            stored += check_bodies(send[4], MAX_BLOCK_BYTES)
            wire.store(send)
    assert stored == 10
    assert not any(batch.errors for batch in batches)


def test_batches_of_one_room_take_turns(wire: Wire) -> None:
    long, short = FakeBatch(*["long"] * 10_000), FakeBatch("short")
    wire.core.offer("General", long)
    wire.core.offer("General", short)
    one, two, *_ = wire.commands()
    wire.store(one)
    wire.store(two)
    assert [wire.texts(block)[0] for block in wire.commands()] == ["long", "short"]


def test_rooms_take_turns_for_the_places_there_are() -> None:
    wire = Wire(requests=2)
    for room in ("A", "B", "C"):
        wire.core.offer(room, FakeBatch(*["x"] * 3_000))
    rooms = []
    pending = wire.commands()
    while pending:
        send = pending.pop(0)
        rooms.append(send[2])
        wire.store(send)
        pending += wire.commands()
    assert len(rooms) == 9
    assert set(rooms[:5]) == {"A", "B", "C"}


def test_a_refused_block_uses_up_no_number_and_those_behind_it_go_out_again_in_order(wire: Wire) -> None:
    batches = [FakeBatch(str(number)) for number in range(4)]
    for batch in batches:
        wire.core.offer("General", batch)
    one, two, three, four = wire.commands()
    wire.store(one)
    wire.refuse(two, errors.BadBlock("no"))
    wire.core.offer("General", later := FakeBatch("later"))
    assert wire.commands() == [], "nothing overtakes what goes back"
    wire.refuse(three, errors.OutOfOrder("go back to 2"))
    wire.refuse(four, errors.OutOfOrder("go back to 2"))
    sent = wire.commands()
    assert [(send[3], wire.texts(send)) for send in sent] == [(2, ["2", "3", "later"])]
    wire.store(sent[0])
    assert [batch.seqs for batch in (*batches, later)] == [[1], [], [2], [3], [4]]
    assert isinstance(batches[1].errors[0], errors.BadBlock)


def test_what_the_broker_puts_off_is_sent_again_in_time_whatever_was_due_before(wire: Wire) -> None:
    wire.join()
    assert wire.core.tick(wire.now) > wire.now + RETRY_MAX, "a ping comes later"
    wire.core.offer("General", FakeBatch("one"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.Closing("the broker is about to stop"))
    assert wire.pass_time(lambda: bool(wire.commands("send"))) <= RETRY_MAX + 0.01


def test_what_was_in_flight_behind_a_refused_part_of_the_same_batch_is_not_sent_again(wire: Wire) -> None:
    batch = FakeBatch(*["x"] * 2_000)
    wire.core.offer("General", batch)
    one, two = wire.commands()
    wire.refuse(one, errors.Busy("later"))
    wire.refuse(two, errors.OutOfOrder("go back to 1"))
    assert wire.commands() == []
    wire.core.offer("General", FakeBatch("next"))
    assert wire.commands()[0][3] == 1


def test_a_producer_that_was_forgotten_begins_again(wire: Wire) -> None:
    batches = [FakeBatch(str(number)) for number in range(3)]
    wire.core.offer("General", batches[0])
    wire.store(wire.commands()[0])
    wire.core.offer("General", batches[1])
    wire.core.offer("General", batches[2])
    for send in wire.commands():
        wire.refuse(send, errors.Forgotten("begin again at 1"))
    [again] = wire.commands()
    assert (again[3], wire.texts(again)) == (1, ["1", "2"])
    wire.store(again)
    assert [batch.seqs for batch in batches] == [[1], [2], [3]]


def test_a_message_withdrawn_while_it_waited_is_not_sent(wire: Wire) -> None:
    for number in range(BLOCKS_IN_FLIGHT):
        wire.core.offer("General", FakeBatch(str(number)))
    sent = wire.commands()
    gone, stays = FakeBatch("withdrawn"), FakeBatch("stays")
    wire.core.offer("General", gone)
    wire.core.offer("General", stays)
    gone.bodies.clear()
    wire.store(sent[0])
    assert [wire.texts(send) for send in wire.commands()] == [["stays"]]


# -- rooms -----------------------------------------------------------------------------------------


def test_notifications_go_to_their_rooms_feed_in_order(wire: Wire) -> None:
    feed, membership = wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("gap", "General", 77, 3, 5, "trimmed")
    assert [notice[0] for notice in feed.notices] == ["push", "gap"]
    assert (membership.epoch, membership.upto) == (77, 5)


def test_own_messages_are_told_to_the_feed(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.core.offer("General", FakeBatch("a", "b"))
    wire.store(wire.commands("send")[0])
    assert feed.owns == [(77, 1, 2)]


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
    wire.core.credit(membership, 1)
    assert [command[0] for command in wire.commands()] == ["leave"]
    assert feed.notices == []
    again, second = wire.join()
    assert second.join == 2
    wire.say("push", "General", 77, 0, 3, [])
    assert len(again.notices) == 1


def test_credit_is_a_running_count_of_the_join_and_never_goes_back(wire: Wire) -> None:
    _, membership = wire.join()
    for taken in (3, 5, 4, 5):
        wire.core.credit(membership, taken)
    assert wire.commands() == [["credit", "General", 1, 3], ["credit", "General", 1, 5]]


# -- faults of the broker --------------------------------------------------------------------------


def test_a_notification_that_does_not_follow_the_last_one_ends_it(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("push", "General", 77, 4, 6, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_blocks_answered_out_of_order_end_it_and_nobody_is_left_waiting(wire: Wire) -> None:
    one, two = FakeBatch("1"), FakeBatch("2")
    wire.core.offer("General", one)
    wire.core.offer("General", two)
    wire.store(wire.commands()[1])
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(one.errors[0], errors.OutcomeUnknown)
    assert isinstance(two.errors[0], errors.OutcomeUnknown)


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xc1", pack(7), pack([]), pack(["ok"]), pack(["ok", "1"]), pack(["push", "General", 1]), pack(["new", 1])],
)
def test_a_frame_that_is_none_ends_it(wire: Wire, frame: bytes) -> None:
    call = FakeCall()
    wire.core.ask("rooms", (None, 5), call)
    wire.core.receive(frame, wire.now)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(call.error, errors.ProtocolError)


@pytest.mark.parametrize(
    "result", [[], ["General"], [7, 77, 0, 1, 0, 10, False], ["General", "x", 0, 1, 0, 10, False], [None] * 7]
)
def test_a_malformed_answer_ends_it_and_its_caller_is_told(wire: Wire, result: list[Any]) -> None:
    call = FakeCall()
    wire.core.join("General", None, True, call, FakeFeed())
    wire.ok(wire.commands()[0], *result)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(call.error, errors.ProtocolError)


@pytest.mark.parametrize("result", [[], [1, 2], ["x", 1, 1], [None, 1, 1]])
def test_a_malformed_answer_to_a_block_ends_it_and_its_sender_is_told(wire: Wire, result: list[Any]) -> None:
    wire.core.offer("General", batch := FakeBatch("x"))
    wire.ok(wire.commands()[0], *result)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(batch.errors[0], errors.OutcomeUnknown)


def test_an_answer_to_nothing_is_ignored(wire: Wire) -> None:
    wire.say("ok", 99)
    wire.say("error", 99, "busy", "later", True, None)
    assert not wire.core.over


# -- the end ---------------------------------------------------------------------------------------


def test_no_session_means_that_the_connection_is_lost(wire: Wire) -> None:
    call, sent, waits = FakeCall(), FakeBatch("on its way"), FakeBatch(*["x"] * 9_000)
    wire.core.ask("rooms", (None, 5), call)
    wire.core.offer("General", sent)
    wire.core.offer("Sports", waits)
    wire.refuse(wire.commands()[0], errors.NoSession("greet first"))
    assert isinstance(wire.lost_with(), errors.ConnectionLost)
    assert not call.done
    assert not sent.errors
    wire.core.fail("enough")
    assert isinstance(call.error, errors.ConnectionLost)
    assert isinstance(sent.errors[0], errors.OutcomeUnknown)
    assert isinstance(waits.errors[-1], errors.ConnectionLost)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (errors.Superseded("gone elsewhere"), errors.Superseded),
        (errors.TooManyRequests("too many"), errors.TooManyRequests),
        (errors.Closing("going down"), None),
        (errors.Expired("silent"), None),
    ],
)
def test_an_end_says_why_and_one_that_may_be_tried_again_is_a_lost_connection(
    wire: Wire, end: errors.Refused, kind: type[Exception] | None
) -> None:
    wire.say("end", end.code, end.text, end.retryable)
    error = wire.failed_with() if kind else wire.lost_with()
    assert type(error) is (kind or errors.ConnectionLost)
    assert end.text in str(error)


def test_what_is_asked_after_the_end_fails_at_once(wire: Wire) -> None:
    wire.core.fail("a cable was cut")
    call, join, batch = FakeCall(), FakeCall(), FakeBatch("x")
    wire.core.ask("rooms", (None, 5), call)
    wire.core.join("General", None, True, join, FakeFeed())
    wire.core.offer("General", batch)
    for error in (call.error, join.error, batch.errors[0]):
        assert isinstance(error, errors.ConnectionLost)
        assert "a cable was cut" in str(error)
    wire.say("push", "General", 1, 2, 3, [])
    wire.core.close(0)
    wire.core.lost("again")
    wire.core.fail("again")
    assert len(wire.port.ends) == 1
    assert wire.port.losses == []


def test_close_finishes_what_was_accepted_then_says_goodbye(wire: Wire) -> None:
    wire.core.offer("General", batch := FakeBatch(*["x"] * (MAX_BLOCK_MESSAGES * (BLOCKS_IN_FLIGHT + 1))))
    wire.core.ask("rooms", (None, 5), call := FakeCall())
    wire.core.close(wire.now + 5)
    while sent := wire.commands():
        assert "bye" not in [command[0] for command in sent] or len(sent) == 1
        for command in sent:
            if command[0] == "send":
                wire.store(command)
            else:
                wire.ok(command)
    assert len(batch.seqs) == MAX_BLOCK_MESSAGES * (BLOCKS_IN_FLIGHT + 1)
    assert call.done
    assert wire.failed_with() is None
    assert wire.port.sent[-1][0] == "bye"


def test_close_gives_up_at_its_deadline(wire: Wire) -> None:
    wire.core.offer("General", batch := FakeBatch("x"))
    wire.core.close(wire.now + 2)
    assert wire.core.tick(wire.now) <= wire.now + 2
    wire.now += 2
    wire.core.tick(wire.now)
    assert wire.failed_with() is None
    assert isinstance(batch.errors[0], errors.OutcomeUnknown)


def test_close_while_greeting_ends_at_once() -> None:
    wire = Wire(greet=False)
    wire.core.close(wire.now + 5)
    assert wire.failed_with() is None


# -- time ------------------------------------------------------------------------------------------


def beat(wire: Wire, seconds: float, step: float = 0.1) -> None:
    """Let time pass as the receive thread sees it."""
    end = wire.now + seconds
    while wire.now < end and not wire.core.over:
        wire.now += step
        due = wire.core.tick(wire.now)
        assert wire.core.over or due > wire.now


def test_a_client_pings_when_it_has_been_silent(wire: Wire) -> None:
    beat(wire, 0.9)
    assert wire.commands() == []
    beat(wire, 0.3)
    assert wire.commands() == [["ping"]]
    wire.say("pong", 1000)
    beat(wire, 0.8)
    assert wire.commands() == []
    beat(wire, 0.4)
    assert wire.commands() == [["ping"]]


def test_a_silent_broker_is_a_lost_connection(wire: Wire) -> None:
    wire.core.ask("rooms", (None, 5), call := FakeCall())
    beat(wire, 2.8)
    assert wire.core.connected
    beat(wire, 0.4)
    assert isinstance(wire.lost_with(), errors.ConnectionLost)
    assert not call.done


def test_any_word_of_the_broker_keeps_the_connection(wire: Wire) -> None:
    wire.join()
    for number in range(10):
        beat(wire, 1)
        wire.say("push", "General", 77, number, number + 1, [])
    assert wire.core.connected
    assert len(wire.commands("ping")) >= 3, "the broker hears from it too"


def test_a_stall_of_this_process_is_not_the_brokers_silence(wire: Wire) -> None:
    beat(wire, 0.5)
    wire.now += 60
    wire.core.tick(wire.now)
    assert wire.core.connected
    beat(wire, STALL / 2)
    wire.say("pong", 1000)
    beat(wire, 2.5)
    assert wire.core.connected
    beat(wire, 1)
    assert wire.port.losses


def test_states_go_one_way(wire: Wire) -> None:
    states = [wire.core.state]
    wire.core.close(wire.now + 5)
    states.append(wire.core.state)
    wire.ok(wire.commands("bye")[0])
    states.append(wire.core.state)
    assert states == [State.OPEN, State.CLOSING, State.ENDED]


def test_a_refusal_may_overtake_the_answer_to_an_earlier_block(wire: Wire) -> None:
    one, two = FakeBatch("1"), FakeBatch("2")
    wire.core.offer("General", one)
    wire.core.offer("General", two)
    first, second = wire.commands()
    wire.refuse(second, errors.NotAMember("you are not in General"))
    assert [type(error) for error in two.errors] == [errors.NotAMember]
    wire.store(first)
    assert one.seqs == [1]
