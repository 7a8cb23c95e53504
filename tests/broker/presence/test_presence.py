"""Who is here, who is typing, how far each has read: what the others receive, and when."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat.broker import limits
from zchat.broker.limits import EXPIRE_AFTER, MEMBERS_PAGE, REJOIN_SECONDS, STATE_EVERY
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Failed, Full, RoomLog
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.memory import MemoryStore
from zchat.wire.limits import TYPING_EVERY, TYPING_FOR
from zchat.wire.notices import OK


def people(peer: Peer, room: str = "General") -> list[str]:
    """Return the users that a peer knows to be in a room."""
    names = peer.pictures[room].people
    assert names is not None
    return sorted(names)


def typing(peer: Peer, room: str = "General") -> list[str]:
    """Return the users that a peer knows to be typing in a room."""
    names = peer.pictures[room].people
    assert names is not None
    return sorted(user for user, (_, active, _) in names.items() if active)


def mark_of(peer: Peer, user: str, room: str = "General") -> int:
    """Return how far a peer knows a user to have read a room."""
    names = peer.pictures[room].people
    assert names is not None
    return names[user][2]


def pair(world: World) -> tuple[Peer, Peer]:
    """Return two peers in General, who know of each other."""
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
        world.pass_time(STATE_EVERY)
    return alice, bob


def idle(world: World, seconds: float) -> None:
    """Let time pass while every client goes on pinging."""
    for _ in range(int(seconds)):
        for peer in world.peers:
            peer.tell("ping")
        world.pass_time(1)


# -- presence --------------------------------------------------------------------------------------


def test_a_user_is_here_from_the_first_join_of_a_session_to_the_last_leave(world: World) -> None:
    alice, bob = pair(world)
    assert people(alice) == people(bob) == ["alice", "bob"]
    twin = Peer(world, "BOB")
    world.clock.time += 5
    twin.join("General")
    world.pass_time(STATE_EVERY)
    assert people(alice) == ["alice", "bob"], "spelt as the session that came first did"
    bob.leave("General")
    world.pass_time(STATE_EVERY)
    assert people(alice) == ["alice", "bob"]
    twin.do("bye")
    world.pass_time(STATE_EVERY)
    assert people(alice) == ["alice"]
    world.check()


def test_a_change_after_a_quiet_while_reaches_the_others_in_the_same_turn(world: World) -> None:
    alice, _ = pair(world)
    world.pass_time(1)
    Peer(world, "carol").join("General")
    assert people(alice) == ["alice", "bob", "carol"]


def test_a_user_is_here_since_the_first_session_came(world: World) -> None:
    alice, _ = pair(world)
    began = world.clock.time
    world.clock.time += 1_000_000
    Peer(world, "bob").join("General")
    world.pass_time(1)
    assert (alice.pictures["General"].people or {})["bob"] == (began, False, 0)


def test_the_first_update_comes_after_the_joins_answer_and_is_whole(world: World) -> None:
    pair(world)
    carol = Peer(world, "carol")
    carol.ask("join", "General", 1, None, 0, True)
    assert [notice[0] for notice in carol.replies.values()] == [OK, OK]
    assert not carol.pictures
    carol.covered["General"] = 0
    world.run()
    assert people(carol) == ["alice", "bob", "carol"]
    carol.do("leave", "General", 1)
    world.pass_time(1)
    assert carol.states[carol.id] == 1, "nothing of a room comes after the answer to its leave"


def test_who_joins_again_gets_everybody_anew(world: World) -> None:
    alice, _ = pair(world)
    before = alice.states[alice.id]
    alice.join("General")
    assert alice.states[alice.id] == before + 1
    assert people(alice) == ["alice", "bob"]


def test_a_session_that_comes_back_and_joins_again_does_not_flap(world: World) -> None:
    alice, bob = pair(world)
    frames = alice.states[alice.id]
    bob.reconnect()
    world.pass_time(REJOIN_SECONDS - 1)
    bob.join("General")
    idle(world, 2 * EXPIRE_AFTER)
    assert people(alice) == people(bob) == ["alice", "bob"]
    assert alice.states[alice.id] == frames, "nothing has changed for the others"
    world.check()


def test_a_session_that_is_lost_again_before_it_could_join_does_not_flap(world: World) -> None:
    alice, bob = pair(world)
    frames = alice.states[alice.id]
    bob.reconnect()  # and the connection is gone before its joins arrive
    for _ in range(int(EXPIRE_AFTER) - 2):
        alice.tell("ping")
        world.pass_time(1)
    assert people(alice) == ["alice", "bob"]
    bob.reconnect()
    bob.join("General")
    idle(world, 2 * EXPIRE_AFTER)
    assert people(alice) == people(bob) == ["alice", "bob"]
    assert alice.states[alice.id] == frames, "nothing has changed for the others"
    world.check()


def test_a_session_that_comes_back_has_left_what_it_does_not_join_again_in_time(world: World) -> None:
    alice, bob = pair(world)
    bob.join("Only bob's")
    bob.reconnect()
    bob.do("rooms", None, 1)
    world.pass_time(REJOIN_SECONDS - 1)
    assert people(alice) == ["alice", "bob"]
    assert "only bob's" in world.rooms
    idle(world, 2)
    assert people(alice) == ["alice"]
    assert "only bob's" not in world.rooms, "with the last presence goes a room where nothing was said"
    world.check()


def test_who_came_back_and_joins_nothing_leaves_a_few_a_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.presence.presence.TURN_ENDS", 4)
    peers = [Peer(world, f"user {number}") for number in range(6)]
    for peer in peers:
        peer.join("General")
        peer.reconnect()
    world.pass_time(REJOIN_SECONDS - 0.5)
    for peer in peers:
        peer.tell("ping")
    world.now += 1.5
    left: list[int] = []
    for _ in range(3):
        assert world.core.due() <= world.now
        world.core.tick(world.now, True)
        left.append(world.rooms["general"].users)
    assert left == [4, 2, 0]
    world.run()
    world.check()


def test_a_session_that_comes_back_over_and_over_is_present_in_a_bounded_number_of_rooms(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.presence.presence.MAX_MEMBERSHIPS", 3)
    monkeypatch.setattr(limits, "MAX_MEMBERSHIPS", 3)
    alice = Peer(world, "alice")
    for life in "ab":
        alice.reconnect()
        for number in range(3):
            alice.join(f"{life}{number}")
        assert len(world.sessions[alice.id].present) == 3
    assert [name for name in world.rooms if len(name) == 2] == ["b0", "b1", "b2"]
    world.check()


def test_a_session_that_comes_back_as_another_user_has_left_as_the_one_it_was(world: World) -> None:
    alice, bob = pair(world)
    bob.user = "Robert"
    bob.reconnect()
    world.pass_time(STATE_EVERY)
    assert people(alice) == ["alice"]
    bob.join("General")
    world.pass_time(STATE_EVERY)
    assert people(alice) == ["Robert", "alice"]
    world.check()


def test_a_killed_client_leaves_when_its_session_expires(world: World) -> None:
    alice, bob = pair(world)
    bob.sees = False
    for _ in range(int(EXPIRE_AFTER) + 2):
        alice.tell("ping")
        world.pass_time(1)
    assert people(alice) == ["alice"]
    world.check()


def test_what_is_reported_of_a_room_is_as_many_people_as_the_list_of_rooms_counts(world: World) -> None:
    alice, bob = pair(world)
    bob.reconnect()
    assert alice.do("rooms", "Crypto", 1)[2][0][:2] == ["General", 2], "bob is on his way back"
    bob.do("bye")
    assert alice.do("rooms", "Crypto", 1)[2][0][:2] == ["General", 1]
    world.check()


def test_the_members_of_a_room_come_in_pages_by_name_and_need_no_membership() -> None:
    world = World(Settings(names=2))
    names = ["Alice", "bob", "Carol", "dave", "Eve"]
    for name in reversed(names):
        Peer(world, name).join("General")
    frank = Peer(world, "frank")
    since = world.clock.time
    assert frank.do("members", "general", None, 2)[2:] == [[["Alice", since, False, 0], ["bob", since, False, 0]], True]
    assert [row[0] for row in frank.do("members", "General", "BOB", 500)[2]] == names[2:]
    assert frank.do("members", "General", "eve", 500)[2:] == [[], False]
    assert len(frank.do("members", "General", None, 0)[2]) == 1
    assert frank.do("members", "Movies", None, 500)[2:] == [[], False]
    assert frank.do("members", "Nowhere", None, 500)[2] == "no_such_room"
    assert frank.do("members", "/", None, 500)[2] == "bad_name"


def test_a_page_of_members_has_five_hundred_at_most(world: World) -> None:
    peers = [Peer(world, f"user {number}") for number in range(MEMBERS_PAGE + 1)]
    for peer in peers:
        peer.sees = False
        peer.ask("join", "General", 1, None, 0, True)
    rows, more = peers[0].do("members", "General", None, 10_000)[2:]
    assert (len(rows), more) == (MEMBERS_PAGE, True)


# -- typing ----------------------------------------------------------------------------------------


def test_who_types_is_reported_and_ends_by_itself(world: World) -> None:
    alice, bob = pair(world)
    world.pass_time(0.3)
    bob.tell("typing", "General", True)
    world.run()
    assert typing(alice) == ["bob"]
    ends = world.now + TYPING_FOR
    world.pass_time(TYPING_FOR - 0.1)
    assert world.core.due() == ends
    assert typing(alice) == ["bob"]
    world.pass_time(0.2)
    assert typing(alice) == []
    world.check()


def test_typing_ends_with_the_message_and_when_it_is_reported(world: World) -> None:
    alice, bob = pair(world)
    bob.tell("typing", "general", True)
    world.pass_time(1)
    assert typing(alice) == ["bob"]
    alice.send("General", "somebody else's")
    assert typing(alice) == ["bob"]
    bob.send("General", "hello")
    world.pass_time(1)
    assert typing(alice) == []
    world.pass_time(TYPING_EVERY)
    bob.tell("typing", "General", True)
    bob.tell("typing", "General", False)
    world.pass_time(1)
    assert typing(alice) == []
    world.check()


def test_typing_ends_when_the_user_leaves_and_comes_back_silent(world: World) -> None:
    alice, bob = pair(world)
    bob.tell("typing", "General", True)
    bob.leave("General")
    bob.join("General")
    world.pass_time(STATE_EVERY)
    assert typing(alice) == []
    world.pass_time(TYPING_FOR)
    world.check()


def test_typing_is_taken_once_in_three_seconds_and_goes_on_for_six_from_the_last(world: World) -> None:
    alice, bob = pair(world)
    bob.tell("typing", "General", True)
    world.pass_time(TYPING_EVERY - 0.1, TYPING_EVERY)
    bob.tell("typing", "General", True)
    assert world.core.counters.typing_dropped == 1
    world.pass_time(0.1)
    bob.tell("typing", "General", True)
    assert world.core.counters.typing_dropped == 1
    world.pass_time(TYPING_FOR - 0.1, TYPING_FOR)
    assert typing(alice) == ["bob"]
    world.pass_time(0.2)
    assert typing(alice) == []


def test_each_types_for_his_own_time(world: World) -> None:
    alice, bob = pair(world)
    alice.tell("typing", "General", True)
    world.pass_time(1)
    bob.tell("typing", "General", True)
    world.pass_time(TYPING_EVERY - 1)
    alice.tell("typing", "General", True)
    world.pass_time(TYPING_FOR - TYPING_EVERY + 1)
    assert typing(alice) == typing(bob) == ["alice"]
    world.pass_time(TYPING_EVERY - 1)
    assert typing(alice) == []
    world.check()


def test_typing_where_one_is_no_member_changes_nothing(world: World) -> None:
    alice, bob = pair(world)
    bob.leave("General")
    bob.tell("typing", "General", True)
    bob.tell("typing", "Nowhere", True)
    world.pass_time(1)
    assert typing(alice) == []
    assert not bob.other


# -- read marks ------------------------------------------------------------------------------------


def test_how_far_a_user_has_read_is_reported_and_never_goes_back(world: World) -> None:
    alice, bob = pair(world)
    alice.send("General", *range(5))
    assert bob.do("mark", "general", 3)[2] == 3
    world.pass_time(1)
    assert mark_of(alice, "bob") == 3
    assert bob.do("mark", "General", 2)[2] == 3
    assert bob.do("mark", "General", 1_000)[2] == 5, "the log ends there"
    world.pass_time(1)
    assert mark_of(alice, "bob") == 5
    assert world.core.counters.marks == 2
    world.check()


def test_a_mark_needs_no_membership_and_stands_when_the_user_comes(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", *range(5))
    bob = Peer(world, "bob")
    assert bob.do("mark", "General", 4)[2] == 4
    assert Peer(world, "BOB").do("rooms", "crypto", 1)[2] == [["General", 1, 1, 5, 4]]
    bob.join("General")
    world.pass_time(1)
    assert mark_of(alice, "bob") == 4
    assert bob.do("mark", "Nowhere", 4)[2] == "no_such_room"
    assert bob.do("mark", "#", 4)[2] == "bad_name"
    assert bob.do("mark", "Movies", 4)[2] == 0, "nothing was said there"
    assert bob.do("rooms", "General", 1)[2] == [["Movies", 0, 1, 0, None]]


def test_a_mark_is_answered_and_reported_once_it_is_stored() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob = pair(world)
    alice.send("General", *range(5))
    store.holding = True
    asked = bob.ask("mark", "General", 5)
    world.run()
    assert asked not in bob.replies
    assert not world.core.settled
    assert mark_of(alice, "bob") == 0
    store.holding = False
    world.pass_time(1)
    assert bob.replies[asked] == [OK, asked, 5]
    assert mark_of(alice, "bob") == 5


def test_a_mark_that_follows_its_message_at_once_is_as_good_as_one_that_waits(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    assert alice.do("mark", "General", 1)[2] == 0
    alice.tell("send", 98, "General", 1, b"\x91\x01")
    assert alice.do("mark", "General", 9)[2] == 1
    assert world.rooms["general"].read_marks == {"alice": 1}


def test_a_mark_that_follows_a_first_message_that_is_refused_is_no_failure_of_the_store(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    alice.tell("send", 98, "General", 7, b"\x91\x01")  # of a producer that is unknown: nothing is stored
    assert alice.do("mark", "General", 9)[2] == "busy"
    assert alice.do("stats")[2]["storing_fails"] == 0
    assert not world.core.log_lines.troubles
    assert alice.do("mark", "General", 9)[2] == 0


def test_a_mark_that_cant_be_stored_is_refused_and_reported_to_nobody() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob = pair(world)
    alice.send("General", *range(5))
    store.failing = Failed("the disk is broken")
    assert bob.do("mark", "General", 5)[2:5:2] == ["store_failed", True]
    store.failing = Full("too many marks")
    assert bob.do("mark", "General", 5)[2:5:2] == ["busy", True]
    world.pass_time(1)
    assert mark_of(alice, "bob") == 0
    store.failing = None
    assert bob.do("mark", "General", 5)[2] == 5
    world.check()


def test_marks_are_there_again_after_the_store_is_opened() -> None:
    class Kept(MemoryStore):
        """Say what it had before."""

        def read_marks(self) -> list[tuple[str, str, int]]:
            return [("GENERAL", "bob", 3), ("General", "carol", 9), ("Gone", "bob", 1)]

    world = World(store=Kept(lambda: 1), logs=[RoomLog("General", 1, 4, (Epoch(7, 1),))])
    assert Peer(world, "bob").do("rooms", "crypto", 1)[2] == [["General", 0, 1, 4, 3]]
    assert Peer(world, "carol").do("rooms", "crypto", 1)[2][0][4] == 4, "never beyond the log's end"
