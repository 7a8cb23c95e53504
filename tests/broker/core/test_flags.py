"""What a client may ask for beside what version 1 began with, and that nothing changes for one that doesn't."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from tests.broker.driver import Peer, World
from tests.frames import decode_notice
from zchat.broker.limits import EXPIRE_AFTER, LAG_EVERY
from zchat.broker.settings import Settings
from zchat.wire.limits import DIGEST, LOG, OWN, PRESENT
from zchat.wire.notices import ERROR, GAP, OK, PUSH

ALL = LOG | PRESENT | OWN


@pytest.fixture
def world() -> World:
    return World(Settings(rooms=()))


def here(peer: Peer, room: str = "General") -> list[str]:
    """Return who is in a room, by asking."""
    return [entry[0] for entry in peer.do("members", room, None, 500)[2]]


def seen(peer: Peer, room: str = "General") -> list[str]:
    """Return who is in a room, by what the peer was sent of its state."""
    people = peer.pictures[room].people
    assert people is not None
    return sorted(people)


# -- asking ----------------------------------------------------------------------------------------


def test_who_asks_for_nothing_is_answered_as_ever(world: World) -> None:
    alice = Peer(world, "alice")
    assert len(alice.replies[1]) == 12
    assert len(alice.join("General")) == 9


@pytest.mark.parametrize("flags", range(8))
def test_the_answer_to_a_join_with_flags_ends_with_those_that_were_honoured(world: World, flags: int) -> None:
    alice = Peer(world, "alice")
    assert alice.join("General", flags=flags)[9:] == [flags]
    assert alice.join("General", flags=1 << 40 | flags)[9:] == [flags]
    world.check()


def test_flags_that_are_no_number_are_refused_and_the_room_is_not_made(world: World) -> None:
    alice = Peer(world, "alice")
    assert alice.do("join", "General", 1, None, 0, True, "3")[2] == "malformed"
    assert not world.rooms


@pytest.mark.parametrize("flags", [DIGEST, DIGEST | 1 << 40])
def test_a_greeting_can_ask_for_the_producer_that_others_see(world: World, flags: int) -> None:
    alice, bob = Peer(world, "alice", greet=False), Peer(world, "bob")
    digest = alice.greet(1, 1, flags)[12:]
    assert digest == [blake2b(alice.producer + alice.token, digest_size=16).digest()]
    bob.join("General")
    alice.join("General")
    alice.send("General", "hi")
    [push] = [notice for notice in map(decode_notice, world.port.frames[bob.id]) if notice[0] == PUSH]
    assert push[5][0][3] == digest[0]


def test_a_greeting_with_flags_of_a_later_version_alone_is_answered_as_ever(world: World) -> None:
    assert len(Peer(world, "alice", greet=False).greet(1, 1, 1 << 40)) == 12


def test_a_refusal_of_the_version_says_which_there_are(world: World) -> None:
    alice = Peer(world, "alice", greet=False)
    assert alice.greet(3, 4)[:1] == [ERROR]
    [refusal] = alice.replies.values()
    assert refusal[2] == "version"
    assert refusal[5:] == [None, 1, 2]


# -- bit 0: the log ---------------------------------------------------------------------------------


def test_without_the_log_there_are_members_and_state_and_no_messages(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob", 1)
    alice.join("General")
    assert bob.join("General", flags=PRESENT)[9] == PRESENT
    for number in range(5):
        alice.send("General", f"{number}")
        bob.send("General", "from bob")
    assert alice.texts() == ["from bob"] * 5
    assert not bob.texts()
    world.pass_time(0.1, 0.02)
    assert here(alice) == seen(alice) == seen(bob) == ["alice", "bob"]
    world.check()


def test_who_is_not_sent_the_log_does_not_lag(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob", 1)
    alice.join("General")
    bob.join("General", (0, 0), flags=PRESENT)
    alice.send("General", *["hi"] * 10)
    world.pass_time(2 * LAG_EVERY)
    assert not world.core.lag.furthest
    assert world.core.counters.lagging == 0


def test_a_position_is_judged_without_the_log_and_its_gap_is_all_that_comes(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    epoch = alice.send("General", "one")[4]
    fits = bob.join("General", (epoch, 1), flags=PRESENT)
    assert (fits[8], bob.gaps) == (False, {})
    other = bob.join("General", (epoch + 1, 1), flags=PRESENT)
    assert other[8] is True
    assert [gap[5] for gap in bob.gaps["General"]] == ["reset"]
    bob.credit("General")
    alice.send("General", "two")
    alice.send("General", "three")
    assert not bob.texts()
    world.check()


def test_a_gap_without_the_log_waits_for_credit_like_any_other(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob", 1)
    alice.join("General")
    alice.send("General", "one")
    bob.join("General", (5, 1), 1, flags=PRESENT)
    assert not bob.gaps
    bob.credit("General", 1)
    assert bob.gaps["General"][0][0] == GAP
    world.check()


def test_the_log_begins_again_with_a_join_that_asks_for_it(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General", flags=PRESENT)
    epoch = alice.send("General", "one")[4]
    alice.send("General", "two")
    bob.join("General", (epoch, 1))
    assert bob.texts() == ["two"]
    bob.join("General", (epoch, 2), flags=0)
    alice.send("General", "three")
    assert bob.texts() == ["two"]
    world.check()


# -- bit 1: being there -----------------------------------------------------------------------------


def test_who_does_not_count_as_here_reads_writes_and_sees_without_being_seen(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General", flags=LOG)
    alice.send("General", "hi")
    assert bob.texts() == ["hi"]
    assert bob.send("General", "hello")[0] == OK
    assert alice.texts() == ["hello"]
    world.pass_time(0.1, 0.02)
    assert here(bob) == seen(alice) == seen(bob) == ["alice"]
    assert bob.do("rooms", None, 10)[2][0][1] == 1
    world.check()


def test_typing_of_who_does_not_count_as_here_changes_nothing(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General", flags=LOG)
    bob.tell("typing", "General", True)
    bob.tell("typing", "General", False)
    world.pass_time(1)
    assert not bob.other
    assert seen(alice) == ["alice"]


def test_an_empty_room_shows_that_nobody_is_there_and_is_forgotten_with_the_last_who_looks(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    bob.join("General", flags=LOG)
    assert seen(bob) == []
    alice.join("General")
    world.pass_time(0.1, 0.02)
    assert seen(bob) == ["alice"]
    alice.leave("General")
    world.pass_time(0.1, 0.02)
    assert seen(bob) == []
    alice.join("General")
    world.pass_time(0.1, 0.02)
    assert seen(bob) == ["alice"]
    alice.leave("General")
    bob.leave("General")
    world.check()
    assert not world.rooms


def test_a_session_that_ends_unseen_leaves_no_room_behind(world: World) -> None:
    bob = Peer(world, "bob")
    bob.join("General", flags=LOG)
    bob.join("Sports", flags=0)
    world.pass_time(2 * EXPIRE_AFTER)
    assert bob.ended() == "expired"
    assert not world.rooms


def test_joining_again_without_being_here_is_to_leave_for_the_others(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    world.pass_time(0.1, 0.02)
    bob.join("General", flags=LOG)
    world.pass_time(0.1, 0.02)
    assert here(alice) == seen(alice) == seen(bob) == ["alice"]
    bob.join("General", flags=ALL)
    world.pass_time(0.1, 0.02)
    assert here(alice) == seen(alice) == seen(bob) == ["alice", "bob"]
    world.check()


def test_coming_back_unseen_is_to_leave_for_the_others(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    bob.reconnect()
    assert here(alice) == ["alice", "bob"]
    bob.join("General", flags=LOG)
    assert here(alice) == ["alice"]
    bob.reconnect()
    world.check()
    assert here(alice) == ["alice"]


def test_in_a_crowd_who_does_not_count_as_here_is_not_counted() -> None:
    world = World(Settings(names=1))
    alice, bob, carol = Peer(world, "alice"), Peer(world, "bob"), Peer(world, "carol")
    alice.join("General")
    bob.join("General")
    carol.join("General", flags=LOG)
    world.pass_time(0.1, 0.02)
    assert carol.pictures["General"].members == 2
    world.check()


# -- bit 2: own messages ----------------------------------------------------------------------------


def test_own_messages_come_with_the_others_in_the_order_of_the_log(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General", flags=ALL)
    bob.join("General")
    alice.send("General", "one")
    bob.send("General", "two")
    alice.send("General", "three", "four")
    assert alice.texts() == ["one", "two", "three", "four"]
    assert alice.seqs() == [1, 2, 3, 4]
    assert bob.texts() == ["one", "three", "four"]
    alice.credit("General")
    world.check()


def test_own_messages_come_after_a_position_too(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    epoch = alice.send("General", "one")[4]
    alice.send("General", "two")
    alice.join("General", (epoch, 1), flags=ALL)
    assert alice.texts() == ["two"]
    alice.join("General", (0, 0))
    assert alice.texts() == ["two"]


def test_one_notification_is_made_for_all_who_stand_at_the_same_place(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General", flags=ALL)
    bob.join("General")
    alice.send("General", "one")
    pushes = [[frame for frame in world.port.frames[peer.id] if frame[1:6] == b"\xa4push"] for peer in (alice, bob)]
    assert pushes[0] == pushes[1]
    assert pushes[0][0] is pushes[1][0]


# -- direct rooms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["@bob\nalice", "@BOB\nAlice", "@alice\nBOB"])
def test_a_direct_room_is_the_same_in_either_order_of_its_users(world: World, name: str) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    made = alice.join(name)[2]
    assert made == {"@bob\nalice": "@alice\nbob", "@BOB\nAlice": "@Alice\nBOB"}.get(name, name)
    alice.joins[name] = alice.joins.get(made, 1)
    assert bob.join("@bob\nalice")[2] == made
    assert alice.send(name, "hi")[0] == OK
    assert bob.texts(made) == ["hi"]
    for each in (name, made):
        assert alice.do("history", each, None, None, 10)[2] == made
        assert alice.do("mark", each, 1)[0] == OK
        assert len(alice.do("members", each, None, 10)[2]) == 2
    bob.tell("typing", "@bob\nalice", True)
    bob.tell("credit", "@bob\nalice", 1, 1)
    assert world.core.counters.stale_credit == 0
    assert alice.leave(name)[0] == OK
    world.check()
