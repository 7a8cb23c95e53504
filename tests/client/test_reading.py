"""The events of all rooms through one loop, and messages through another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.faces import Face
from tests.running import DEADLINE, eventually
from zchat.broker import Broker


def test_events_of_all_rooms_come_through_one_loop(connect: Connect, name: str) -> None:
    alice, bob = connect("alice"), connect("bob")
    rooms = [f"{name} {number}" for number in range(3)]
    for room in rooms:
        bob.join(room)
    for number in range(10):
        for room in rooms:
            alice.join(room).send(number)
    heard: dict[str, list[Any]] = {room: [] for room in rooms}
    while sum(map(len, heard.values())) < 30:
        for event in bob.events(timeout=DEADLINE):
            if isinstance(event, zchat.Message):
                heard[event.room].append(event.body)
            break  # and what was not taken comes in the next loop
    assert all(bodies == list(range(10)) for bodies in heard.values())
    assert not [event for event in bob.events(timeout=0) if isinstance(event, zchat.Message)]


def test_all_events_that_came_are_given_before_the_loss_of_the_connection(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        alice, bob = face.client(broker.url, user="alice"), face.client(broker.url, user="bob")
        rooms = [bob.join(name) for name in ("General", "Sports")]
        for number in range(3):
            for room in rooms:
                alice.join(room.name).send(number)
        eventually(lambda: all(room._inbox.cursor.received == 3 for room in rooms), "all is there")
        next(bob.events(timeout=DEADLINE))
    heard: list[zchat.Event] = []
    for event in bob.events(timeout=DEADLINE):
        if isinstance(event, zchat.Disconnected):
            break
        heard.append(event)
    assert sum(isinstance(event, zchat.Message) for event in heard) in (5, 6)
    alice.close()
    bob.close()


def test_a_gap_is_an_event(connect: Connect, name: str) -> None:
    connect("alice").join(name).send_many(range(5))
    bob = connect("bob")
    bob.join(name, after=zchat.Position(12345, 3))
    assert next(bob.events(timeout=DEADLINE)) == zchat.Gap(name, 3, 5, zchat.GapReason.RESET)


def test_events_are_taken_in_one_way_only(connect: Connect, name: str) -> None:
    evented, messaged = connect("b"), connect("c")
    evented.events(timeout=0)
    messaged.join(name).messages(timeout=0)
    wrong_ways: list[Callable[[], object]] = [evented.join(name).messages, messaged.events]
    for wrong in wrong_ways:
        with pytest.raises(zchat.UsageError):
            wrong()


@pytest.mark.threads_alone("a handler is theirs")
def test_what_a_handler_is_given_is_not_taken_in_another_way(connect: Connect, name: str) -> None:
    handled = connect("a", on_event=print)
    wrong_ways: list[Callable[[], object]] = [handled.events, handled.join(name).messages]
    for wrong in wrong_ways:
        with pytest.raises(zchat.UsageError):
            wrong()
