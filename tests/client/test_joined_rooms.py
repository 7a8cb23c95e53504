"""Which rooms a client is in: joining, leaving, and joining again."""

from __future__ import annotations

from functools import partial

import pytest

import zchat
from tests.client.driver import Connect
from tests.running import eventually
from zchat.client.waiting import Answer
from zchat.deadline import Deadline


def test_joining_twice_gives_the_same_room_whatever_its_case(connect: Connect, name: str) -> None:
    client = connect()
    room = client.join(name)
    assert client.join(name.upper()) is room
    assert room.name == name
    assert name in repr(room)
    with pytest.raises(zchat.UsageError):
        client.join(name, after=zchat.START)


def test_leaving_a_room_object_twice_does_not_leave_the_room_that_was_joined_since(connect: Connect, name: str) -> None:
    client = connect()
    old = client.join(name)
    old.leave()
    new = client.join(name)
    old.leave()
    assert client.join(name) is new
    new.send("still there")


def test_a_room_object_that_was_left_sends_nothing_though_the_room_is_joined_again(connect: Connect, name: str) -> None:
    client = connect()
    old = client.join(name)
    old.leave()
    client.join(name)
    for send in (lambda: old.send("x"), lambda: old.send_many(["x"])):
        with pytest.raises(zchat.NotAMember):
            send()
    assert client.history(name) == []


@pytest.mark.parametrize("taken", [False, True])
def test_coming_and_going_leaves_nothing_behind_in_the_client(connect: Connect, name: str, taken: bool) -> None:
    alice, bob = connect("alice").join(name), connect("bob")
    if taken:
        bob.events(timeout=0)
    for number in range(20):
        room = bob.join(name)
        alice.send(number)
        eventually(partial(getattr, room._inbox, "waiting"), "the message is there")
        room.leave()
    assert len(bob._link.events.places) <= 1
    assert bob._link.events.inboxes == []


def test_a_room_is_not_made_if_it_is_not_to_be(connect: Connect, name: str) -> None:
    with pytest.raises(zchat.NoSuchRoom):
        connect().join(name, create=False)
    with pytest.raises(zchat.NoSuchRoom):
        connect().history(name)


@pytest.mark.parametrize("bad", ["", "#x", " x", "x\n", "\ud800", "x" * 65])
def test_a_bad_name_is_refused(connect: Connect, bad: str) -> None:
    client = connect()
    with pytest.raises(zchat.BadName):
        client.join(bad)
    with pytest.raises(zchat.BadName):
        client.history(bad)
    with pytest.raises(zchat.BadName):
        connect(bad)
    client.rooms()


@pytest.mark.threads_alone("a task is cancelled instead: tests/aio/test_client.py")
def test_a_join_that_is_interrupted_leaves_nothing_behind(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    arrived = Answer.wait

    def interrupted(answer: Answer, deadline: Deadline, what: str) -> None:
        arrived(answer, deadline, what)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Answer, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.join(name)
    eventually(lambda: client._link.events.inboxes == [], "nothing is kept of it")
    found = {room.name: room.members for room in client.rooms()}
    assert found.get(name, 0) == 0
    client.join(name).send("x")
