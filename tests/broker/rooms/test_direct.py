"""Direct rooms: there for their two users alone, who are invited to them."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, World
from tests.frames import decode_notice
from zchat.broker import limits
from zchat.broker.limits import STATE_BYTES, STATE_EVERY
from zchat.broker.presence import state_frames
from zchat.broker.settings import Settings
from zchat.names import direct_name
from zchat.wire.notices import OK, STATE
from zchat.wire.values import pack

ROOM = direct_name("alice", "bob")


def test_a_direct_room_is_a_room_like_any_other_for_its_two_users(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    assert alice.join(ROOM)[2] == ROOM
    bob.join(ROOM)
    assert alice.send(ROOM, "hello")[0] == OK
    assert bob.texts(ROOM) == ["hello"]
    bob.tell("typing", ROOM, True)
    assert bob.do("mark", ROOM, 1)[2] == 1
    world.pass_time(STATE_EVERY)
    assert alice.pictures[ROOM].people == {
        "alice": (world.clock.time, False, 0),
        "bob": (world.clock.time, True, 1),
    }
    assert [row[0] for row in bob.do("members", ROOM, None, 10)[2]] == ["alice", "bob"]
    world.check()


def test_it_is_spelt_as_its_maker_did_and_found_in_any_case(world: World) -> None:
    alice, bob = Peer(world, "Alice"), Peer(world, "bob")
    assert bob.join(direct_name("BOB", "alice"))[2] == "@alice\nBOB"
    assert alice.join(direct_name("Alice", "bob"))[2] == "@alice\nBOB"
    world.check()


@pytest.mark.parametrize("there", [True, False])
def test_for_anybody_else_it_does_not_exist(there: bool, world: World) -> None:
    if there:
        alice = Peer(world, "alice")
        alice.join(ROOM)
        alice.send(ROOM, "a secret")
    carol = Peer(world, "carol")
    refused = [
        carol.join(ROOM),
        carol.join(ROOM, create=False),
        carol.do("leave", ROOM, 1),
        carol.send(ROOM, "hi"),
        carol.do("history", ROOM, None, None, 10),
        carol.do("members", ROOM, None, 10),
        carol.do("mark", ROOM, 1),
    ]
    assert {tuple(answer[2:]) for answer in refused} == {
        ("no_such_room", f"there is no room {ROOM!r}: the first join that may create it makes it", False, None)
    }
    carol.tell("typing", ROOM, True)
    carol.tell("credit", ROOM, 1, 1)
    assert ROOM not in [row[0] for row in carol.do("rooms", None, 500)[2]]
    world.pass_time(1)
    assert not carol.invitations
    assert not carol.other


@pytest.mark.parametrize("name", ["@", "@alice", "@alice\n", "@alice\nALICE", "@alice\nbob\ncarol", "@@"])
def test_a_name_that_is_no_direct_rooms_is_refused(name: str, world: World) -> None:
    alice = Peer(world, "alice")
    assert alice.join(name)[2] == "bad_name"
    assert alice.do("history", name, None, None, 10)[2] == "bad_name"


def test_it_can_be_made_where_rooms_are_fixed() -> None:
    world = World(Settings(rooms=("One",), fixed_rooms=True))
    assert Peer(world, "alice").join(ROOM)[0] == OK
    assert (
        Peer(world, "carol").join(ROOM)[3] == f"there is no room {ROOM!r}: the first join that may create it makes it"
    )


def test_it_counts_as_a_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.rooms.directory.MAX_ROOMS", 6)
    alice = Peer(world, "alice")
    assert alice.join(ROOM)[0] == OK
    assert alice.join(direct_name("alice", "carol"))[2] == "limit_reached"


def test_it_is_forgotten_when_nothing_was_said_and_nobody_is_in_it(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join(ROOM)
    alice.leave(ROOM)
    assert not world.core.context.directory.directs
    world.check()


def test_a_user_is_listed_his_own_in_their_place_by_name_page_by_page() -> None:
    world = World(Settings(rooms=("!", "1", "Zoo", "General")))
    for one, other in (("alice", "bob"), ("alice", "zed"), ("carol", "dave"), ("Bob", "carol")):
        Peer(world, one).join(direct_name(one, other))
    bob = Peer(world, "BOB")
    names: list[str] = []
    more = True
    while more:
        rows, more = bob.do("rooms", names[-1] if names else None, 1)[2:]
        assert len(rows) == 1
        names += [row[0] for row in rows]
    assert names == ["!", "1", "@alice\nbob", "@Bob\ncarol", "General", "Zoo"]
    assert bob.do("rooms", None, 6)[2:] == [bob.do("rooms", None, 7)[2], False]


# -- invitations -----------------------------------------------------------------------------------


def test_the_other_users_sessions_are_invited_when_something_is_said(world: World) -> None:
    alice, twin, bob, carol = (Peer(world, name) for name in ("alice", "ALICE", "bob", "carol"))
    alice.join(ROOM)
    world.pass_time(1)
    assert not bob.invitations, "nothing was said"
    alice.send(ROOM, "hello")
    assert bob.invitations == [[ROOM, "alice", 0, 0]]
    assert twin.invitations == [[ROOM, "bob", 0, 0]]
    assert not alice.invitations
    assert not carol.invitations
    bob.join(ROOM, (0, 0))
    assert bob.texts(ROOM) == ["hello"]
    alice.send(ROOM, "again")
    world.pass_time(1)
    assert len(bob.invitations) == 1
    assert len(twin.invitations) == 2
    world.check()


def test_who_comes_later_is_invited_at_the_greeting_to_join_after_what_is_read(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join(ROOM)
    _, _, first, _, epoch = alice.send(ROOM, "one", "two", "three")
    bob = Peer(world, "bob")
    world.run()
    assert bob.invitations == [[ROOM, "alice", 0, 0]]
    bob.do("mark", ROOM, first + 1)
    twin = Peer(world, "bob")
    assert twin.invitations == [[ROOM, "alice", epoch, first + 1]]
    twin.join(ROOM, (epoch, first + 1))
    assert twin.texts(ROOM) == ["three"]
    bob.do("mark", ROOM, first + 2)
    assert not Peer(world, "Bob").invitations, "all is read"
    bob.reconnect()
    assert len(bob.invitations) == 1
    world.check()


def test_invitations_are_conflated_while_one_frame_is_out(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    bob.sees = False
    alice.join(ROOM)
    for number in range(10):
        alice.send(ROOM, number)
        world.pass_time(STATE_EVERY)
    assert len(bob.invitations) == 1
    bob.see()
    world.run()
    bob.see()
    world.pass_time(1)
    assert len(bob.invitations) == 2
    assert bob.states[bob.id] == 2


def test_an_invitation_that_waits_is_dropped_when_it_is_pointless(world: World) -> None:
    alice, bob, twin = (Peer(world, name) for name in ("alice", "bob", "bob"))
    bob.sees = False
    bob.join("General")
    world.pass_time(1)
    alice.join(ROOM)
    alice.send(ROOM, "hello")
    world.pass_time(1)
    twin.do("mark", ROOM, 1)
    bob.see()
    world.run()
    assert not bob.invitations
    alice.send(ROOM, "again")
    world.pass_time(1)
    bob.see()
    bob.join(ROOM)
    bob.see()
    world.run()
    assert len(bob.invitations) == 1, "the one that went out before the join"
    world.check()


def test_invitations_of_a_frame_are_bounded_in_bytes_and_come_with_updates(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_frames, "STATE_BYTES", 300)
    assert STATE_BYTES == 64 * 1024
    bob = Peer(world, "bob")
    bob.sees = False
    bob.join("General")
    for number in range(20):
        friend = Peer(world, f"friend {number:02}")
        friend.join(direct_name(friend.user, "bob"))
        friend.send(direct_name(friend.user, "bob"), "hello")
        friend.join("General")
    world.pass_time(1)
    while world.sessions[bob.id].invitations or world.sessions[bob.id].stale:
        bob.see()
        world.run()
    frames = [frame for frame in world.port.frames[bob.id] if decode_notice(frame)[0] == STATE]
    assert max(map(len, frames)) < 2_000
    assert all(len(decode_notice(frame)[3]) >= 1 for frame in frames[1:])
    assert len(frames) > 3
    assert sorted(user for _, user, *_ in bob.invitations) == [f"friend {number:02}" for number in range(20)]
    assert bob.pictures["General"].members == 21


def test_no_more_invitations_wait_than_a_session_can_join(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_frames, "MAX_MEMBERSHIPS", 3)
    assert limits.MAX_MEMBERSHIPS == 1_000
    reader = Peer(world, "bob")
    for number in range(5):
        friend = Peer(world, f"friend {number}")
        friend.join(direct_name(friend.user, "bob"))
        friend.send(direct_name(friend.user, "bob"), "hello")
    reader.do("mark", direct_name("friend 0", "bob"), 1)
    reader.do("bye")
    before = world.core.counters.uninvited
    bob = Peer(world, "bob")
    assert len(bob.invitations) == 3
    assert world.core.counters.uninvited == before + 1, "of the four in which something is unread"


def test_an_invitation_that_waits_is_not_for_another_user_who_takes_the_session_over(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    bob.sees = False
    bob.join("General")
    alice.join(ROOM)
    alice.send(ROOM, "a secret")
    world.pass_time(1)
    assert world.sessions[bob.id].invitations
    bob.user, bob.sees = "carol", True
    bob.reconnect()
    world.pass_time(1)
    assert not bob.invitations
    world.check()


def test_an_invitation_outlives_the_one_who_caused_it(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join(ROOM)
    world.receive(alice.id, pack(("send", 50, ROOM, 1, b"\x91\xa2hi")))
    world.receive(alice.id, pack(("bye", 51)))
    world.pass_time(STATE_EVERY)
    assert bob.invitations == [[ROOM, "alice", 0, 0]]
    bob.join(ROOM, (0, 0))
    assert bob.texts(ROOM) == ["hi"]
    world.check()
