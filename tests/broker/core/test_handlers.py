"""What each command does, asked of the core."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Peer, World
from tests.frames import decode_notice
from zchat.broker.settings import Settings
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, Full, RoomLog
from zchat.broker.store.epochs import Epoch
from zchat.messages import GapReason
from zchat.wire.blocks import encode_block, join_bodies
from zchat.wire.notices import ERROR, OK, STATE
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


# -- sending ---------------------------------------------------------------------------------------


def test_a_block_is_answered_with_its_first_seq_its_time_and_its_epoch(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    epoch = alice.send("General", "a", "b")[4]
    assert alice.send("General", "c")[2:] == [3, world.clock.time, epoch]
    assert epoch > 0
    assert world.core.counters.messages == 3


def test_a_block_that_comes_twice_is_stored_and_pushed_once(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    first = alice.send("General", "a", number=1)
    assert alice.send("General", "a", number=1)[2:] == first[2:]
    assert bob.texts() == ["a"]


def test_numbers_are_taken_in_order_only(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    assert alice.send("General", "x", number=2)[2] == "forgotten"
    assert alice.send("General", "x", number=0)[2] == "malformed"
    assert alice.send("General", "a", number=1)[0] == OK
    assert alice.send("General", "c", number=3)[2:5:2] == ["out_of_order", False]
    assert alice.send("General", "b", number=2)[0] == OK


def test_blocks_are_answered_in_the_order_in_which_they_were_sent_whatever_the_answers(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    asked = [alice.ask("send", "General", number, b"\x91\x01") for number in (7, 1, 1, 2, 9, 2, 3)]
    world.run()
    notices = map(decode_notice, world.port.frames[alice.id][2:])
    answered = [notice[:3] for notice in notices if notice[0] != STATE]
    assert [each[1] for each in answered] == asked
    assert [each[2] for each in answered] == ["forgotten", 1, 1, 2, "out_of_order", 2, 3]
    world.check()


@pytest.mark.parametrize(
    ("bodies", "code"),
    [
        (b"", "bad_block"),
        (b"\x90", "bad_block"),
        (b"\x92\x01", "bad_block"),
        (b"\x91\x01\x01", "bad_block"),
        (b"\x91\xa1\xff", "bad_block"),
        (b"\xdd\xff\xff\xff\xff", "bad_block"),
        (b"\x91" * 10_000 + b"\x01", "bad_block"),
        (b"\x91\xc6\x00\x00\x01\x00" + b"x" * 256, "message_too_large"),
    ],
)
def test_a_bad_block_is_refused_and_uses_up_no_number(bodies: bytes, code: str) -> None:
    world = World(Settings(max_message=200))
    alice = Peer(world, "alice")
    alice.join("General")
    assert alice.do("send", "General", 1, bodies)[2:5:2] == [code, False]
    assert alice.send("General", "good", number=1)[0] == OK
    world.check()


def test_only_members_send(world: World) -> None:
    alice = Peer(world, "alice")
    assert alice.send("General", "x")[2] == "not_a_member"
    assert alice.send("Nowhere", "x")[2] == "no_such_room"


@pytest.mark.parametrize(
    ("failure", "code"), [(Failed("the disk is full"), "store_failed"), (Full("100000 producers"), "busy")]
)
def test_what_the_store_cannot_take_is_refused_and_may_be_tried_again(failure: Failed | Full, code: str) -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    store.failing = failure
    answer = alice.send("General", "x", number=1)
    assert answer[2:5:2] == [code, True]
    assert failure.reason in answer[3]
    assert [note.grave for note in world.core.log_lines.take()] == [True] * (code == "store_failed")
    assert alice.do("history", "General", None, None, 5)[0] == OK
    alice.send("General", "x", number=1)
    store.failing = None
    assert alice.send("General", "x", number=1)[2] == 1
    assert [note.text for note in world.core.log_lines.take()] == ["storing has recovered"] * (code == "store_failed")
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
    store.holding = True  # there are no blocks behind this log
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
    store.elsewhere.append(("General", Block(41, 42, 1, b"carol's producer", data), 10, "carol"))
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


def test_a_join_that_is_refused_once_the_rooms_end_is_located_is_told_so() -> None:
    world, store, alice = ahead()
    request = alice.ask("join", "General", 1, [10, 41], 0, True)
    alice.ask("join", "General", 2, None, 0, True)
    store.holding = False
    world.run()
    assert alice.replies[request][2] == "malformed"
    assert world.sessions[alice.id].members[world.rooms["general"]].join == 2


def test_the_store_is_told_when_a_room_gets_its_first_member_and_when_the_last_one_goes() -> None:
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
    assert "join it first" in answer[3]
