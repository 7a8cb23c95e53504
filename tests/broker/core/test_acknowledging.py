"""A block is acknowledged once it is safe, and refused with its reason; the order of answers is that of the blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.broker.driver import LateStore, Peer, World
from tests.frames import decode_notice
from zchat.broker.figures.log_lines import RECOVERED_AFTER
from zchat.broker.guard.rules import Rate, Rules, Table
from zchat.broker.limits import MESSAGES_BURST
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Failed, Fenced, Full
from zchat.wire.notices import OK, STATE


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


def test_a_block_that_was_stored_is_acknowledged_again_though_it_breaks_a_rule_by_now() -> None:
    world = World(Settings(max_message=200))
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    first = alice.send("General", "x" * 150, number=1)
    world.core.context.settings = replace(world.core.context.settings, max_message=100)
    assert alice.send("General", "x" * 150, number=1)[2:] == first[2:]
    assert alice.do("send", "General", 1, b"\x90")[2:] == first[2:]
    assert world.core.counters.duplicates == 2
    assert alice.send("General", "x" * 150, number=2)[2:5:2] == ["message_too_large", False]
    assert alice.do("send", "General", 9, b"\x90")[2:5:2] == ["bad_block", False]
    assert alice.send("General", "y", number=2)[0] == OK
    assert bob.texts() == ["x" * 150, "y"]
    world.check()


def test_a_block_that_breaks_a_rule_is_answered_once_what_was_stored_is_safe() -> None:
    store = LateStore(lambda: 1)
    world = World(Settings(max_message=200), store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    store.failing = Failed("the disk is full")
    assert alice.do("send", "General", 1, b"\x90")[2:5:2] == ["store_failed", True]
    store.failing = Full("too many wait")
    assert alice.do("send", "General", 1, b"\x90")[2:5:2] == ["busy", True]
    store.failing = None
    assert alice.do("send", "General", 1, b"\x90")[2:5:2] == ["bad_block", False]
    assert alice.do("send", "General", 0, b"\x90")[2:5:2] == ["malformed", False]
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
    assert world.core.figures().counts["storing_fails"] == (code == "store_failed")
    assert world.core.log_lines.take() == []
    world.pass_time(RECOVERED_AFTER + 2, 1)
    assert [note.text for note in world.core.log_lines.take()] == ["storing has recovered"] * (code == "store_failed")
    assert world.core.figures().counts["storing_fails"] == 0
    world.check()


# -- too fast ----------------------------------------------------------------------------------------


def test_what_is_sent_too_fast_is_refused_undecoded_with_when_it_will_be_taken() -> None:
    world = World(rules=Rules(limits=Rate(messages=10)))
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    assert alice.send("General", *["x"] * 1_000)[0] == OK
    refused = alice.do("send", "General", 2, b"\x91 which is no body")
    assert (refused[2], refused[4]) == ("busy", True)
    milliseconds = refused[5]
    assert milliseconds == (1_001 - 10 * MESSAGES_BURST) / 10 * 1_000
    assert world.core.counters.slowed_messages == 1
    assert bob.send("General", "hi")[0] == OK
    world.now += milliseconds / 1_000 - 0.01
    assert alice.do("send", "General", 2, b"\x91\xa1x")[2] == "busy"
    world.now += 0.02
    assert alice.do("send", "General", 2, b"\x91\xa1x")[0] == OK


def test_a_room_has_a_rate_of_its_own_and_direct_rooms_have_none() -> None:
    world = World(rules=Rules((Table(("*",), rate=Rate(bytes=10)),)))
    alice = Peer(world, "alice")
    for room in ("General", "@alice\nbob"):
        alice.join(room)
        assert alice.send(room, "x" * 1_000)[0] == OK
    assert alice.do("send", "General", 2, b"\x91\xa1x")[2] == "busy"
    assert alice.do("send", "@alice\nbob", 2, b"\x91\xa1x")[0] == OK
    assert world.core.counters.slowed_bytes == 1


def test_a_session_whose_client_has_gone_on_at_another_broker_is_ended_with_its_first_block_that_comes_too_late() -> (
    None
):
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    store.failing = Fenced()
    for number in (1, 2):
        alice.ask("send", "General", number, b"\x91\x01")
    world.run()
    assert [peer.ended() for peer in (alice, bob)] == ["superseded", None]
    assert world.core.log_lines.troubles == {}
    world.check()
