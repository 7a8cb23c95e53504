"""The queue of one room's unsent messages: blocks, their numbers, and what is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import FakeSubmission, Wire
from zchat import errors
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT
from zchat.protocol.send_queues import RESUME_AFTER
from zchat.wire.checking import check_bodies
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_NESTED
from zchat.wire.values import array_header


def flying(wire: Wire, count: int = 3) -> tuple[list[FakeSubmission], list[list[Any]]]:
    """Have some blocks in flight in a joined room."""
    wire.join()
    submissions = [FakeSubmission(str(number)) for number in range(1, count + 1)]
    for submission in submissions:
        wire.core.offer("General", submission)
    return submissions, wire.commands("send")


def back(wire: Wire) -> list[list[Any]]:
    """Come back with the room joined again; returns the blocks that are sent."""
    wire.come_back()
    wire.rejoin()
    return wire.commands("send")


def test_offers_that_follow_one_another_at_once_share_a_block(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", FakeSubmission("one"), more=True)
    wire.core.offer("General", FakeSubmission("two"), more=True)
    assert wire.commands("send") == []
    wire.core.offer("General", FakeSubmission("three"))
    [block] = wire.commands("send")
    assert wire.texts(block) == ["one", "two", "three"]


def test_what_was_offered_goes_out_when_the_offer_after_it_was_withdrawn(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", FakeSubmission("one"), more=True)
    withdrawn = FakeSubmission("two")
    withdrawn.failed = True
    wire.core.offer("General", withdrawn)
    assert [wire.texts(block) for block in wire.commands("send")] == [["one"]]


def test_blocks_go_out_again_under_their_numbers_and_bytes_once_their_room_is_joined_again(wire: Wire) -> None:
    submissions, sent = flying(wire)
    wire.store(sent[0])
    wire.core.lost("cut")
    wire.core.offer("General", later := FakeSubmission("later"))
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
    assert [submission.seqs for submission in (*submissions, later)] == [[1], [2], [3], [4]]


def test_a_block_sent_again_whose_caller_has_gone_keeps_its_bytes(wire: Wire) -> None:
    submissions, sent = flying(wire)
    submissions[0].failed = True
    assert [block[4] for block in back(wire)] == [block[4] for block in sent]


def test_a_connection_lost_again_and_again_at_any_step_stores_each_block_once_and_in_order(wire: Wire) -> None:
    submissions, sent = flying(wire)
    for answered in range(3):
        wire.come_back()  # before the join is answered
        wire.come_back()
        wire.rejoin()
        again = wire.commands("send")
        assert [block[2:] for block in again] == [block[2:] for block in sent[answered:]]
        wire.store(again[0])
    assert [submission.seqs for submission in submissions] == [[1], [2], [3]]


def out_of_order(due: int) -> errors.Refused:
    return errors.OutOfOrder(f"go back to {due}", detail=due)


def test_a_log_that_lost_its_end_has_the_blocks_numbered_from_where_it_ends(wire: Wire) -> None:
    _, sent = flying(wire)
    for block in sent:
        wire.store(block)
    more = [FakeSubmission(text) for text in "abc"]
    for submission in more:
        wire.core.offer("General", submission)
    for block in back(wire):
        assert block[3] in (4, 5, 6)
        wire.refuse(block, out_of_order(2))
    [block] = wire.commands()
    assert (block[3], wire.texts(block)) == (2, ["a", "b", "c"])
    wire.store(block)
    assert [submission.seqs for submission in more] == [[4], [5], [6]]


def test_while_blocks_go_back_nothing_new_is_sent(wire: Wire) -> None:
    submissions, _ = flying(wire, 2)
    first, second = back(wire)
    wire.core.offer("General", new := FakeSubmission("new"))
    wire.commands()
    wire.refuse(first, errors.NotAMember("no"))
    wire.refuse(second, out_of_order(1))
    wire.core.offer("General", FakeSubmission("newer"))
    assert wire.commands() == []
    assert isinstance(submissions[0].errors[0], errors.OutcomeUnknown)
    assert not new.errors


def test_a_number_that_was_taken_long_ago_leaves_the_outcome_unknown(wire: Wire) -> None:
    submissions, _ = flying(wire)
    for block in back(wire):
        wire.refuse(block, out_of_order(30))
    for submission in submissions:
        assert isinstance(submission.errors[0], errors.OutcomeUnknown)
        assert isinstance(submission.errors[0].__cause__, errors.OutOfOrder)
    wire.core.offer("General", FakeSubmission("next"))
    assert wire.commands()[0][3] == 30


def test_a_forgotten_producer_has_its_unanswered_blocks_unknown_and_begins_again(wire: Wire) -> None:
    submissions, sent = flying(wire)
    wire.store(sent[0])
    again = back(wire)
    wire.core.offer("General", new := FakeSubmission("new"))
    again += wire.commands()
    assert [block[3] for block in again] == [2, 3, 4]
    for block in again:
        wire.refuse(block, errors.Forgotten("begin again at 1"))
    for submission in submissions[1:]:
        assert isinstance(submission.errors[0], errors.OutcomeUnknown)
        assert isinstance(submission.errors[0].__cause__, errors.Forgotten)
    [send] = wire.commands()
    assert (send[3], wire.texts(send)) == (1, ["new"])
    wire.store(send)
    assert new.seqs == [2], "it had been sent on this connection only, so it was not stored"


@pytest.mark.parametrize("error", [errors.NotAMember("no"), errors.NoSuchRoom("no"), errors.MessageTooLarge("no")])
def test_a_refusal_of_a_block_sent_again_leaves_the_outcome_unknown_and_its_number_used(
    wire: Wire, error: errors.Refused
) -> None:
    [submission], _ = flying(wire, 1)
    [again] = back(wire)
    wire.refuse(again, error)
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)
    assert type(submission.errors[0].__cause__) is type(error)
    wire.core.offer("General", new := FakeSubmission("new"))
    [send] = wire.commands()
    assert send[3] == 2, "1 may be stored"
    wire.refuse(send, out_of_order(1))
    [send] = wire.commands()
    assert send[3] == 1, "it is not"
    wire.store(send)
    assert new.seqs == [1]


@pytest.mark.parametrize("error", [errors.Busy("later"), errors.StoreFailed("no room"), errors.Closing("bye")])
def test_a_block_sent_again_that_is_put_off_is_sent_once_more_as_it_was(wire: Wire, error: errors.Refused) -> None:
    submissions, sent = flying(wire)
    first, second, third = back(wire)
    wire.refuse(first, error)
    wire.refuse(second, out_of_order(1))
    assert wire.commands() == []
    wire.refuse(third, out_of_order(1))
    wire.core.offer("General", FakeSubmission("later"))
    assert wire.commands() == [], "it waits a while"
    due = wire.core.tick(wire.now)
    assert due <= wire.now + RESUME_AFTER
    wire.now = due
    wire.core.tick(wire.now)
    again = wire.commands()
    assert [block[2:] for block in again[:3]] == [block[2:] for block in sent]
    for block in again:
        wire.store(block)
    assert [submission.seqs for submission in submissions] == [[1], [2], [3]]


def test_a_block_put_off_may_be_answered_after_a_later_one_that_was_stored_with_it(wire: Wire) -> None:
    submissions, _ = flying(wire, 2)
    first, second = back(wire)
    wire.refuse(first, errors.Busy("later"))
    wire.ok(second, 2, 1_000, 77)
    wire.now = wire.core.tick(wire.now)
    wire.core.tick(wire.now)
    [again] = wire.commands()
    wire.ok(again, 1, 1_000, 77)
    assert [submission.seqs for submission in submissions] == [[1], [2]]


def test_what_a_broker_that_goes_down_did_not_take_waits_for_the_next(wire: Wire) -> None:
    [submission], [sent] = flying(wire, 1)
    wire.refuse(sent, errors.Closing("going down"))
    assert not submission.errors
    [again] = back(wire)
    assert again[2:] == sent[2:]
    wire.refuse(again, errors.Forgotten("begin again at 1") if again[3] > 1 else errors.Closing("still"))
    [again] = back(wire)
    wire.store(again)
    assert submission.seqs == [1]


def test_a_disk_that_failed_may_hold_a_block_so_its_number_is_not_given_to_another(wire: Wire) -> None:
    [submission], [sent] = flying(wire, 1)
    wire.refuse(sent, errors.StoreFailed("no room"))
    assert isinstance(submission.errors[0], errors.StoreFailed)
    wire.core.offer("General", new := FakeSubmission("new"))
    [send] = wire.commands()
    assert send[3] == 2
    wire.refuse(send, out_of_order(1))
    [send] = wire.commands()
    assert send[3] == 1
    wire.store(send)
    assert new.seqs == [1]


def test_a_loss_while_going_back_keeps_the_order(wire: Wire) -> None:
    submissions, (one, two, _) = flying(wire)
    wire.refuse(one, errors.BadBlock("no"))
    wire.refuse(two, out_of_order(1))
    again = back(wire)
    assert [(block[3], wire.texts(block)) for block in again] == [(2, ["2"]), (3, ["3"])]
    for block in again:
        wire.refuse(block, out_of_order(1))
    [block] = wire.commands()
    assert (block[3], wire.texts(block)) == (1, ["2", "3"])
    wire.store(block)
    assert [submission.seqs for submission in submissions] == [[], [1], [2]]


def test_going_back_twice_keeps_the_order() -> None:
    wire = Wire(requests=2)
    wire.join()
    for _ in range(5):
        wire.core.offer("General", FakeSubmission("lost with the log's end"))
        wire.store(wire.commands("send")[0])
    for number in range(3):
        wire.core.offer("General", FakeSubmission(*[str(number)] * 1_000))
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


def test_a_message_at_rest_goes_out_at_once(wire: Wire) -> None:
    submission = FakeSubmission("hi")
    wire.core.offer("General", submission)
    [send] = wire.commands()
    assert send == ["send", 2, "General", 1, b"\x91\xa2hi"]
    wire.store(send)
    assert submission.seqs == [1]


def test_blocks_grow_under_load_and_only_a_few_are_in_flight(wire: Wire) -> None:
    submissions = [FakeSubmission(str(number)) for number in range(50)]
    for submission in submissions:
        wire.core.offer("General", submission)
    sent = wire.commands()
    assert [wire.texts(send) for send in sent] == [[str(number)] for number in range(BLOCKS_IN_FLIGHT)]
    wire.store(sent[0])
    [block] = wire.commands()
    assert wire.texts(block) == list(map(str, range(BLOCKS_IN_FLIGHT, 50)))
    for send in [*sent[1:], block]:
        wire.store(send)
    assert [submission.seqs for submission in submissions] == [[number + 1] for number in range(50)]
    assert block[3] == BLOCKS_IN_FLIGHT + 1


def test_a_block_holds_a_thousand_messages_and_a_mebibyte_at_most(wire: Wire) -> None:
    submission = FakeSubmission(*["x"] * 2_500)
    wire.core.offer("General", submission)
    assert [len(wire.texts(send)) for send in wire.commands()] == [MAX_BLOCK_MESSAGES, MAX_BLOCK_MESSAGES, 500]
    wire.core.offer("Sports", FakeSubmission(*["y" * (MAX_BLOCK_BYTES // 3)] * 4))
    sent = wire.commands()
    assert [len(wire.texts(send)) for send in sent] == [2, 2]
    for send in sent:
        assert len(send[4]) <= MAX_BLOCK_BYTES + len(array_header(1000))


def test_a_block_never_has_more_arrays_and_maps_than_a_broker_takes(wire: Wire) -> None:
    heavy: Any = [[]] * (MAX_NESTED // 4)
    submissions = [
        FakeSubmission(*[heavy] * 6, "plain"),
        FakeSubmission("x" * MAX_NESTED, heavy),
        FakeSubmission([[]] * (MAX_NESTED - 1)),
    ]
    for submission in submissions:
        wire.core.offer("General", submission)
    stored = 0
    while sent := wire.commands():
        for send in sent:
            stored += check_bodies(send[4], MAX_BLOCK_BYTES)
            wire.store(send)
    assert stored == 10
    assert not any(submission.errors for submission in submissions)


def test_a_refused_block_uses_up_no_number_and_those_after_it_go_out_again_in_order(wire: Wire) -> None:
    submissions = [FakeSubmission(str(number)) for number in range(4)]
    for submission in submissions:
        wire.core.offer("General", submission)
    one, two, three, four = wire.commands()
    wire.store(one)
    wire.refuse(two, errors.BadBlock("no"))
    wire.core.offer("General", later := FakeSubmission("later"))
    assert wire.commands() == [], "nothing overtakes what goes back"
    wire.refuse(three, errors.OutOfOrder("go back to 2"))
    wire.refuse(four, errors.OutOfOrder("go back to 2"))
    sent = wire.commands()
    assert [(send[3], wire.texts(send)) for send in sent] == [(2, ["2", "3", "later"])]
    wire.store(sent[0])
    assert [submission.seqs for submission in (*submissions, later)] == [[1], [], [2], [3], [4]]
    assert isinstance(submissions[1].errors[0], errors.BadBlock)


def test_what_the_broker_puts_off_is_sent_again_in_time_whatever_was_due_before(wire: Wire) -> None:
    wire.join()
    assert wire.core.tick(wire.now) > wire.now + RESUME_AFTER, "a ping comes later"
    wire.core.offer("General", FakeSubmission("one"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.Closing("the broker is about to stop"))
    assert wire.pass_time(lambda: bool(wire.commands("send"))) <= RESUME_AFTER + 0.01


def test_what_was_in_flight_after_a_refused_part_of_the_same_submission_is_not_sent_again(wire: Wire) -> None:
    submission = FakeSubmission(*["x"] * 2_000)
    wire.core.offer("General", submission)
    one, two = wire.commands()
    wire.refuse(one, errors.Busy("later"))
    wire.refuse(two, errors.OutOfOrder("go back to 1"))
    assert wire.commands() == []
    wire.core.offer("General", FakeSubmission("next"))
    assert wire.commands()[0][3] == 1


def test_a_producer_that_was_forgotten_begins_again(wire: Wire) -> None:
    submissions = [FakeSubmission(str(number)) for number in range(3)]
    wire.core.offer("General", submissions[0])
    wire.store(wire.commands()[0])
    wire.core.offer("General", submissions[1])
    wire.core.offer("General", submissions[2])
    for send in wire.commands():
        wire.refuse(send, errors.Forgotten("begin again at 1"))
    [again] = wire.commands()
    assert (again[3], wire.texts(again)) == (1, ["1", "2"])
    wire.store(again)
    assert [submission.seqs for submission in submissions] == [[1], [2], [3]]


def test_a_message_withdrawn_while_it_waited_is_not_sent(wire: Wire) -> None:
    for number in range(BLOCKS_IN_FLIGHT):
        wire.core.offer("General", FakeSubmission(str(number)))
    sent = wire.commands()
    gone, stays = FakeSubmission("withdrawn"), FakeSubmission("stays")
    wire.core.offer("General", gone)
    wire.core.offer("General", stays)
    gone.bodies.clear()
    wire.store(sent[0])
    assert [wire.texts(send) for send in wire.commands()] == [["stays"]]


def test_a_refusal_may_overtake_the_answer_to_an_earlier_block(wire: Wire) -> None:
    one, two = FakeSubmission("1"), FakeSubmission("2")
    wire.core.offer("General", one)
    wire.core.offer("General", two)
    first, second = wire.commands()
    wire.refuse(second, errors.NotAMember("you are not in General"))
    assert [type(error) for error in two.errors] == [errors.NotAMember]
    wire.store(first)
    assert one.seqs == [1]


# -- too fast ----------------------------------------------------------------------------------------


def test_what_is_too_fast_is_sent_again_just_when_the_broker_takes_it(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", submission := FakeSubmission("one"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.Busy("too fast", detail=2_300))
    assert not submission.errors
    before = len(wire.port.sent)
    assert 2.299 <= wire.pass_time(lambda: [each[0] for each in wire.port.sent[before:]][-1:] == ["send"]) <= 2.32
    again = wire.commands("send")[-1]
    assert again[2:] == send[2:]
    wire.store(again)
    assert submission.seqs == [1]


def test_what_is_numbered_anew_does_not_wait_as_long_as_it_was_to_under_its_old_number(wire: Wire) -> None:
    _, (one, two, three) = flying(wire)
    wire.refuse(one, errors.BadBlock("no"))
    wire.refuse(two, out_of_order(1))
    wire.refuse(three, errors.Busy("too fast", detail=5_000))
    [send] = wire.commands("send")
    assert (send[3], wire.texts(send)) == (1, ["2", "3"])
    wire.refuse(send, errors.Closing("the broker is about to stop"))
    assert wire.pass_time(lambda: bool(wire.commands("send"))) <= RESUME_AFTER + 0.01


def test_other_rooms_go_on_meanwhile(wire: Wire) -> None:
    for room in ("General", "Other"):
        wire.join(room)
    wire.core.offer("General", FakeSubmission("one"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.Busy("too fast", detail=2_000))
    wire.core.offer("Other", FakeSubmission("two"))
    [other] = wire.commands("send")
    wire.refuse(other, errors.Closing("soon"))
    assert wire.pass_time(lambda: bool(wire.commands("send"))) <= RESUME_AFTER + 0.01
    assert 1.4 < wire.pass_time(lambda: bool(wire.commands("send"))) <= 1.52


def test_a_busy_broker_that_does_not_say_until_when_fails_the_send_as_before(wire: Wire) -> None:
    wire.join()
    wire.core.offer("General", submission := FakeSubmission("one"))
    [send] = wire.commands("send")
    wire.refuse(send, errors.Busy("full"))
    assert isinstance(submission.errors[0], errors.Busy)
