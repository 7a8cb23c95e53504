"""What each command does, asked of the core."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.epochs import Epoch
from zchat.messages import GapReason
from zchat.wire.blocks import encode_block, join_bodies
from zchat.wire.notices import ERROR, OK
from zchat.wire.values import pack

# -- rooms -----------------------------------------------------------------------------------------


def test_a_leave_of_an_earlier_join_changes_nothing(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    first = alice.joins["General"]
    alice.join("General")
    assert alice.do("leave", "General", first)[0] == OK
    assert len(world.rooms["general"].members) == 1
    assert alice.do("leave", "General", alice.joins["General"])[0] == OK
    assert alice.do("leave", "General", alice.joins["General"])[2] == "not_a_member"
    world.check()


# -- positions -------------------------------------------------------------------------------------


LOG = RoomLog("General", 11, 40, (Epoch(7, 1), Epoch(8, 21), Epoch(9, 31)))


@pytest.mark.parametrize(
    ("position", "gap"),
    [
        ((7, 15), None),
        ((7, 20), None),
        ((9, 40), None),
        ((7, 5), (5, 10, GapReason.TRIMMED)),
        ((0, 0), (0, 10, GapReason.TRIMMED)),
        ((7, 10), None),
        ((7, 21), (21, 20, GapReason.TAIL_LOST)),
        ((8, 35), (35, 30, GapReason.TAIL_LOST)),
        ((9, 41), (41, 40, GapReason.TAIL_LOST)),
        ((5, 3), (3, 40, GapReason.RESET)),
        ((5, 99), (99, 40, GapReason.RESET)),
    ],
)
def test_a_position_that_has_parted_from_the_log_gets_a_gap_that_says_so(
    position: tuple[int, int], gap: tuple[int, int, str] | None
) -> None:
    store = LateStore(lambda: 1)
    world = World(store=store, logs=[LOG])
    store.holding = True  # there are no blocks of this log
    alice = Peer(world, "alice")
    reply = alice.join("General", position)
    assert reply[3:5] == list(position)
    assert reply[5:7] == [11, 40]
    assert [tuple(each[3:]) for each in alice.gaps.get("General", [])] == ([gap] if gap else [])


def test_a_join_without_a_position_begins_at_the_end_of_the_log(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    epoch = alice.send("General", "before")[4]
    assert bob.join("General")[3:7] == [epoch, 1, 1, 1]
    alice.send("General", "after")
    assert bob.texts() == ["after"]


def test_a_member_that_joined_an_empty_room_may_resume_from_its_beginning(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    assert bob.join("General")[3:5] == [0, 0]
    alice.join("General")
    alice.send("General", "first")
    bob.do("leave", "General", bob.joins["General"])
    bob.join("General", (0, 0))
    assert bob.texts() == ["first", "first"]
    assert "General" not in bob.gaps


# -- a store that other brokers share --------------------------------------------------------------


def ahead() -> tuple[World, LateStore, Peer]:
    """Give a peer in General, whose log is at 40, and a store that has yet to locate its end."""
    store = LateStore(lambda: 1)
    world = World(store=store, logs=[LOG])
    store.behind = store.holding = True
    return world, store, Peer(world, "alice")


@pytest.mark.parametrize(
    ("position", "gap", "texts"),
    [
        ((10, 41), None, ["two"]),
        ((10, 42), None, []),
        ((9, 41), (41, 40, GapReason.TAIL_LOST), ["one", "two"]),
        ((11, 41), (41, 42, GapReason.RESET), []),
    ],
)
def test_a_position_after_what_is_known_is_judged_once_the_store_has_located_the_rooms_end(
    position: tuple[int, int], gap: tuple[int, int, str] | None, texts: list[str]
) -> None:
    world, store, alice = ahead()
    request = alice.ask("join", "General", 1, list(position), 0, True)
    world.run()
    assert request not in alice.replies
    assert not world.core.settled
    bodies = join_bodies([pack("one"), pack("two")])
    data = encode_block(41, 1, "carol", b"carol's producer", bodies)
    stored = Block(41, 42, 1, b"carol's producer", data)
    store.reports.append(lambda watcher: watcher.grew("General", stored, 10, "carol"))
    alice.joins["General"], alice.covered["General"], alice.notified["General"] = 1, position[1], 0
    store.holding = False
    world.run()
    assert alice.replies[request][5:7] == [11, 42]
    assert [tuple(each[3:]) for each in alice.gaps.get("General", [])] == ([gap] if gap else [])
    assert alice.texts() == texts
    assert world.core.settled


def test_a_join_whose_connection_was_lost_while_the_store_located_the_rooms_end_is_dropped() -> None:
    world, store, alice = ahead()
    alice.ask("join", "New", 1, [10, 41], 0, True)
    store.holding = store.behind = False
    alice.connections += 1
    alice.id, alice.frames_read = world.new_id(), 0
    world.receive(alice.id, pack(("hello", 99, 1, 1, "alice", alice.producer, alice.token, 0, alice.connections)))
    world.run()
    assert not world.sessions[alice.id].members
    assert "new" not in world.rooms


def test_a_join_that_is_refused_once_the_rooms_end_is_located_is_answered_so() -> None:
    world, store, alice = ahead()
    alice.ask("join", "General", 2, None, 0, True)
    request = alice.ask("join", "General", 1, [10, 41], 0, True)
    store.holding = False
    world.run()
    assert alice.replies[request][2] == "malformed"
    assert world.sessions[alice.id].members[world.rooms["general"]].join == 2


def test_what_is_asked_of_a_room_while_its_end_is_located_waits_for_the_join() -> None:
    world, store, alice = ahead()
    alice.ask("join", "General", 1, [10, 41], 0, True)
    bodies = join_bodies([pack("a")])
    requests = [alice.ask("send", "General", 1, bodies), alice.ask("leave", "General", 1)]
    elsewhere = alice.ask("rooms", None, 10)
    world.run()
    assert alice.replies.keys() & {*requests, elsewhere} == {elsewhere}
    store.holding = False
    world.run()
    assert [alice.replies[request][0] for request in requests] == [OK, OK]
    assert not world.sessions[alice.id].members, "it has left"


def test_the_store_is_notified_when_a_room_gets_its_first_member_and_when_the_last_one_goes() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    alice.join("General")
    bob.join("General")
    assert store.followed == [("General", True)]
    alice.leave("General")
    bob.do("bye")
    assert store.followed == [("General", True), ("General", False)]


# -- errors ----------------------------------------------------------------------------------------


def test_errors_carry_whether_trying_again_can_help(world: World) -> None:
    answer = Peer(world, "alice").do("history", "Nowhere", None, None, 1)
    assert answer[0] == ERROR
    assert answer[4] is False
    assert "the first join that may create it makes it" in answer[3]


def test_connections_and_joins_may_be_numbered_from_0(world: World) -> None:
    alice = Peer(world, "alice", greet=False)
    alice.connections = -1
    assert alice.greet()[0] == OK
    assert alice.do("join", "General", 0, None, 0, True)[0] == OK
    assert alice.do("join", "General", 0, None, 0, True)[2] == "malformed"
    assert alice.do("join", "General", 1, None, 0, True)[0] == OK
