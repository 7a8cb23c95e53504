"""The events of all rooms through one loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.client.event_queue import LINK_EVENTS, EventQueue
from zchat.client.handler import events_of
from zchat.client.inbox import End, Inbox
from zchat.client.waiting import Deadline
from zchat.protocol.rooms.membership import Membership
from zchat.wire.blocks import join_bodies
from zchat.wire.notices import Push
from zchat.wire.values import pack

# -- events ----------------------------------------------------------------------------------------


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


def test_all_events_that_came_are_given_before_the_loss_of_the_connection() -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        alice, bob = zchat.Client(broker.url, user="alice"), zchat.Client(broker.url, user="bob")
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
    handled, evented, messaged = connect("a", on_event=print), connect("b"), connect("c")
    for client in (handled, evented, messaged):
        client.join(name)
    evented.events(timeout=0)
    messaged.join(name).messages(timeout=0)
    wrong_ways: list[Callable[[], object]] = [
        handled.events,
        handled.join(name).messages,
        evented.join(name).messages,
        messaged.events,
    ]
    for wrong in wrong_ways:
        with pytest.raises(zchat.UsageError):
            wrong()


# -- their order, without a connection ---------------------------------------------------------------


class Arriving:
    """An event queue, and the inboxes of rooms that are joined; `take` takes everything that is there."""

    def __init__(self, *rooms: str) -> None:
        self.queue = EventQueue()
        self.inboxes = {room: self._join(room) for room in rooms}

    def _join(self, room: str) -> Inbox:
        inbox = Inbox(self.queue.arrived, lambda membership: None)
        inbox.cursor.begin(zchat.Position(7, 0), 10, gap=False)
        inbox.begin(Membership(room, room, 1, inbox))
        inbox.roster.begin(room, "alice")
        inbox.roster.named(True, 1, {}, 0.0)
        self.queue.inboxes.append(inbox)
        return inbox

    def push(self, room: str, *texts: str) -> None:
        """Have messages of bob's arrive."""
        inbox = self.inboxes[room]
        after = inbox.cursor.upto
        inbox.cursor.receive(7, after + len(texts))
        block = [after + 1, 5, "bob", b"p" * 16, join_bodies([pack(text) for text in texts])]
        inbox.push(Push(room, 7, after, after + len(texts), [block]))

    def take(self) -> list[Any]:
        return [event.body if isinstance(event, zchat.Message) else event for event in events_of(self.queue, 0)]

    def take_one(self) -> Any:
        """Take one event and break off."""
        for event in events_of(self.queue, 0):
            return event.body if isinstance(event, zchat.Message) else event
        return None


LOST = zchat.Disconnected("gone")


def test_an_event_of_the_connection_comes_between_what_came_before_and_after_it() -> None:
    arriving = Arriving("General", "Sports")
    arriving.push("General", "one")
    arriving.push("Sports", "two")
    arriving.push("General", "three")
    arriving.queue.link(LOST)
    arriving.queue.link(zchat.Reconnected())
    assert arriving.take() == ["one", "two", "three", LOST, zchat.Reconnected()]


def test_who_breaks_off_at_every_event_is_given_each_once_and_in_order() -> None:
    arriving = Arriving("General")
    arriving.push("General", "one", "two")
    arriving.queue.link(LOST)
    arriving.queue.link(zchat.Reconnected())
    found = [arriving.take_one() for _ in range(5)]
    assert found == ["one", "two", LOST, zchat.Reconnected(), None]


def test_rooms_with_much_to_say_take_turns() -> None:
    arriving = Arriving("General", "Sports")
    for text in ("one", "two"):
        arriving.push("General", f"general {text}")
    arriving.push("Sports", "sports")
    assert arriving.take() == ["general one", "sports", "general two"]


def test_what_was_not_handed_over_comes_first_the_next_time() -> None:
    arriving = Arriving("General")
    arriving.queue.link(LOST)
    place = arriving.queue.first(Deadline(0))
    assert place is not None
    assert not isinstance(place, End)
    assert arriving.queue.visit(place) is not None
    arriving.queue.link(zchat.Reconnected())
    arriving.queue.leave(place)
    assert arriving.take() == [LOST, zchat.Reconnected()]


def test_a_room_that_was_left_is_given_no_turn() -> None:
    arriving = Arriving("General", "Sports")
    arriving.push("General", "one")
    arriving.push("Sports", "two")
    arriving.inboxes["General"].leave()
    arriving.queue.forget(arriving.inboxes["General"])
    assert arriving.take() == ["two"]


def test_the_end_comes_after_everything_else_and_again_for_each_who_asks() -> None:
    arriving = Arriving("General")
    arriving.push("General", "one", "two")
    arriving.queue.end(zchat.ConnectionLost("a fault"))
    assert [arriving.take_one(), arriving.take_one()] == ["one", "two"]
    for _ in range(2):
        with pytest.raises(zchat.ConnectionLost, match="a fault"):
            arriving.take()


def test_a_second_reason_for_a_loss_belongs_to_the_first_and_the_return_follows() -> None:
    queue = EventQueue()
    for _ in range(LINK_EVENTS // 3 + 1):  # the bound comes between the two reasons
        queue.link(zchat.Disconnected("cut"))
        queue.link(zchat.Disconnected("it has other keys"))
        queue.link(zchat.Reconnected())
    assert len(queue.places) == LINK_EVENTS // 3 * 3 + 3
    queue.link(zchat.Disconnected("cut"))
    queue.link(zchat.Reconnected())
    assert len(queue.places) == LINK_EVENTS // 3 * 3 + 3, "what comes beyond is left out"
