"""The events of all rooms in their order, without a connection."""

from __future__ import annotations

from typing import Any

import pytest

import zchat
from zchat.client.reading import events_of
from zchat.protocol.faces.event_queue import LINK_EVENTS, EventQueue, Visit
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.removal import Removal, removed
from zchat.threads import Bell
from zchat.wire.blocks import join_bodies
from zchat.wire.notices import Push, Removed
from zchat.wire.values import pack


class Arriving:
    """An event queue, and the inboxes of rooms that are joined; `take` takes everything that is there."""

    def __init__(self, *rooms: str) -> None:
        self.queue = EventQueue(Bell())
        self.inboxes = {room: self._join(room) for room in rooms}

    def _join(self, room: str) -> Inbox[Bell]:
        inbox = Inbox(Bell(), self.queue.arrived, lambda membership: None)
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

    def remove(self, room: str) -> Removal:
        """Have the user removed from a room."""
        removal = removed(room, Removed(room, 1, "kicked", "spam", "bob", 0))
        self.inboxes[room].removed(removal)
        return removal

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
    visit = arriving.queue.visit()
    assert isinstance(visit, Visit)
    arriving.queue.link(zchat.Reconnected())
    arriving.queue.leave(visit.place)
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


def test_an_end_that_is_recorded_twice_comes_once() -> None:
    arriving = Arriving("General")
    arriving.push("General", "one")
    for reason in ("a fault", "again"):
        arriving.queue.end(zchat.ConnectionLost(reason))
    assert arriving.take_one() == "one"
    with pytest.raises(zchat.ConnectionLost, match="a fault"):
        arriving.take()


def test_a_second_reason_for_a_loss_belongs_to_the_first_and_the_return_follows() -> None:
    queue = EventQueue(Bell())
    for _ in range(LINK_EVENTS // 3 + 1):  # the bound comes between the two reasons
        queue.link(zchat.Disconnected("cut"))
        queue.link(zchat.Disconnected("it has other keys"))
        queue.link(zchat.Reconnected())
    assert len(queue.places) == LINK_EVENTS // 3 * 3 + 3
    queue.link(zchat.Disconnected("cut"))
    queue.link(zchat.Reconnected())
    assert len(queue.places) == LINK_EVENTS // 3 * 3 + 3, "what comes beyond is left out"


def test_the_end_of_a_room_is_an_event_after_all_that_came_there_and_the_others_go_on() -> None:
    arriving = Arriving("General", "Sports")
    arriving.push("General", "one")
    arriving.push("General", "two")
    arriving.push("Sports", "three")
    removal = arriving.remove("General")
    assert arriving.take_one() == "one"
    assert arriving.take() == ["three", "two", removal.event]
    arriving.push("Sports", "four")
    assert arriving.take() == ["four"]
    assert arriving.inboxes["General"].position == (7, 2)


def test_the_end_of_a_room_that_had_nothing_is_given_once_and_the_end_of_all_follows() -> None:
    arriving = Arriving("General")
    removal = arriving.remove("General")
    arriving.queue.end(zchat.ConnectionLost("a fault"))
    assert [arriving.take_one(), removal.event] == [removal.event] * 2
    with pytest.raises(zchat.ConnectionLost):
        arriving.take()
