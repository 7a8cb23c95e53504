"""The client's core over a lost connection: when it tries again, and when it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.protocol.driver import FakeCall, FakeSubmission, Wire
from tests.protocol.test_send_queue import flying
from zchat import errors
from zchat.protocol.core import PARTING_SECONDS
from zchat.protocol.heartbeat import STALL
from zchat.protocol.reconnect import GREET_SECONDS, RETRY_FIRST, RETRY_MAX, SHUT_SECONDS, STEADY, ConnectionState
from zchat.wire.limits import OLDEST_VERSION, VERSION
from zchat.wire.values import pack

# -- the next connection ---------------------------------------------------------------------------


def test_after_a_loss_it_greets_again_over_a_fresh_connection_with_the_same_token(wire: Wire) -> None:
    wire.core.lost("a cable was cut")
    assert str(wire.lost_with()) == "a cable was cut"
    assert RETRY_FIRST <= wire.connected_anew() <= RETRY_MAX
    assert wire.greet()[2:] == [OLDEST_VERSION, VERSION, "alice", b"p" * 16, b"t" * 16, 0, 2]
    assert wire.core.state is ConnectionState.OPEN
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


def test_a_broker_that_lets_nobody_in_has_a_second_before_the_next_connection(wire: Wire) -> None:
    waits = []
    wire.core.lost("cut")
    wire.connected_anew()
    for _ in range(20):
        wire.now += 0.3  # that it slept since the last tick
        wire.core.shut_out(errors.Busy("full"), wire.now)
        waits.append(wire.connected_anew())
    assert all(SHUT_SECONDS <= wait <= SHUT_SECONDS + RETRY_MAX + 0.01 for wait in waits)
    assert len(set(waits)) == 20, "no two clients come at the same times"
    wire.core.lost("cut")
    assert wire.connected_anew() <= RETRY_MAX


def test_close_does_not_hasten_to_a_broker_that_lets_nobody_in(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.connected_anew()
    wire.core.shut_out(errors.Busy("full"), wire.now)
    before = wire.port.connections
    wire.core.close(wire.now + 5)
    wire.pass_time(lambda: wire.core.over)
    assert wire.port.connections == before


def test_a_broker_that_lets_nobody_in_at_first_ends_it_with_that_error() -> None:
    wire = Wire(greet=False)
    wire.core.shut_out(errors.Busy("full"), wire.now)
    assert isinstance(wire.failed_with(), errors.Busy)


@pytest.mark.parametrize("error", [errors.BadName("no"), errors.VersionRefused("no"), errors.Superseded("no")])
def test_a_greeting_refused_for_good_ends_it_with_that_error(wire: Wire, error: errors.Refused) -> None:
    submission, call = FakeSubmission("on its way"), FakeCall()
    wire.core.offer("General", submission)
    wire.core.ask("rooms", (None, 5), call)
    wire.core.lost("cut")
    wire.connected_anew()
    wire.refuse(wire.commands("hello")[-1], error)
    assert type(wire.failed_with()) is type(error)
    assert type(call.error) is type(error)
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)


def test_what_comes_between_two_connections_is_ignored(wire: Wire) -> None:
    feed, _ = wire.join()
    wire.core.lost("cut")
    wire.say("push", "General", 77, 0, 3, [])
    wire.say("end", "superseded", "late", False)
    wire.say("nonsense")
    assert feed.notices == []
    assert wire.core.state is ConnectionState.LOST


def test_nothing_is_sent_between_two_connections(wire: Wire) -> None:
    _, membership = wire.join()
    wire.say("push", "General", 77, 0, 3, [])
    wire.core.lost("cut")
    wire.take(membership, 1)
    wire.core.offer("General", FakeSubmission("x"))
    wire.core.ask("rooms", (None, 5), FakeCall())
    assert wire.commands() == []


# -- the end ---------------------------------------------------------------------------------------


def test_close_between_connections_tries_once_at_once_to_say_goodbye(wire: Wire) -> None:
    wire.join()
    wire.core.lost("cut")
    wire.core.close(wire.now + 5)
    wire.core.tick(wire.now)
    wire.greet()
    wire.rejoin()
    [bye] = wire.commands()
    wire.ok(bye)
    assert wire.failed_with() is None


def test_close_between_connections_soon_gives_up_if_nothing_waits(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.core.close(wire.now + 5)
    assert wire.core.tick(wire.now) == pytest.approx(wire.now + PARTING_SECONDS)
    wire.core.tick(wire.now + PARTING_SECONDS)
    assert wire.failed_with() is None


def test_close_between_connections_ends_with_the_one_that_it_tries(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.core.close(wire.now + 5)
    wire.core.tick(wire.now)
    wire.core.lost("refused")
    assert wire.failed_with() is None


def test_close_between_connections_without_time_ends_at_once(wire: Wire) -> None:
    wire.core.lost("cut")
    wire.core.close(wire.now)
    wire.core.tick(wire.now)
    assert wire.failed_with() is None


@pytest.mark.parametrize("lost", [False, True])
def test_close_goes_on_trying_for_what_was_accepted(wire: Wire, lost: bool) -> None:
    [submission], _ = flying(wire, 1)
    steps: list[Callable[[], None]] = [lambda: wire.core.close(wire.now + 5), lambda: wire.core.lost("cut")]
    for step in reversed(steps) if lost else steps:
        step()
    wire.connected_anew()
    wire.greet()
    wire.rejoin()
    [send] = wire.commands()
    assert wire.core.state is ConnectionState.CLOSING
    wire.store(send)
    [bye] = wire.commands()
    wire.ok(bye)
    assert submission.seqs == [1]
    assert wire.failed_with() is None


def test_close_between_connections_gives_up_at_its_deadline(wire: Wire) -> None:
    [submission], _ = flying(wire, 1)
    waits = FakeSubmission("waits")
    wire.core.lost("cut")
    wire.core.offer("Sports", waits)
    wire.core.close(wire.now + 2)
    wire.pass_time(lambda: wire.core.over)
    assert wire.failed_with() is None
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)
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
