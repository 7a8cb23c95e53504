"""The client's core by itself: greeting, what a faulty broker may send, and the end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.protocol.driver import FakeCall, FakeFeed, FakePort, FakeSubmission, Wire
from zchat import errors
from zchat.protocol.core import ClientCore
from zchat.protocol.reconnect import ConnectionState
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT
from zchat.wire.limits import MAX_BLOCK_MESSAGES, OLDEST_VERSION, VERSION
from zchat.wire.values import pack

# -- greeting --------------------------------------------------------------------------------------


def test_the_first_word_is_a_greeting_and_nothing_else_goes_out_before_its_answer() -> None:
    wire = Wire(greet=False)
    call, submission = FakeCall(), FakeSubmission("early")
    wire.core.ask("rooms", (None, 5), call)
    wire.core.offer("General", submission)
    [hello] = wire.commands()
    assert hello == ["hello", 1, OLDEST_VERSION, VERSION, "alice", b"p" * 16, b"t" * 16, 0, 1]
    wire.ok(hello, 1, "alice", 10, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 10_000, "a later version's field")
    assert [command[0] for command in wire.commands()] == ["rooms", "send"]
    assert wire.port.welcome is not None
    assert wire.port.welcome.window == 10


def test_a_refused_version_says_which_the_broker_speaks(wire: Wire) -> None:
    wire = Wire(greet=False)
    wire.say("error", wire.commands()[0][1], "version", "too old", False, None, 2, 5)
    refused = wire.failed_with()
    assert isinstance(refused, errors.VersionRefused)
    assert refused.versions == (2, 5)


@pytest.mark.parametrize("refusal", [errors.VersionRefused("too old"), errors.Busy("full")])
def test_a_refused_greeting_ends_it_with_the_brokers_reason(refusal: errors.Refused) -> None:
    wire = Wire(greet=False)
    call = FakeCall()
    wire.core.ask("rooms", (None, 5), call)
    wire.refuse(wire.commands()[0], refusal)
    assert type(wire.failed_with()) is type(refusal)
    assert type(call.error) is type(refusal)


def test_a_greeting_that_takes_the_place_of_another_is_of_a_later_connection_and_its_answer_alone_counts() -> None:
    wire = Wire(greet=False)
    [first] = wire.commands()
    wire.core.greet()
    [second] = wire.commands()
    assert second[-1] == first[-1] + 1, "the first may arrive yet, and this one is no older"
    welcome = (1, "alice", 10, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 10_000)
    wire.ok(second, *welcome)
    assert wire.core.connected
    assert not wire.core.over


def test_a_greeting_that_is_answered_with_too_little_ends_it() -> None:
    wire = Wire(greet=False)
    wire.ok(wire.commands()[0], 1, "alice")
    assert isinstance(wire.failed_with(), errors.ProtocolError)


# -- faults of the broker --------------------------------------------------------------------------


def test_a_notification_that_does_not_follow_the_last_one_ends_it(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("push", "General", 77, 4, 6, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_blocks_answered_out_of_order_end_it_and_nobody_is_left_waiting(wire: Wire) -> None:
    one, two = FakeSubmission("1"), FakeSubmission("2")
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
def test_a_malformed_answer_ends_it_and_its_caller_is_reported(wire: Wire, result: list[Any]) -> None:
    call = FakeCall()
    wire.core.join("General", None, True, call, FakeFeed())
    wire.ok(wire.commands()[0], *result)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(call.error, errors.ProtocolError)


@pytest.mark.parametrize("result", [[], [1, 2], ["x", 1, 1], [None, 1, 1]])
def test_a_malformed_answer_to_a_block_ends_it_and_its_sender_is_reported(wire: Wire, result: list[Any]) -> None:
    wire.core.offer("General", submission := FakeSubmission("x"))
    wire.ok(wire.commands()[0], *result)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)


def test_an_answer_to_nothing_is_ignored(wire: Wire) -> None:
    wire.say("ok", 99)
    wire.say("error", 99, "busy", "later", True, None)
    assert not wire.core.over


# -- the end ---------------------------------------------------------------------------------------


def test_no_session_means_that_the_connection_is_lost(wire: Wire) -> None:
    call, sent, waits = FakeCall(), FakeSubmission("on its way"), FakeSubmission(*["x"] * 9_000)
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


def test_an_end_has_its_detail(wire: Wire) -> None:
    wire.say("end", "banned", "you are banned here", False, 1_767_229_200)
    error = wire.failed_with()
    assert isinstance(error, errors.Banned)
    assert error.until == 1_767_229_200


def test_what_is_asked_after_the_end_fails_at_once(wire: Wire) -> None:
    wire.core.fail("a cable was cut")
    call, join, submission = FakeCall(), FakeCall(), FakeSubmission("x")
    wire.core.ask("rooms", (None, 5), call)
    wire.core.join("General", None, True, join, FakeFeed())
    wire.core.offer("General", submission)
    for error in (call.error, join.error, submission.errors[0]):
        assert isinstance(error, errors.ConnectionLost)
        assert "a cable was cut" in str(error)
    wire.say("push", "General", 1, 2, 3, [])
    wire.core.close(0)
    wire.core.lost("again")
    wire.core.fail("again")
    assert len(wire.port.ends) == 1
    assert wire.port.losses == []


def test_an_end_that_was_broken_off_is_done_once_more_and_no_more_after_that(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(_: object) -> None:
        raise KeyboardInterrupt

    wire.core.ask("rooms", (None, 5), call := FakeCall())
    with monkeypatch.context() as patch:
        patch.setattr(wire.core._requests, "fail", broken_off)
        with pytest.raises(KeyboardInterrupt):
            wire.core.fail("a cable was cut")
    assert (call.done, wire.port.ends) == (False, [])
    wire.core.fail("again")
    wire.core.fail("again")
    assert "a cable was cut" in str(call.error)
    assert [str(each) for each in wire.port.ends] == ["a cable was cut"]


def test_close_finishes_what_was_accepted_then_says_goodbye(wire: Wire) -> None:
    wire.core.offer("General", submission := FakeSubmission(*["x"] * (MAX_BLOCK_MESSAGES * (BLOCKS_IN_FLIGHT + 1))))
    wire.core.ask("rooms", (None, 5), call := FakeCall())
    wire.core.close(wire.now + 5)
    while sent := wire.commands():
        assert "bye" not in [command[0] for command in sent] or len(sent) == 1
        for command in sent:
            if command[0] == "send":
                wire.store(command)
            else:
                wire.ok(command, *([[], False] if command[0] == "rooms" else []))
    assert len(submission.seqs) == MAX_BLOCK_MESSAGES * (BLOCKS_IN_FLIGHT + 1)
    assert call.done
    assert wire.failed_with() is None
    assert wire.port.sent[-1][0] == "bye"


def test_nothing_is_said_after_the_goodbye(wire: Wire) -> None:
    _, membership = wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.core.close(wire.now + 5)
    assert [command[0] for command in wire.commands()] == ["bye"]
    wire.say("state", 1, [], [])
    wire.core.typing(membership, True, wire.now)
    wire.core.credit(membership)
    assert wire.commands() == []


def test_close_gives_up_at_its_deadline(wire: Wire) -> None:
    wire.core.offer("General", submission := FakeSubmission("x"))
    wire.core.close(wire.now + 2)
    assert wire.core.tick(wire.now) <= wire.now + 2
    wire.now += 2
    wire.core.tick(wire.now)
    assert wire.failed_with() is None
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)
    assert wire.port.sent[-1][0] == "bye", "the user leaves even so"


def test_close_while_greeting_says_goodbye_and_ends_at_once() -> None:
    wire = Wire(greet=False)
    wire.core.close(wire.now + 5)
    assert [command[0] for command in wire.port.sent[-2:]] == ["hello", "bye"]
    assert wire.failed_with() is None


def test_close_before_the_greeting_says_nothing_and_ends_at_once() -> None:
    port = FakePort()
    core = ClientCore(port, "alice", bytes(16), bytes(16), 0, Random(1))
    core.close(5.0)
    assert core.over
    assert port.sent == []


# -- states ----------------------------------------------------------------------------------------


def test_states_go_one_way(wire: Wire) -> None:
    states = [wire.core.state]
    wire.core.close(wire.now + 5)
    states.append(wire.core.state)
    wire.ok(wire.commands("bye")[0])
    states.append(wire.core.state)
    assert states == [ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.ENDED]
