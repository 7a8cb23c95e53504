"""The client's core over a lost connection: nothing is lost, nothing is stored twice, and whoever waits is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.protocol.driver import FakeBatch, FakeCall, FakeFeed, Wire
from zchat import errors
from zchat.messages import Position
from zchat.protocol.core import GREET_SECONDS, RETRY_FIRST, RETRY_MAX, STEADY, State
from zchat.protocol.heartbeat import STALL
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT, SWEEP
from zchat.wire.values import pack


@pytest.fixture
def wire() -> Wire:
    return Wire()


# -- the next connection ---------------------------------------------------------------------------


def test_after_a_loss_it_greets_again_over_a_fresh_connection_with_the_same_token(wire: Wire) -> None:
    wire.core.lost("a cable was cut")
    assert str(wire.lost_with()) == "a cable was cut"
    assert RETRY_FIRST <= wire.connected_anew() <= RETRY_MAX
    assert wire.greet()[2:] == [1, 1, "alice", b"p" * 16, b"t" * 16, 0, 2]
    assert wire.core.state is State.OPEN
    assert wire.port.ends == []


def test_waits_between_connections_grow_to_half_a_second_and_no_further(wire: Wire) -> None:
    waits = []
    wire.core.lost("cut")
    for _ in range(30):
        waits.append(wire.connected_anew())
        wire.core.lost("refused")
    assert all(RETRY_FIRST <= wait <= RETRY_MAX for wait in waits)
    assert waits[0] <= 2 * RETRY_FIRST
    assert max(waits) > RETRY_MAX * 0.8
    assert len(set(waits)) == 30, "no two clients come at the same times"


def test_waits_begin_small_again_once_a_connection_has_lasted(wire: Wire) -> None:
    for _ in range(10):
        wire.come_back()
    wire.now += STEADY
    wire.say("pong", 1000)
    wire.core.lost("cut")
    assert wire.connected_anew() <= 2 * RETRY_FIRST


def test_a_greeting_without_an_answer_is_given_up_after_a_second(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.connected_anew()
    assert GREET_SECONDS <= wire.connected_anew() <= GREET_SECONDS + RETRY_MAX
    assert len(wire.port.losses) == 2


def test_a_stall_of_this_process_is_no_reason_to_give_a_greeting_up(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.connected_anew()
    wire.now += 60
    wire.core.tick(wire.now)
    wire.greet()
    assert wire.core.connected


@pytest.mark.parametrize("error", [errors.Busy("full"), errors.Closing("going down")])
def test_a_greeting_refused_for_now_is_tried_again(wire: Wire, error: errors.Refused) -> None:
    wire.core.lost("cut")
    wire.connected_anew()
    wire.refuse(wire.commands("hello")[-1], error)
    wire.connected_anew()
    wire.greet()
    assert wire.core.connected


@pytest.mark.parametrize("error", [errors.BadName("no"), errors.VersionRefused("no"), errors.Superseded("no")])
def test_a_greeting_refused_for_good_ends_it_with_that_error(wire: Wire, error: errors.Refused) -> None:
    batch, call = FakeBatch("on its way"), FakeCall()
    wire.core.offer("General", batch)
    wire.core.ask("rooms", (None, 5), call)
    wire.core.lost("cut")
    wire.connected_anew()
    wire.refuse(wire.commands("hello")[-1], error)
    assert type(wire.failed_with()) is type(error)
    assert type(call.error) is type(error)
    assert isinstance(batch.errors[0], errors.OutcomeUnknown)


def test_what_comes_between_two_connections_is_ignored(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.core.lost("cut")
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("end", "superseded", "late", False)
    wire.say("nonsense")
    assert feed.notices == []
    assert wire.core.state is State.LOST


def test_nothing_is_sent_between_two_connections(wire: Wire) -> None:
    _, membership = wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.core.lost("cut")
    wire.core.credit(membership, 1)
    wire.core.offer("General", FakeBatch("x"))
    wire.core.ask("rooms", (None, 5), FakeCall())
    assert wire.commands() == []


# -- questions -------------------------------------------------------------------------------------


def test_unanswered_questions_are_asked_again_and_withdrawn_ones_are_not(wire: Wire) -> None:
    calls = [FakeCall() for _ in range(3)]
    for number, call in enumerate(calls):
        wire.core.ask("rooms", (None, number), call, lambda result: result)
    calls[1].withdrawn = True
    wire.come_back()
    sent = wire.commands()
    assert [command[3] for command in sent] == [0, 2]
    wire.ok(sent[0], "answer")
    assert calls[0].result == ["answer"]


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
    assert feed.ends == []


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
    wire.core.offer("General", stays := FakeBatch("stays"))
    for _ in range(50 * SWEEP):
        batch = FakeBatch("withdrawn")
        wire.core.offer("General", batch)
        batch.bodies.clear()
    assert len(wire.core._sending.lanes["general"].batches) <= SWEEP
    wire.connected_anew()
    wire.greet()
    [send] = wire.commands()
    wire.store(send)
    assert wire.texts(send) == ["stays"]
    assert stays.seqs == [1]


# -- rooms -----------------------------------------------------------------------------------------


def test_rooms_are_joined_again_where_they_were_with_what_is_held(wire: Wire) -> None:
    feed, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.core.credit(membership, 1)
    wire.come_back()
    join = wire.rejoin()
    assert join[2:] == ["General", 2, [77, 4], 3, True]
    wire.say("push", "General", 77, 4, 9, [])
    assert [notice[4] for notice in feed.notices] == [1, 2, 3, 4, 9]
    assert feed.begun == 2


def test_credit_after_a_rejoin_counts_from_what_was_held(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.core.credit(membership, 1)
    wire.come_back()
    wire.rejoin()
    wire.say("push", "General", 77, 4, 5, [])
    for taken in (1, 3, 5):
        wire.core.credit(membership, taken)
    assert wire.commands() == [["credit", "General", 2, 2], ["credit", "General", 2, 4]]


def test_credit_given_before_the_rejoin_is_answered_goes_out_behind_it(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.come_back()
    [join] = wire.commands("join")
    wire.core.credit(membership, 3)
    assert wire.commands() == []
    wire.ok(join, "General", 77, 4, 1, 4, 10, False)
    assert wire.commands() == [["credit", "General", 2, 3]]


def test_credit_given_between_connections_leaves_less_held(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(4):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.core.lost("cut")
    wire.core.credit(membership, 3)
    wire.connected_anew()
    wire.greet()
    assert wire.rejoin()[5] == 1
    assert wire.commands() == []
    wire.core.credit(membership, 4)
    assert wire.commands() == [["credit", "General", 2, 1]]


def test_no_more_is_held_than_a_smaller_window_has(wire: Wire) -> None:
    _, membership = wire.join()
    for number in range(8):
        wire.say("push", "General", 77, number, number + 1, [])
    wire.come_back(mark=3)
    assert wire.rejoin(mark=3)[5] == 3
    for taken in (5, 6):
        wire.core.credit(membership, taken)
    assert wire.commands() == [["credit", "General", 2, 1]], "the five that came first are no longer counted"


def test_a_position_moves_over_own_messages_too(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", FakeBatch("a", "b"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 2]


def test_own_messages_move_a_position_once_everything_before_them_has_come(wire: Wire) -> None:
    wire.join()
    wire.seq = 5
    wire.core.offer("General", FakeBatch("a"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 0]
    wire.core.offer("General", FakeBatch("b"))
    wire.seq = 5
    wire.store(wire.commands("send")[0])
    wire.say("push", "General", 77, 0, 5, [])
    wire.come_back()
    assert wire.rejoin()[4] == [77, 6]


def test_a_position_does_not_move_into_another_log_before_the_gap_is_told(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin(gap=True)
    wire.core.offer("General", FakeBatch("into another log"))
    [send] = wire.commands("send")
    wire.ok(send, 5, 1_000, 99)
    wire.come_back()
    assert wire.rejoin(gap=True)[4] == [77, 4], "or the gap would never be told"
    wire.say("gap", "General", 99, 4, 5, "reset")
    assert feed.notices[-1][0] == "gap"
    wire.come_back()
    assert wire.rejoin()[4] == [99, 5]


def test_a_position_moves_over_own_messages_of_a_broker_started_again(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin()
    wire.core.offer("General", FakeBatch("in a new epoch of the same log"))
    [send] = wire.commands("send")
    wire.ok(send, 5, 1_000, 99)
    wire.come_back()
    assert wire.rejoin()[4] == [99, 5]


def test_own_messages_of_a_log_that_is_gone_do_not_move_the_position_in_the_next(wire: Wire) -> None:
    wire.join()
    wire.seq = 9
    wire.core.offer("General", FakeBatch("a"))
    wire.store(wire.commands("send")[0])
    wire.come_back()
    wire.rejoin()
    wire.say("gap", "General", 99, 0, 9, "reset")
    wire.come_back()
    assert wire.rejoin()[4] == [99, 9]


def test_a_first_notification_that_does_not_follow_the_position_asked_for_ends_it(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 4, [])
    wire.come_back()
    wire.rejoin()
    wire.say("push", "General", 77, 3, 6, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


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
    assert feed.owns == [(77, 1, 1)]
    wire.say("push", "GENERAL", 77, 0, 3, [])
    assert len(feed.notices) == 1


# -- blocks ----------------------------------------------------------------------------------------


def flying(wire: Wire, count: int = 3) -> tuple[list[FakeBatch], list[list[Any]]]:
    """Have some blocks in flight in a joined room."""
    wire.join()
    batches = [FakeBatch(str(number)) for number in range(1, count + 1)]
    for batch in batches:
        wire.core.offer("General", batch)
    return batches, wire.commands("send")


def back(wire: Wire) -> list[list[Any]]:
    """Come back with the room joined again; returns the blocks that are sent."""
    wire.come_back()
    wire.rejoin()
    return wire.commands("send")


def test_blocks_go_out_again_under_their_numbers_and_bytes_once_their_room_is_joined_again(wire: Wire) -> None:
    batches, sent = flying(wire)
    wire.store(sent[0])
    wire.core.lost("cut")
    wire.core.offer("General", later := FakeBatch("later"))
    wire.connected_anew()
    wire.greet()
    [join] = wire.commands()
    assert join[0] == "join", "blocks wait for it"
    wire.ok(join, "General", 77, 0, 1, 1, 10, False)
    again = wire.commands()
    assert [block[2:] for block in again[:2]] == [block[2:] for block in sent[1:]]
    assert (again[2][3], wire.texts(again[2])) == (4, ["later"])
    for block in again:
        wire.store(block)
    assert [batch.seqs for batch in (*batches, later)] == [[1], [2], [3], [4]]


def test_one_room_waits_for_its_join_while_another_flows(wire: Wire) -> None:
    wire.join()
    wire.join("Sports")
    for room in ("General", "Sports"):
        wire.core.offer(room, FakeBatch(room))
    wire.come_back()
    joins = {join[2]: join for join in wire.commands("join")}
    wire.ok(joins["Sports"], "Sports", 77, 0, 1, 0, 10, False)
    assert [block[2] for block in wire.commands("send")] == ["Sports"]
    wire.ok(joins["General"], "General", 77, 0, 1, 0, 10, False)
    assert [block[2] for block in wire.commands("send")] == ["General"]


def test_a_block_sent_again_whose_caller_has_gone_keeps_its_bytes(wire: Wire) -> None:
    batches, sent = flying(wire)
    batches[0].failed = True
    assert [block[4] for block in back(wire)] == [block[4] for block in sent]


def test_a_connection_lost_again_and_again_at_any_step_stores_each_block_once_and_in_order(wire: Wire) -> None:
    batches, sent = flying(wire)
    for answered in range(3):
        wire.come_back()  # before the join is answered
        wire.come_back()
        wire.rejoin()
        again = wire.commands("send")
        assert [block[2:] for block in again] == [block[2:] for block in sent[answered:]]
        wire.store(again[0])
    assert [batch.seqs for batch in batches] == [[1], [2], [3]]


def test_no_more_blocks_are_in_flight_after_a_loss_than_before(wire: Wire) -> None:
    wire.join()
    for number in range(30):
        wire.core.offer("General", FakeBatch(str(number)))
    assert len(wire.commands("send")) == BLOCKS_IN_FLIGHT
    assert len(back(wire)) == BLOCKS_IN_FLIGHT


def out_of_order(due: int) -> errors.Refused:
    return errors.OutOfOrder(f"go back to {due}", detail=due)


def test_a_log_that_lost_its_end_has_the_blocks_numbered_from_where_it_ends(wire: Wire) -> None:
    _, sent = flying(wire)
    for block in sent:
        wire.store(block)
    more = [FakeBatch(text) for text in "abc"]
    for batch in more:
        wire.core.offer("General", batch)
    for block in back(wire):
        assert block[3] in (4, 5, 6)
        wire.refuse(block, out_of_order(2))
    [block] = wire.commands()
    assert (block[3], wire.texts(block)) == (2, ["a", "b", "c"])
    wire.store(block)
    assert [batch.seqs for batch in more] == [[4], [5], [6]]


def test_while_blocks_go_back_nothing_new_is_sent(wire: Wire) -> None:
    batches, _ = flying(wire, 2)
    first, second = back(wire)
    wire.core.offer("General", new := FakeBatch("new"))
    wire.commands()
    wire.refuse(first, errors.NotAMember("no"))
    wire.refuse(second, out_of_order(1))
    wire.core.offer("General", FakeBatch("newer"))
    assert wire.commands() == []
    assert isinstance(batches[0].errors[0], errors.OutcomeUnknown)
    assert not new.errors


def test_a_number_that_was_taken_long_ago_leaves_the_outcome_unknown(wire: Wire) -> None:
    batches, _ = flying(wire)
    for block in back(wire):
        wire.refuse(block, out_of_order(30))
    for batch in batches:
        assert isinstance(batch.errors[0], errors.OutcomeUnknown)
        assert isinstance(batch.errors[0].__cause__, errors.OutOfOrder)
    wire.core.offer("General", FakeBatch("next"))
    assert wire.commands()[0][3] == 30


def test_a_forgotten_producer_has_its_unanswered_blocks_unknown_and_begins_again(wire: Wire) -> None:
    batches, sent = flying(wire)
    wire.store(sent[0])
    again = back(wire)
    wire.core.offer("General", new := FakeBatch("new"))
    again += wire.commands()
    assert [block[3] for block in again] == [2, 3, 4]
    for block in again:
        wire.refuse(block, errors.Forgotten("begin again at 1"))
    for batch in batches[1:]:
        assert isinstance(batch.errors[0], errors.OutcomeUnknown)
        assert isinstance(batch.errors[0].__cause__, errors.Forgotten)
    [send] = wire.commands()
    assert (send[3], wire.texts(send)) == (1, ["new"])
    wire.store(send)
    assert new.seqs == [2], "it had been sent on this connection only, so it was not stored"


@pytest.mark.parametrize("error", [errors.NotAMember("no"), errors.NoSuchRoom("no"), errors.MessageTooLarge("no")])
def test_a_refusal_of_a_block_sent_again_leaves_the_outcome_unknown_and_its_number_used(
    wire: Wire, error: errors.Refused
) -> None:
    [batch], _ = flying(wire, 1)
    [again] = back(wire)
    wire.refuse(again, error)
    assert isinstance(batch.errors[0], errors.OutcomeUnknown)
    assert type(batch.errors[0].__cause__) is type(error)
    wire.core.offer("General", new := FakeBatch("new"))
    [send] = wire.commands()
    assert send[3] == 2, "1 may be stored"
    wire.refuse(send, out_of_order(1))
    [send] = wire.commands()
    assert send[3] == 1, "it is not"
    wire.store(send)
    assert new.seqs == [1]


@pytest.mark.parametrize("error", [errors.Busy("later"), errors.StoreFailed("no room"), errors.Closing("bye")])
def test_a_block_sent_again_that_is_put_off_is_sent_once_more_as_it_was(wire: Wire, error: errors.Refused) -> None:
    batches, sent = flying(wire)
    first, second, third = back(wire)
    wire.refuse(first, error)
    wire.refuse(second, out_of_order(1))
    assert wire.commands() == []
    wire.refuse(third, out_of_order(1))
    wire.core.offer("General", FakeBatch("later"))
    assert wire.commands() == [], "it waits a while"
    due = wire.core.tick(wire.now)
    assert due <= wire.now + RETRY_MAX
    wire.now = due
    wire.core.tick(wire.now)
    again = wire.commands()
    assert [block[2:] for block in again[:3]] == [block[2:] for block in sent]
    for block in again:
        wire.store(block)
    assert [batch.seqs for batch in batches] == [[1], [2], [3]]


def test_a_block_put_off_may_be_answered_behind_a_later_one_that_was_stored_with_it(wire: Wire) -> None:
    batches, _ = flying(wire, 2)
    first, second = back(wire)
    wire.refuse(first, errors.Busy("later"))
    wire.ok(second, 2, 1_000, 77)
    wire.now = wire.core.tick(wire.now)
    wire.core.tick(wire.now)
    [again] = wire.commands()
    wire.ok(again, 1, 1_000, 77)
    assert [batch.seqs for batch in batches] == [[1], [2]]


def test_what_a_broker_that_goes_down_did_not_take_waits_for_the_next(wire: Wire) -> None:
    [batch], [sent] = flying(wire, 1)
    wire.refuse(sent, errors.Closing("going down"))
    assert not batch.errors
    [again] = back(wire)
    assert again[2:] == sent[2:]
    wire.refuse(again, errors.Forgotten("begin again at 1") if again[3] > 1 else errors.Closing("still"))
    [again] = back(wire)
    wire.store(again)
    assert batch.seqs == [1]


def test_a_disk_that_failed_may_hold_a_block_so_its_number_is_not_given_to_another(wire: Wire) -> None:
    [batch], [sent] = flying(wire, 1)
    wire.refuse(sent, errors.StoreFailed("no room"))
    assert isinstance(batch.errors[0], errors.StoreFailed)
    wire.core.offer("General", new := FakeBatch("new"))
    [send] = wire.commands()
    assert send[3] == 2
    wire.refuse(send, out_of_order(1))
    [send] = wire.commands()
    assert send[3] == 1
    wire.store(send)
    assert new.seqs == [1]


def test_a_loss_while_going_back_keeps_the_order(wire: Wire) -> None:
    batches, (one, two, _) = flying(wire)
    wire.refuse(one, errors.BadBlock("no"))
    wire.refuse(two, out_of_order(1))
    again = back(wire)
    assert [(block[3], wire.texts(block)) for block in again] == [(2, ["2"]), (3, ["3"])]
    for block in again:
        wire.refuse(block, out_of_order(1))
    [block] = wire.commands()
    assert (block[3], wire.texts(block)) == (1, ["2", "3"])
    wire.store(block)
    assert [batch.seqs for batch in batches] == [[], [1], [2]]


def test_going_back_twice_keeps_the_order() -> None:
    wire = Wire(requests=2)
    wire.join()
    for _ in range(5):
        wire.core.offer("General", FakeBatch("lost with the log's end"))
        wire.store(wire.commands("send")[0])
    for number in range(3):
        wire.core.offer("General", FakeBatch(*[str(number)] * 1_000))
    for due in (4, 2):
        sent = wire.commands("send")
        assert [wire.texts(block)[0] for block in sent] == ["0", "1"]
        wire.come_back(requests=2)
        wire.rejoin()
        for block in wire.commands("send"):
            wire.refuse(block, out_of_order(due))
    order = []
    while sent := wire.commands("send"):
        for block in sent:
            order.append(wire.texts(block)[0])
            wire.store(block)
    assert order == ["0", "1", "2"]


# -- the end ---------------------------------------------------------------------------------------


def test_close_between_connections_ends_at_once_if_nothing_waits(wire: Wire) -> None:
    wire.join()
    wire.core.lost("cut")
    wire.core.close(wire.now + 5)
    assert wire.failed_with() is None


@pytest.mark.parametrize("lost", [False, True])
def test_close_goes_on_trying_for_what_was_accepted(wire: Wire, lost: bool) -> None:
    [batch], _ = flying(wire, 1)
    steps: list[Callable[[], None]] = [lambda: wire.core.close(wire.now + 5), lambda: wire.core.lost("cut")]
    for step in reversed(steps) if lost else steps:
        step()
    wire.connected_anew()
    wire.greet()
    wire.rejoin()
    [send] = wire.commands()
    assert wire.core.state is State.CLOSING
    wire.store(send)
    [bye] = wire.commands()
    wire.ok(bye)
    assert batch.seqs == [1]
    assert wire.failed_with() is None


def test_close_between_connections_gives_up_at_its_deadline(wire: Wire) -> None:
    [batch], _ = flying(wire, 1)
    waits = FakeBatch("waits")
    wire.core.lost("cut")
    wire.core.offer("Sports", waits)
    wire.core.close(wire.now + 2)
    wire.pass_time(lambda: wire.core.over)
    assert wire.failed_with() is None
    assert isinstance(batch.errors[0], errors.OutcomeUnknown)
    assert isinstance(waits.errors[0], errors.ConnectionLost)


def test_a_connection_lost_over_the_goodbye_is_the_end_that_was_asked_for(wire: Wire) -> None:
    wire.core.close(wire.now + 5)
    assert wire.commands("bye")
    wire.core.lost("cut")
    assert wire.failed_with() is None


def test_the_first_connection_is_not_tried_again() -> None:
    wire = Wire(greet=False)
    wire.core.lost("refused")
    assert isinstance(wire.failed_with(), errors.ConnectionLost)
    assert wire.port.losses == []


def test_a_stall_that_was_waited_out_is_over(wire: Wire) -> None:
    wire.now += 60
    wire.core.tick(wire.now)
    wire.now += STALL
    wire.core.receive(pack(("pong", 1000)), wire.now)
    assert wire.core.connected
