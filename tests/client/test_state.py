"""The room is alive, through the library: who is here, who types, how far each has read, rooms of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

import zchat
from tests.faces import Face
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.protocol.faces import invitations

Connect = Callable[..., "Watched"]


class Watched:
    """A client whose handler keeps what it receives, and in `rooms` what it was invited to."""

    def __init__(self, face: Face, url: str, user: str, **options: Any) -> None:
        self.told: list[zchat.Event] = []
        self.client = face.client(url, user=user, on_event=self.told.append, **options)

    def join(self, name: str) -> zchat.Room:
        """Join a room and wait until the broker has told who is here: of who comes from then on there are events."""
        room = self.client.join(name)
        eventually(lambda: room.member_count, f"{self.client.user} knows who is in {name}")
        return room

    def heard(self, *events: zchat.Event) -> None:
        """Wait until it has received all of these, in this order, others between them or not."""

        def all_told() -> bool:
            told = iter(list(self.told))
            return all(event in told for event in events)

        eventually(all_told, f"{self.client.user} receives {events}")

    def bodies(self, room: str) -> list[Any]:
        return [event.body for event in list(self.told) if isinstance(event, zchat.Message) and event.room == room]

    def hears(self, room: str, *bodies: Any) -> None:
        """Wait until that is what was said in a room."""
        eventually(lambda: len(self.bodies(room)) >= len(bodies), f"{self.client.user} hears {bodies} in {room}")
        assert self.bodies(room) == list(bodies)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture
def connect(face: Face, broker: Broker) -> Iterator[Connect]:
    """Give a function that connects a client which keeps its events."""
    with ExitStack() as stack:

        def connect(user: str, url: str = broker.url, **options: Any) -> Watched:
            watched = Watched(face, url, user, **options)
            stack.enter_context(watched.client)
            return watched

        yield connect


def unread(client: zchat.Client) -> dict[str, int | None]:
    return {room.name: room.unread for room in client.rooms()}


# -- presence --------------------------------------------------------------------------------------


def test_who_comes_and_goes_is_reported_to_the_others(connect: Connect) -> None:
    alice, bob = connect("alice"), connect("bob")
    general = alice.join("General")
    bobs = bob.client.join("General")
    alice.heard(zchat.MemberJoined("General", "bob"))
    eventually(lambda: general.member_count == bobs.member_count == 2, "both are here")
    assert [member.user for member in general.members()] == ["alice", "bob"]
    bobs.leave()
    alice.heard(zchat.MemberJoined("General", "bob"), zchat.MemberLeft("General", "bob"))
    assert [event for event in bob.told if isinstance(event, zchat.MemberJoined | zchat.MemberLeft)] == []
    assert [member.user for member in bob.client.members("General")] == ["alice"]


def test_a_user_with_two_sessions_joins_once_and_leaves_with_the_last(connect: Connect) -> None:
    alice = connect("alice")
    alice.join("General")
    sessions = [connect("bob").client for _ in range(2)]
    for session in sessions:
        session.join("General")
    alice.heard(zchat.MemberJoined("General", "bob"))
    sessions[0].close()
    carol = connect("carol").client
    carol.join("General")
    alice.heard(zchat.MemberJoined("General", "carol"))
    sessions[1].close()
    alice.heard(zchat.MemberLeft("General", "bob"))
    assert [event.user for event in alice.told if isinstance(event, zchat.MemberLeft)] == ["bob"]
    assert [event.user for event in alice.told if isinstance(event, zchat.MemberJoined)] == ["bob", "carol"]


def test_members_are_asked_for_in_pages(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.protocol.faces.steps.MEMBERS_PAGE", 2)
    names = [f"user{number}" for number in range(5)]
    clients = [connect(name).client for name in names]
    general, *_ = [client.join("General") for client in clients]
    members = general.members()
    assert [member.user for member in members] == names
    assert all(member.since > 1_600_000_000_000_000 and member.mark == 0 for member in members)
    with pytest.raises(zchat.NoSuchRoom):
        clients[0].members("nowhere")


def test_a_large_room_tells_counts_and_gives_names_to_those_who_ask(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*", names=2) as broker, ExitStack() as stack:
        alice = Watched(face, broker.url, "alice")
        stack.enter_context(alice.client)
        general = alice.join("General")
        for name in ("bob", "carol"):
            stack.enter_context(face.client(broker.url, user=name)).join("General")
        alice.heard(zchat.Crowd("General", 3, 0, 0))
        assert general.member_count == 3
        assert [member.user for member in general.members()] == ["alice", "bob", "carol"]


def test_clients_that_take_messages_keep_no_events_and_know_the_count(face: Face, broker: Broker) -> None:
    with face.client(broker.url, user="alice") as alice, face.client(broker.url, user="bob") as bob:
        general = alice.join("General")
        assert list(general.messages(timeout=0)) == []
        bob.join("General").send("x")
        assert next(general.messages(timeout=DEADLINE)).body == "x"
        eventually(lambda: general.member_count == 2, "bob is here")
        assert not alice._link.events.places


def test_a_broker_that_is_started_again_makes_nobody_leave_and_come(face: Face, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal, ExitStack() as stack:
        watched = [Watched(face, mortal.url, name) for name in ("alice", "bob")]
        for each in watched:
            stack.enter_context(each.client)
        rooms = [each.join("General") for each in watched]
        watched[0].heard(zchat.MemberJoined("General", "bob"))
        eventually(lambda: all(room.member_count == 2 for room in rooms), "both are here")
        for each in watched:
            each.told.clear()
        mortal.kill()
        mortal.start()
        rooms[0].send("back", timeout=DEADLINE)
        watched[1].hears("General", "back")
        eventually(lambda: all(room.member_count == 2 for room in rooms), "both are here")
        kinds = {type(event) for each in watched for event in each.told}
        assert kinds == {zchat.Disconnected, zchat.Reconnected, zchat.Message}


# -- typing ----------------------------------------------------------------------------------------


def test_typing_is_reported_to_the_others_and_ends_with_the_message(connect: Connect) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.join("General")
    general = bob.client.join("General")
    for _ in range(50):
        general.typing()
    alice.heard(zchat.Typing("General", "bob", True))
    general.send("there")
    alice.heard(zchat.Typing("General", "bob", True), zchat.Typing("General", "bob", False))
    assert sum(isinstance(event, zchat.Typing) for event in alice.told) == 2
    assert not [event for event in bob.told if isinstance(event, zchat.Typing)]


def test_typing_can_be_ended_without_a_message(connect: Connect) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.join("General")
    general = bob.client.join("General")
    general.typing()
    alice.heard(zchat.Typing("General", "bob", True))
    general.typing(False)
    alice.heard(zchat.Typing("General", "bob", True), zchat.Typing("General", "bob", False))


# -- read marks ------------------------------------------------------------------------------------


def test_read_marks_are_reported_to_the_others_and_give_unread_counts(connect: Connect) -> None:
    alice, bob = connect("alice"), connect("bob")
    said = alice.join("General")
    room = bob.client.join("General")
    said.send_many(range(10))
    bob.hears("General", *range(10))
    assert unread(bob.client)["General"] is None
    room.mark_read(4)
    alice.heard(zchat.ReadMark("General", "bob", 4))
    room.mark_read()
    alice.heard(zchat.ReadMark("General", "bob", 4), zchat.ReadMark("General", "bob", 10))
    room.mark_read(7)
    said.send("one more")
    eventually(lambda: unread(bob.client)["General"] == 1, "one is new")
    assert not [event for event in bob.told if isinstance(event, zchat.ReadMark)]
    assert {member.user: member.mark for member in said.members()} == {"alice": 0, "bob": 10}


def test_a_mark_that_another_session_of_the_user_moves_is_reported(connect: Connect) -> None:
    first, second = connect("alice"), connect("alice")
    room = first.client.join("General")
    second.join("General")
    room.send_many(range(3))
    room.mark_read()
    second.heard(zchat.ReadMark("General", "alice", 3))
    assert not [event for event in first.told if isinstance(event, zchat.ReadMark)]


def test_a_room_is_marked_without_being_joined(connect: Connect) -> None:
    alice, bob = connect("alice").client, connect("bob").client
    alice.join("General").send_many(range(5))
    assert bob.mark_read("General", 3) == 3
    assert bob.mark_read("General", 2) == 3, "it never goes back"
    assert bob.mark_read("General", 1_000) == 5, "nor beyond the end"
    assert unread(bob)["General"] == 0
    with pytest.raises(zchat.NoSuchRoom):
        bob.mark_read("nowhere", 1)


def test_marks_and_unread_counts_survive_the_broker(face: Face, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        with face.client(mortal.url, user="alice") as alice, face.client(mortal.url, user="bob") as bob:
            room = bob.join("General")
            alice.join("General").send_many(range(10))
            mortal.kill()
            room.mark_read(6)  # without a broker: it is kept until there is one
            mortal.start()
            assert alice.join("Sports", timeout=DEADLINE)
        with face.client(mortal.url, user="bob") as bob:
            assert unread(bob)["General"] == 4


@pytest.mark.parametrize("seq", [-1, "3", 1.5, True, 2**64])
def test_what_is_no_seq_can_not_be_marked(connect: Connect, seq: Any) -> None:
    client = connect("alice").client
    with pytest.raises(zchat.UsageError):
        client.join("General").mark_read(seq)
    with pytest.raises(zchat.UsageError):
        client.mark_read("General", seq)


# -- direct rooms ----------------------------------------------------------------------------------


def test_a_direct_message_arrives_like_any_other(connect: Connect) -> None:
    alice, bob, carol = connect("alice"), connect("bob"), connect("carol")
    direct = alice.client.direct("bob")
    assert direct.name == "@bob"
    stored = direct.send("psst")
    assert stored.room == "@bob"
    bob.heard(zchat.Invited("@alice", "alice"), zchat.Message("@alice", 1, stored.timestamp, "alice", "psst"))
    answer = bob.client.direct("alice").send("what?")
    alice.heard(zchat.Message("@bob", 2, answer.timestamp, "bob", "what?"))
    assert [message.room for message in bob.client.history("@alice")] == ["@alice"] * 2
    assert carol.told == []
    assert not [room for room in carol.client.rooms() if room.name.startswith("@")]
    with pytest.raises(zchat.BadName):
        carol.client.direct("carol")


def test_both_names_lead_to_the_same_direct_room(connect: Connect) -> None:
    alice = connect("alice").client
    room = alice.direct("bob")
    assert alice.join("@bob") is alice.join("@BOB") is alice.direct("Bob") is room
    assert [info.name for info in alice.rooms() if info.name.startswith("@")] == ["@bob"]
    assert [member.user for member in alice.members("@bob")] == ["alice"]


@pytest.mark.parametrize("name", ["@", "@alice", "@alice\nbob", "@@bob", "@ bob"])
def test_what_names_no_other_user_is_no_direct_room(connect: Connect, name: str) -> None:
    alice = connect("alice").client
    with pytest.raises(zchat.BadName):
        alice.join(name)
    with pytest.raises(zchat.BadName):
        alice.history(name)


def test_who_comes_online_later_gets_what_was_said_once(connect: Connect) -> None:
    alice = connect("alice")
    direct = alice.client.direct("bob")
    direct.send_many(["one", "two"])
    bob = connect("bob")
    bob.hears("@alice", "one", "two")
    alice.heard(zchat.ReadMark("@bob", "bob", 2))
    bob.client.close()
    direct.send("three")
    again = connect("bob")
    again.hears("@alice", "three")


def test_the_mark_moves_over_own_answers_too(connect: Connect) -> None:
    alice = connect("alice")
    alice.client.direct("bob").send("hi")
    bob = connect("bob")
    bob.hears("@alice", "hi")
    bob.client.direct("alice").send("hi yourself")
    alice.heard(zchat.ReadMark("@bob", "bob", 2))
    assert unread(bob.client)["@alice"] == 0


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "not waiting"])
def test_a_direct_room_that_was_left_comes_back_with_the_next_message(connect: Connect, waits: bool) -> None:
    alice, bob = connect("alice"), connect("bob")
    direct = alice.client.direct("bob")
    direct.send("one")
    bob.hears("@alice", "one")
    alice.heard(zchat.ReadMark("@bob", "bob", 1))
    with nullcontext() if waits else pytest.raises(zchat.DeadlineExceeded):
        bob.client.direct("alice").leave(timeout=DEADLINE if waits else 0)
    alice.heard(zchat.MemberLeft("@bob", "bob"))
    direct.send("two")
    bob.hears("@alice", "one", "two")
    assert [type(event) for event in bob.told].count(zchat.Invited) == 2


@pytest.mark.parametrize("number", range(20))
def test_however_they_come_together_there_is_one_room(connect: Connect, number: int) -> None:
    alice, bob = connect("alice"), connect("bob")
    found: list[zchat.Room] = []
    start = Barrier(3)

    def join() -> None:
        start.wait(DEADLINE)
        found.append(bob.client.direct("alice", timeout=DEADLINE))

    threads = [Thread(target=join) for _ in range(2)]
    for thread in threads:
        thread.start()
    direct = alice.client.direct("bob")
    start.wait(DEADLINE)
    direct.send("hi")
    for thread in threads:
        thread.join(DEADLINE)
    assert found == [bob.client.direct("alice")] * 2
    direct.send("again")
    eventually(lambda: "again" in bob.bodies("@alice"), "it is read")
    assert bob.bodies("@alice") in (["hi", "again"], ["again"]), "from the invitation on, or from the join on"
    assert len(bob.client._link.events.inboxes) == len(bob.client._rooms._rooms) == 1


def test_who_takes_messages_reads_on_where_the_invitation_says(face: Face, broker: Broker) -> None:
    with face.client(broker.url, user="alice") as alice, face.client(broker.url, user="bob") as bob:
        alice.direct("bob").send("unread")
        eventually(lambda: bob._rooms.invitations.waiting, "the invitation is there")
        members = {info.name: info.members for info in bob.rooms()}
        assert members["@alice"] == 1, "and nobody is in a room in which he does not read"
        room = bob.direct("alice")
        assert next(room.messages(timeout=DEADLINE)).body == "unread"


def test_invitations_are_taken_up_when_the_application_begins_to_take_events(face: Face, broker: Broker) -> None:
    with face.client(broker.url, user="alice") as alice, face.client(broker.url, user="bob") as bob:
        stored = alice.direct("bob").send("hi")
        eventually(lambda: bob._rooms.invitations.waiting, "the invitation is there")
        events = bob.events(timeout=DEADLINE)
        assert next(events) == zchat.Invited("@alice", "alice")
        assert next(event for event in events if isinstance(event, zchat.Message)) == stored._replace(room="@alice")


def test_the_marks_of_direct_rooms_may_be_left_to_the_application(face: Face, broker: Broker) -> None:
    with (
        face.client(broker.url, user="alice") as alice,
        face.client(broker.url, user="bob", invitations="unmarked") as bob,
        face.client(broker.url, user="bob", invitations=False) as looker,
    ):
        alice.direct("bob").send_many(["one", "two"])
        events = bob.events(timeout=DEADLINE)
        assert next(events) == zchat.Invited("@alice", "alice")
        for body in ("one", "two"):
            assert next(event for event in events if isinstance(event, zchat.Message)).body == body
        bob.direct("alice").mark_read(1)
        eventually(lambda: unread(looker)["@alice"] == 1, "that one is read")
        bob.close()
        assert unread(looker)["@alice"] == 1


def test_invitations_can_be_switched_off(connect: Connect) -> None:
    alice, bob = connect("alice"), connect("bob", invitations=False)
    alice.client.direct("bob").send("hi")
    bob.client.join("General")
    alice.client.join("General").send("the broker has told all that it has to tell")
    bob.hears("General", "the broker has told all that it has to tell")
    assert bob.bodies("@alice") == []
    assert bob.client._rooms.invitations.waiting == {}


def test_invitations_may_be_reported_alone_as_often_as_something_is_written(face: Face, broker: Broker) -> None:
    with (
        face.client(broker.url, user="alice") as alice,
        face.client(broker.url, user="bob", invitations="report") as bob,
    ):
        direct = alice.direct("bob")
        events = bob.events(timeout=DEADLINE)
        for _ in range(2):
            direct.send("hi")
            assert next(events) == zchat.Invited("@alice", "alice")
        assert [room.unread for room in bob.rooms() if room.name == "@alice"] == [None]
        assert [member.user for member in direct.members()] == ["alice"], "nobody is in a room by itself"
        room = bob.direct("alice")
        direct.send("again")
        assert next(event for event in events if isinstance(event, zchat.Message)).body == "again"
        assert room.position.seq == 3
    with pytest.raises(zchat.UsageError, match="invitations is True or False"):
        face.client(broker.url, user="bob", invitations="no")


def test_invitations_that_nobody_takes_up_are_bounded(
    face: Face, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_INVITATIONS", 2)
    with face.client(broker.url, user="bob") as bob:
        for name in ("alice", "carol", "dave"):
            with face.client(broker.url, user=name) as other:
                other.direct("bob").send("hi")
        eventually(lambda: len(bob._rooms.invitations.waiting) == 2, "two are kept")
        assert [info.name for info in bob.rooms() if info.name[0] == "@"] == ["@alice", "@carol", "@dave"]
        assert len(bob._rooms.invitations.waiting) == 2


def test_those_who_write_leave_places_for_the_rooms_that_the_application_joins(
    face: Face, broker: Broker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_INVITED", 2)
    bob = connect("bob")

    def invited() -> list[str]:
        return [event.user for event in bob.told if isinstance(event, zchat.Invited)]

    def knows(name: str) -> bool:
        return name in [*invited(), *(invitation.user for invitation in list(waiting.values()))]

    waiting = bob.client._rooms.invitations.waiting
    for name in ("alice", "carol", "dave", "erin"):
        with face.client(broker.url, user=name) as other:
            other.direct("bob").send("hi")
        # One after the other: a room that was reported just now is reported again a moment later.
        eventually(partial(knows, name), "bob knows of it")
    assert len(waiting) == 2
    assert invited() == ["alice", "carol"]
    bob.client.direct("dave")
    bob.hears("@dave", "hi")
    bob.client.direct("alice").leave()
    bob.hears("@erin", "hi")


def test_a_direct_room_lives_through_a_broker_that_is_started_again(face: Face, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal, ExitStack() as stack:
        alice, bob = (Watched(face, mortal.url, name) for name in ("alice", "bob"))
        direct = stack.enter_context(alice.client).direct("bob")
        stack.enter_context(bob.client)
        direct.send("one")
        bob.hears("@alice", "one")
        mortal.kill()
        mortal.start()
        direct.send("two", timeout=DEADLINE)
        bob.hears("@alice", "one", "two")
        assert [type(event) for event in bob.told].count(zchat.Invited) == 1


def test_closing_says_how_far_a_direct_room_was_read(face: Face, connect: Connect) -> None:
    alice = connect("alice")
    alice.client.direct("bob").send_many(range(100))
    seen: list[int] = []
    bob = face.client(alice.client.url, user="bob")
    for event in bob.events(timeout=DEADLINE):
        if isinstance(event, zchat.Message):
            seen.append(event.body)
            if len(seen) == 42:
                break
    bob.close()
    again = connect("bob")
    again.hears("@alice", *range(42, 100))
