"""Pings, and silence: the broker's, and one's own."""

from __future__ import annotations

from tests.protocol.driver import FakeCall, Wire
from zchat import errors
from zchat.protocol.heartbeat import STALL


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
