"""What becomes of the frames of a user who is over its share: none is lost, none overtakes another."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import (
    DEBT,
    EXPIRE_AFTER,
    FRAMES_WAITING,
    HISTORY_BYTES,
    MAX_REQUESTS,
    PAGE_SECONDS_A_BYTE,
    RECEIVED_LONG,
    RECEIVED_SECONDS_A_BYTE,
    SENT_SECONDS_A_BYTE,
    SHORT_PAGE_BYTES,
)
from zchat.broker.port import Cut
from zchat.broker.port import Peer as PeerAtBroker
from zchat.wire.notices import OK
from zchat.wire.values import pack, unpack


def put_in_debt(world: World, *peers: Peer) -> None:
    """Have peers be over their shares, beside somebody who speaks; what waits does so until `resume`."""
    world.resumes = False
    speaker = next((peer for peer in world.peers if peer.user == "speaker"), None) or Peer(world, "speaker")
    speaker.do("rooms", None, 1)
    for peer in peers:
        account = world.sessions[peer.id].account
        account.charge(2 * DEBT, world.now)
        account.charge(2 * DEBT, world.now)


def resume(world: World, *, idle: bool = False) -> int:
    """Carry out what may be, and return how much that was."""
    carried_out = 0
    while world.core.resume(world.now, idle=idle) is not None:
        carried_out += 1
    world.core.shares.rest(world.now)
    world.run()
    return carried_out


def test_frames_wait_in_their_order_and_are_carried_out_once_the_debt_is_paid(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    put_in_debt(world, alice)
    numbers = [alice.ask("send", "General", number, b"\x91\xa1x") for number in (1, 2, 3)]
    numbers.append(alice.ask("rooms", None, 1))
    world.run()
    assert not alice.replies.keys() & set(numbers)
    assert world.core.counters.frames_waited == 4
    assert resume(world) == 0
    world.now += 20
    assert resume(world) == 4
    assert [alice.replies[number][0] for number in numbers] == [OK] * 4
    assert world.rooms["general"].last == 3
    world.check()


def test_a_user_who_waits_holds_nobody_else_up(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    put_in_debt(world, alice)
    asked = alice.ask("rooms", None, 1)
    assert bob.do("rooms", None, 1)[0] == OK
    assert asked not in alice.replies


def test_a_ping_is_answered_at_once_and_credit_and_seen_never_wait(world: World) -> None:
    alice, bob = Peer(world, "alice", 1), Peer(world, "bob")
    alice.join("General")
    put_in_debt(world, alice)
    waiting = alice.ask("rooms", None, 1)
    for text in ("a", "b", "c"):
        bob.join("General") if "General" not in bob.joins else None
        bob.send("General", text)
        alice.credit("General")
    alice.tell("ping")
    assert alice.texts() == ["a", "b", "c"]
    assert any(notice[0] == "pong" for notice in alice.other)
    assert waiting not in alice.replies
    assert world.sessions[alice.id].waiting == 1


def test_a_frame_that_waits_counts_as_heard(world: World) -> None:
    alice = Peer(world, "alice")
    world.pass_time(EXPIRE_AFTER - 1)
    put_in_debt(world, alice)
    alice.ask("rooms", None, 1)
    world.pass_time(2)
    assert alice.ended() is None


@pytest.mark.parametrize("key", ["k" * 40, None])
def test_long_frames_count_by_their_bytes_where_they_were_encrypted(world: World, key: str | None) -> None:
    alice, speaker = Peer(world, "alice"), Peer(world, "speaker")
    session = world.sessions[alice.id]
    session.peer = session.peer._replace(key=key)
    block = b"\x91\xc6\0\x0f\xff\0" + b"x" * 0xFFF00
    for size, charged in ((RECEIVED_LONG // 2, False), (len(block), key is not None)):
        speaker.do("rooms", None, 1)
        before = session.account.debt
        world.core.receive(alice.id, [pack(("send", 9, "General", 1, block[:size]))], world.now)
        assert (session.account.debt > before + size * RECEIVED_SECONDS_A_BYTE / 2) is charged


@pytest.mark.parametrize("key", ["k" * 40, None])
def test_pages_are_short_for_who_is_over_its_share_beside_others(world: World, key: str | None) -> None:
    alice, speaker = Peer(world, "alice"), Peer(world, "speaker")
    session = world.sessions[alice.id]
    session.peer = session.peer._replace(key=key)
    alice.join("General")
    for _ in range(40):
        alice.send("General", "x" * 8_000)
    longest = alice.do("history", "General", 0, None, 100)
    assert HISTORY_BYTES * 0.8 < len(pack(longest[7])) < HISTORY_BYTES * 1.1
    world.resumes = False
    speaker.do("rooms", None, 1)
    before = session.account.debt = 2 * DEBT
    number = alice.ask("history", "General", 0, None, 100)
    assert resume(world, idle=True) == 1
    size = len(pack(alice.replies[number][7]))
    assert SHORT_PAGE_BYTES * 0.8 < size < SHORT_PAGE_BYTES * 1.1
    seconds = PAGE_SECONDS_A_BYTE + (SENT_SECONDS_A_BYTE if key is not None else 0)
    assert session.account.debt - before == pytest.approx(size * seconds, rel=0.1)


@pytest.mark.parametrize(
    ("size", "debt", "ends"),
    [(RECEIVED_LONG + 1, 2 * DEBT, True), (RECEIVED_LONG + 1, 0.0, False), (99, 2 * DEBT, False)],
)
def test_who_is_over_its_share_and_sends_long_frames_that_are_no_commands_is_ended(
    world: World, size: int, debt: float, ends: bool
) -> None:
    alice, speaker = Peer(world, "alice"), Peer(world, "speaker")
    speaker.do("rooms", None, 1)
    account = world.sessions[alice.id].account
    account.settle(world.now)
    account.debt = debt
    world.core.receive(alice.id, [b"\xc1" * size], world.now)
    world.core.resume(world.now, idle=True)
    world.core.shares.rest(world.now)
    alice.read()
    assert (alice.ended() is not None) is ends
    assert world.core.counters.refused["malformed"] == 1 + ends


def test_too_many_frames_that_wait_end_their_session(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    put_in_debt(world, alice)
    for _ in range(FRAMES_WAITING):
        alice.tell("typing", "General", True)
    assert alice.ended() is None
    alice.tell("typing", "General", True)
    assert alice.ended() == "too_many_requests"
    world.now += 100
    assert resume(world) == 0, "what is left of it is dropped"
    assert not world.core.shares.waiting
    bob.do("rooms", None, 1)
    world.check()


def test_too_many_bytes_that_wait_end_their_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.core.waiting.FRAME_BYTES_WAITING", 1_000)
    alice = Peer(world, "alice")
    alice.join("General")
    put_in_debt(world, alice)
    alice.ask("send", "General", 1, b"x" * 900)
    assert alice.ended() is None
    alice.ask("send", "General", 2, b"x" * 100)
    assert alice.ended() == "too_many_requests"


def test_too_many_bytes_of_all_end_the_session_that_sends_more_which_comes_back_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.core.waiting.ALL_BYTES_WAITING", 1_000)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    put_in_debt(world, alice, bob)
    alice.ask("rooms", "x" * 900, 1)
    bob.ask("rooms", "x" * 900, 1)
    assert bob.ended() == "busy"
    assert alice.ended() is None
    world.now += 20
    assert resume(world) == 1


def test_what_waits_of_a_connection_that_was_replaced_is_dropped(world: World) -> None:
    alice = Peer(world, "alice")
    put_in_debt(world, alice)
    alice.ask("rooms", None, 1)
    alice.reconnect()
    world.now += 20
    assert resume(world) == 0
    assert world.sessions[alice.id].waiting == 0


def test_a_users_sessions_wait_together_where_names_are_bound() -> None:
    world = World(gate=Gate({}))
    first, second, bob = Peer(world, "alice"), Peer(world, "Alice"), Peer(world, "bob")
    put_in_debt(world, first)
    assert second.ask("rooms", None, 1) not in second.replies
    assert bob.do("rooms", None, 1)[0] == OK


def test_strangers_wait_together_and_greet_in_the_end_with_what_they_said_after_it(world: World) -> None:
    put_in_debt(world)
    strangers = world.core.shares.strangers
    strangers.charge(3 * DEBT, world.now)
    carol = Peer(world, "carol", greet=False)
    world.receive(carol.id, pack(("hello", 1, 1, 1, "carol", carol.producer, carol.token, 0, 1)))
    world.receive(carol.id, pack(("join", 2, "General", 1, None, 0, True)))
    world.run()
    assert carol.id not in world.sessions
    world.now += 100
    assert resume(world) == 1
    assert [carol.replies[number][0] for number in (1, 2)] == [OK, OK]
    world.check()


def test_a_stranger_whose_first_frame_is_refused_is_refused_once_whatever_waits_after_it(world: World) -> None:
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    for _ in range(10):
        world.receive(b"many", pack(("rooms", 1, None, 10)))
    before = world.core.counters.refused.total()
    world.now += 100
    assert resume(world) == 1
    assert world.core.counters.refused.total() - before == 1
    assert world.port.cuts == [(b"many", Cut.STRANGER)]


@pytest.mark.parametrize("known", [True, False])
def test_a_greeting_that_waited_is_not_answered_to_who_claims_the_routing_id_afterwards(
    world: World, known: bool
) -> None:
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    greeted = PeerAtBroker(b"id", "", connection=7)
    world.core.receive(b"id", [pack(("hello", 5, 1, 1, "carol", b"p" * 16, b"t" * 16, 0, 1))], world.now, greeted)
    if known:  # that the connection has ended, before the routing id is claimed
        world.core.vanished(greeted)
    claims = PeerAtBroker(b"id", "", connection=8)
    world.core.receive(b"id", [pack(("rooms", 9, None, 10))], world.now, claims)
    world.now += 100
    assert resume(world) == 1
    assert [unpack(frame)[:3] for frame in world.port.frames[b"id"]] == [["error", 9, "no_session"]]
    assert not [session for session in world.sessions.values() if session.user == "carol"]
    assert not world.core.shares.waiting
    world.check()


def test_a_stranger_who_says_more_than_a_client_would_is_cut(world: World) -> None:
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    world.receive(b"much", b"x" * 2_000)
    for _ in range(MAX_REQUESTS + 2):
        world.receive(b"many", b"x")
    assert world.port.cuts == [(b"much", Cut.STRANGER), (b"many", Cut.STRANGER)]


def test_too_many_strangers_who_wait_are_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.core.waiting.STRANGER_FRAMES_WAITING", 2)
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    for name in (b"one", b"two", b"three", b"one"):
        world.receive(name, b"x")
    assert world.port.cuts == [(b"three", Cut.CROWDED), (b"one", Cut.CROWDED)]
    holds = [world.core.waiting.holds(PeerAtBroker(name, "")) for name in (b"two", b"three", b"one")]
    assert holds == [True, False, False]
    world.now += 100
    assert resume(world) == 1
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    world.port.cuts.clear()
    for name in (b"four", b"five"):
        world.receive(name, b"x")
    assert world.port.cuts == [], "there is room again"


@pytest.mark.parametrize("why", [Cut.STRANGER, Cut.CROWDED])
def test_a_greeting_that_waits_begins_no_session_over_a_connection_that_is_to_be_cut(
    world: World, monkeypatch: pytest.MonkeyPatch, why: Cut
) -> None:
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    if why is Cut.CROWDED:
        monkeypatch.setattr("zchat.broker.core.waiting.STRANGER_FRAMES_WAITING", 1)
    world.receive(b"id", pack(("hello", 1, 1, 1, "carol", b"p" * 16, b"t" * 16, 0, 1)))
    world.receive(b"id", b"x" * (2_000 if why is Cut.STRANGER else 1))
    assert world.port.cuts == [(b"id", why)]
    world.now += 100
    assert resume(world) == 0
    assert b"id" not in world.sessions
    assert not world.core.shares.waiting
    world.check()


def test_what_a_stranger_said_that_has_gone_is_not_carried_out_and_makes_room_in_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.core.waiting.STRANGER_FRAMES_WAITING", 3)
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    for name in (b"gone", b"here", b"gone"):
        world.receive(name, b"x")
    world.core.vanished(PeerAtBroker(b"gone", ""))
    refused = world.core.counters.refused.total()
    world.now += 100
    assert resume(world) == 1
    assert world.core.counters.refused.total() == refused + 1
    assert not world.core.shares.waiting
    put_in_debt(world)
    world.core.shares.strangers.charge(3 * DEBT, world.now)
    world.port.cuts.clear()
    for name in (b"one", b"two", b"three"):
        world.receive(name, b"x")
    assert world.port.cuts == []


SLOW = b"\x91\xdd\x00\x00\xff\x00" + b"\x90" * 0xFF00


def test_a_block_that_takes_long_to_check_holds_nobody_up_and_its_senders_frames_stay_in_order(world: World) -> None:
    world.resumes = False
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    asked = [
        alice.ask("send", "General", 1, SLOW),
        alice.ask("send", "General", 2, b"\x91\xa1x"),
        alice.ask("rooms", None, 1),
    ]
    world.run()
    assert not alice.replies.keys() & set(asked)
    assert world.sessions[alice.id].waiting == 3
    assert bob.do("rooms", None, 1)[0] == OK
    assert resume(world, idle=True) > 10
    first, second, _ = (alice.replies[number] for number in asked)
    assert (first[0], second[0]) == (OK, OK)
    assert first[2] < second[2]
    world.check()


def test_a_block_that_is_wrong_at_its_end_is_refused_when_that_is_found(world: World) -> None:
    world.resumes = False
    alice = Peer(world, "alice")
    alice.join("General")
    asked = alice.ask("send", "General", 1, SLOW[:-1] + b"\xc1")
    after = alice.ask("send", "General", 1, b"\x91\xa1x")
    resume(world, idle=True)
    assert alice.replies[asked][2] == "bad_block"
    assert alice.replies[after][0] == OK


def test_a_block_of_who_was_put_out_meanwhile_is_not_stored(world: World) -> None:
    world.resumes = False
    alice = Peer(world, "alice")
    alice.join("General")
    asked = alice.ask("send", "General", 1, SLOW)
    world.run()
    session = world.sessions[alice.id]
    session.members.clear()
    resume(world, idle=True)
    assert alice.replies[asked][2] == "not_a_member"
    assert world.rooms["general"].last == 0


def test_a_block_of_a_session_that_has_ended_is_checked_no_further(world: World) -> None:
    world.resumes = False
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    alice.ask("send", "General", 1, SLOW)
    world.core.context.sessions.end(world.sessions[alice.id], None)
    assert resume(world, idle=True) == 0
    assert world.rooms["general"].last == 0
    assert not world.core.shares.waiting
