"""Judging members again after a change of rules."""

from __future__ import annotations

import pytest

from tests.broker.driver import Clock, LateStore, Peer, World
from zchat.broker.core import revision
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import TAIL_BYTES
from zchat.broker.rooms.member import MemberState
from zchat.wire.limits import PRESENT
from zchat.wire.notices import END


def only(key: str, *users: str) -> str:
    return f'[[rooms]]\nnames = ["*"]\n{key} = {list(users)}'


def ruled(text: str = "", store: LateStore | None = None) -> World:
    return World(store=store, gate=Gate(logins=True), rules=parse(text))


def revise(world: World, text: str) -> None:
    world.core.revise(parse(text))
    world.run()


@pytest.mark.parametrize("right", ["see", "join"])
def test_who_may_no_longer_be_in_a_room_is_out_of_it_and_comes_back_for_the_others(right: str) -> None:
    world = ruled()
    alice, bob, carol = (Peer(world, user) for user in ("alice", "bob", "carol"))
    for peer in (alice, bob, carol):
        peer.join("Secret")
        peer.join("General")
    bob.leave("Secret")
    revise(world, f'[[rooms]]\nnames = ["secret"]\n{right} = ["alice"]')
    assert [peer.ended() for peer in (alice, bob, carol)] == [None, None, "not_allowed"]
    (end,) = [notice for notice in carol.other if notice[0] == END]
    assert end[3] is True, "retryable: a client of version 1 comes back by itself"
    alice.send("Secret", "among us")
    assert carol.texts("Secret") == []
    assert set(alice.pictures["Secret"].people or ()) == {"alice"}
    carol.reconnect()
    code = {"see": "no_such_room", "join": "not_allowed"}[right]
    assert carol.join("Secret")[2] == code
    carol.join("General")
    assert bob.send("General", "hello")[0] == "ok"
    assert carol.texts() == ["hello"]
    world.check()


def test_a_change_that_takes_nothing_ends_nobody() -> None:
    world = ruled()
    bob = Peer(world, "bob")
    bob.join("General")
    revise(world, only("join", "bob"))
    assert bob.ended() is None
    revise(world, only("send", "alice"))
    assert bob.ended() is None
    assert bob.send("General", "hello")[2] == "not_allowed"
    world.check()


def test_a_direct_room_stays_its_twos_whatever_the_rules_become() -> None:
    world = ruled()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("@alice\nbob")
    revise(world, only("see") + '\n[direct]\nallow = ["nobody"]')
    assert alice.send("@alice\nbob", "still here")[0] == "ok"
    assert bob.texts("@alice\nbob") == ["still here"]


def test_a_user_whose_connection_is_lost_is_judged_too() -> None:
    world = ruled()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    bob.reconnect()  # and has not joined again yet
    revise(world, only("join", "alice"))
    assert set(alice.pictures["General"].people or ()) == {"alice"}
    assert bob.ended() is None
    world.check()


def test_many_are_judged_some_a_turn_and_all_by_the_rules_of_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "TURN_JUDGED", 10)
    monkeypatch.setattr(revision, "TURN_UNSEATED", 6)
    world = ruled()
    peers = [Peer(world, f"user{number}") for number in range(30)]
    for peer in peers:
        peer.join("General")
    world.core.revise(parse(only("join", "user0")))
    world.turn()
    gone = [peer for peer in peers if peer.ended()]
    assert len(gone) == 3, "each is a session and a membership"
    assert world.core.busy
    world.core.revise(parse(only("join", *(f"user{number}" for number in range(20)))))
    assert [peer.do("send", "General", 1, b"\x91\x01")[0] for peer in peers[4:6]] == ["ok", "ok"]
    world.run()
    assert {peer.user for peer in peers if peer.ended()} == {
        *(peer.user for peer in gone),
        *(f"user{n}" for n in range(20, 30)),
    }
    world.check()


@pytest.mark.parametrize("state", ["starved", "held", "reading"])
def test_a_reader_amid_the_log_gets_a_gap_up_to_where_it_came_in_place_of_the_rest(state: str) -> None:
    store = LateStore(Clock())
    world = ruled(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob", window=1)
    alice.join("General")
    big = "x" * (TAIL_BYTES // 8)
    for number in range(10):
        alice.send("General", f"{number}{big}")
    store.holding = state == "reading"
    bob.join("General", (0, 0))
    if state == "held":
        world.port.full.add(bob.id)
        bob.credit("General")
    (member,) = [each for each in world.rooms["general"].members if each.session.user == "bob"]
    assert member.state.value == state
    assert member.cursor < 9
    before = len(bob.texts())
    revise(world, only("read", "alice"))
    store.holding = False
    world.port.full.clear()
    world.pass_time(1)
    alice.send("General", "said while bob is there")
    for _ in range(12):
        bob.credit("General")
    assert [text[:1] for text in bob.texts()] == [*(str(number) for number in range(before)), "s"]
    (gap,) = bob.gaps["General"]
    assert gap[3:6] == [before, 10, "withheld"]
    world.check()


def test_who_may_no_longer_see_names_receives_counts_and_back() -> None:
    world = ruled()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    world.pass_time(0.5)
    assert set(bob.pictures["General"].people or ()) == {"alice", "bob"}
    revise(world, only("members", "alice"))
    assert bob.pictures["General"].people is None
    assert bob.pictures["General"].members == 2
    assert set(alice.pictures["General"].people or ()) == {"alice", "bob"}
    alice.tell("typing", "General", True)
    world.pass_time(0.5)
    assert bob.pictures["General"].typing == 1
    alice.send("General", "hello")
    alice.do("mark", "General", 1)
    world.pass_time(0.5)
    assert (bob.pictures["General"].typing, bob.pictures["General"].caught_up) == (0, 1)
    alice.send("General", "again")
    world.pass_time(0.5)
    assert bob.pictures["General"].caught_up == 0
    world.check()
    revise(world, "")
    assert set(bob.pictures["General"].people or ()) == {"alice", "bob"}
    world.check()


def test_one_that_watches_without_being_there_is_judged_as_well() -> None:
    world = ruled()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General", flags=0b111 & ~PRESENT)
    revise(world, only("join", "alice"))
    assert bob.ended() == "not_allowed"
    assert all(member.state is not MemberState.LEFT for member in world.rooms["general"].members)
    world.check()
