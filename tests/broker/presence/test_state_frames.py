"""A room's state is sent conflated: one frame out at a time, the latest in it, everything bounded."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, Picture, World, picture_of
from tests.frames import decode_notice
from zchat.broker.limits import (
    MAX_NAMES,
    NAMES,
    RETRY_FIRST,
    RETRY_MAX,
    SHARED_UPDATES,
    STATE_BYTES,
    STATE_EVERY,
    STATE_FRAMES_A_SECOND,
    TURN_STALE,
    TURN_STATES,
)
from zchat.broker.presence import state_frames
from zchat.broker.rooms import roster
from zchat.broker.settings import Settings
from zchat.wire.notices import OK, STATE
from zchat.wire.values import pack


def states(world: World, peer: Peer) -> list[bytes]:
    """Return the state frames that were sent to a peer."""
    return [frame for frame in world.port.frames.get(peer.id, []) if decode_notice(frame)[0] == STATE]


def enter(world: World, count: int, room: str = "General", name: str = "user") -> list[Peer]:
    """Have so many users join a room, who don't say that they have seen anything."""
    peers = [Peer(world, f"{name} {number}") for number in range(count)]
    for peer in peers:
        peer.sees = False
        peer.ask("join", room, 1, None, 0, True)
        peer.covered[room] = 0
    return peers


# -- one frame out ---------------------------------------------------------------------------------


def test_one_state_frame_is_out_until_it_is_seen_and_the_next_has_the_latest(world: World) -> None:
    (slow,) = enter(world, 1)
    world.run()
    for _ in range(3):
        passing = Peer(world, "passing")
        passing.join("General")
        world.pass_time(1)
        passing.do("bye")
    Peer(world, "staying").join("General")
    world.pass_time(1)
    assert slow.states[slow.id] == 1
    slow.see()
    world.run()
    assert slow.states[slow.id] == 2
    assert slow.pictures["General"] == picture_of(world.rooms["general"])
    world.pass_time(1)
    assert slow.states[slow.id] == 2
    world.check()


def test_a_client_that_never_says_seen_gets_one_state_frame_and_everything_else(world: World) -> None:
    old, alice = enter(world, 1)[0], Peer(world, "alice")
    old.joins["General"], old.notified["General"] = 1, 0
    alice.join("General")
    for number in range(20):
        assert alice.send("General", number)[0] == OK
        old.credit("General")
    world.pass_time(1)
    assert old.texts() == list(range(20))
    assert len(states(world, old)) == 1


def test_seen_of_another_frame_changes_nothing_and_is_counted(world: World) -> None:
    (slow,) = enter(world, 1)
    world.run()
    Peer(world, "bob").join("General")
    world.pass_time(1)
    for number in (0, 2, 1_000):
        slow.tell("seen", number)
    world.run()
    assert world.core.counters.stale_seen == 3
    assert slow.states[slow.id] == 1
    slow.see()
    slow.tell("seen", 1)
    world.run()
    assert world.core.counters.stale_seen == 4
    assert slow.states[slow.id] == 2


def test_frames_are_counted_anew_on_each_connection(world: World) -> None:
    (slow,) = enter(world, 1)
    world.run()
    slow.reconnect()
    slow.sees = True
    slow.join("General")
    assert slow.states[slow.id] == 1
    world.check()


# -- pipes -----------------------------------------------------------------------------------------


def test_a_full_pipe_loses_no_state_and_no_frame_overtakes_a_reply(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    world.pass_time(1)
    world.port.full.add(alice.id)
    bob.join("General")
    asked = alice.ask("rooms", None, 1)
    world.pass_time(1, RETRY_MAX)
    assert alice.pictures["General"].members == 1
    world.port.full.clear()
    before = len(world.port.frames[alice.id])
    world.pass_time(2 * RETRY_MAX, RETRY_MAX)
    kinds = [decode_notice(frame)[:2] for frame in world.port.frames[alice.id][before:]]
    assert kinds == [[OK, asked], [STATE, 2]]
    assert alice.pictures["General"].members == 2
    world.check()


def test_no_state_overtakes_a_reply_that_waits_though_the_pipe_has_room_again(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
        world.pass_time(1)
    world.port.full.add(alice.id)
    asked = alice.ask("rooms", None, 1)
    world.pass_time(1, RETRY_MAX)  # the tries have become rare
    world.port.full.clear()
    before = len(world.port.frames[alice.id])
    bob.tell("typing", "General", True)
    world.run()
    assert len(world.port.frames[alice.id]) == before
    world.pass_time(2 * RETRY_MAX, RETRY_MAX)
    kinds = [decode_notice(frame)[:2] for frame in world.port.frames[alice.id][before:]]
    assert kinds == [[OK, asked], [STATE, 3]]


def test_a_pipe_that_only_state_finds_full_is_tried_again(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    world.pass_time(1)
    world.port.full.add(alice.id)
    bob.join("General")
    assert world.core.due() < world.now + RETRY_MAX
    world.port.full.clear()
    world.pass_time(RETRY_MAX)
    assert alice.pictures["General"].members == 2
    assert world.sessions[alice.id].backoff == RETRY_FIRST
    world.check()


def test_a_vanished_peer_is_tried_once(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    world.pass_time(1)
    world.port.gone.add(alice.id)
    tries = world.port.tries.count(alice.id)
    bob.join("General")
    bob.leave("General")
    world.pass_time(1)
    assert world.port.tries.count(alice.id) == tries + 1
    assert world.core.counters.failed == 1
    world.port.gone.clear()
    alice.reconnect()
    alice.join("General")
    assert alice.pictures["General"].members == 1
    world.check()


# -- pace ------------------------------------------------------------------------------------------


def test_the_changes_of_a_burst_go_out_together_every_twenty_milliseconds(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    world.pass_time(1)
    began = alice.states[alice.id]
    Peer(world, "first").join("General")
    Peer(world, "second").join("General")
    assert alice.pictures["General"].members == 2
    assert world.core.due() == world.now + STATE_EVERY
    for number in range(98):  # one a millisecond
        Peer(world, f"user {number}").ask("join", "General", 1, None, 0, True)
        world.peers.pop()
        world.pass_time(0.001, 0.001)
    world.pass_time(STATE_EVERY)
    assert alice.pictures["General"].members == 101
    assert alice.states[alice.id] - began <= 0.1 / STATE_EVERY + 2
    assert alice.states[alice.id] - began >= 0.1 / STATE_EVERY - 1


def test_a_room_is_reported_the_more_seldom_the_more_sessions_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_frames, "STATE_FRAMES_A_SECOND", 100)
    assert STATE_FRAMES_A_SECOND == 10_000
    world = World()
    peers = enter(world, 50)
    world.run()
    for peer in peers:
        peer.sees = True
        peer.see()
    world.pass_time(5, 0.01)
    before = world.core.counters.states
    for number in range(100):  # for a second
        other = Peer(world, f"other {number}")
        other.ask("join", "General", 1, None, 0, True)
        other.do("bye")
        world.pass_time(0.01, 0.01)
    assert 50 <= world.core.counters.states - before <= 150
    world.pass_time(1, 0.01)
    assert peers[0].pictures["General"].members == 50
    world.check()


def test_many_who_join_at_once_cost_few_frames_and_all_know_the_count() -> None:
    world = World()
    peers: list[Peer] = []
    for _ in range(50):  # 2,000 in a second
        peers += enter(world, 40, name=f"user {len(peers)}")
        for peer in peers:
            if peer.pictures:
                peer.see()
        world.pass_time(0.02, 0.02)
    for peer in peers:
        peer.sees = True
        peer.see()
    world.pass_time(1, 0.02)
    assert all(peer.pictures["General"] == Picture(None, 2_000, 0, 0) for peer in peers)
    assert world.core.counters.states < 25_000


# -- bounds ----------------------------------------------------------------------------------------


def test_a_state_frame_holds_64_kib_of_updates_and_the_rest_comes_in_the_next(world: World) -> None:
    reader = Peer(world, "reader")
    for number in range(6):
        for peer in enter(world, 60, f"Room {number}", "😀" * 50):
            peer.sees = False
    world.run()
    before = len(world.port.frames[reader.id])
    for number in range(6):
        reader.ask("join", f"Room {number}", number + 1, None, 0, True)
        reader.covered[f"Room {number}"] = 0
    world.run()
    sizes = [len(frame) for frame in world.port.frames[reader.id][before:] if decode_notice(frame)[0] == STATE]
    assert len(sizes) > 1
    assert max(sizes) <= STATE_BYTES + 100
    assert all(reader.pictures[f"Room {number}"].members == 61 for number in range(6))
    world.check()


def test_one_room_is_reported_however_large_and_names_have_a_bound() -> None:
    assert MAX_NAMES * 280 < 1 << 20
    world = World(Settings(names=MAX_NAMES))
    peers = enter(world, 300, name="😀" * 60)
    peers[0].sees = True
    world.run()
    assert len(states(world, peers[0])[0]) > STATE_BYTES
    assert peers[0].pictures["General"] == picture_of(world.rooms["general"])
    assert (peers[0].pictures["General"].members, len(states(world, peers[0]))) == (300, 1)


def test_a_turn_sends_a_bounded_number_of_state_frames_and_goes_on_where_it_stopped(world: World) -> None:
    peers = enter(world, 2 * TURN_STATES + 1)
    sent = []
    while world.core.busy:
        world.core.turn(world.now)
        sent.append(world.core.counters.states)
    assert sent == [TURN_STATES, 2 * TURN_STATES, 2 * TURN_STATES + 1]
    assert all(len(states(world, peer)) == 1 for peer in peers)


def test_a_turn_sends_a_bounded_number_of_bytes_of_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_frames, "TURN_STATE_BYTES", 1_000)
    enter(world, 60)
    before = 0
    while world.core.busy:
        world.core.turn(world.now)
        assert world.core.counters.states - before <= 2
        before = world.core.counters.states
    assert before == 60


def test_a_turn_marks_a_bounded_number_of_members_or_one_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TURN_STALE == 1_000
    monkeypatch.setattr(state_frames, "TURN_STALE", 10)
    alice = Peer(world, "alice")
    for name in ("A", "B", "C"):
        enter(world, 10, name)
    world.pass_time(5)
    assert not world.core.context.state_frames._flushes
    for number, name in enumerate(("A", "B", "C")):
        alice.ask("join", name, number + 1, None, 0, True)
        alice.covered[name] = 0
    left = []
    for _ in range(3):
        world.core.turn(world.now)
        left.append(len(world.core.context.state_frames._flushes))
    assert left == [2, 1, 0]


def test_the_log_goes_first_in_a_turn(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    world.pass_time(1)
    before = len(world.port.frames[bob.id])
    world.receive(alice.id, pack(("typing", "General", True)))
    world.receive(alice.id, pack(("send", 99, "General", 1, b"\x91\x01")))
    world.receive(alice.id, pack(("mark", 100, "General", 1)))
    world.turn()
    assert [decode_notice(frame)[0] for frame in world.port.frames[bob.id][before:]] == ["push", STATE]


# -- crowds ----------------------------------------------------------------------------------------


def test_a_room_of_more_users_than_names_tells_counts_until_it_has_three_quarters_of_them() -> None:
    world = World(Settings(names=8))
    alice = Peer(world, "alice")
    alice.join("General")
    others = [Peer(world, f"user {number}") for number in range(8)]

    def crowd(count: int, *, coming: bool) -> bool:
        """Return whether alice receives counts once there are so many others."""
        (others[count - 1].join if coming else others[count].leave)("General")
        world.pass_time(1)
        picture = alice.pictures["General"]
        assert picture.members == count + 1
        world.check()
        return picture.people is None

    assert [crowd(count, coming=True) for count in range(1, 9)] == [False] * 7 + [True]
    assert [crowd(count, coming=False) for count in (7, 6, 5, 4)] == [True, True, False, False]
    assert [crowd(count, coming=True) for count in (5, 6, 7, 8)] == [False, False, False, True]


def test_a_crowd_learns_how_many_type_and_how_many_have_read_to_the_end() -> None:
    world = World(Settings(names=0))
    alice, bob, carol = (Peer(world, name) for name in ("alice", "bob", "carol"))
    for peer in (alice, bob, carol):
        peer.join("General")
    alice.send("General", 1, 2)
    bob.tell("typing", "General", True)
    bob.do("mark", "General", 2)
    carol.do("mark", "General", 1)
    world.pass_time(1)
    assert alice.pictures["General"] == Picture(None, 3, 1, 1)
    frames = alice.states[alice.id]
    alice.do("mark", "General", 1)
    world.pass_time(1)
    assert alice.states[alice.id] == frames, "no count has changed"
    carol.do("mark", "General", 2)
    world.pass_time(1)
    assert alice.pictures["General"].caught_up == 2
    bob.send("General", 3)
    world.pass_time(1)
    assert alice.pictures["General"] == Picture(None, 3, 0, 0)
    carol.do("mark", "General", 3)
    carol.leave("General")
    world.pass_time(1)
    assert alice.pictures["General"] == Picture(None, 2, 0, 0)
    world.check()


# -- what a room remembers -------------------------------------------------------------------------


def test_who_lags_behind_more_leavers_than_are_remembered_gets_everybody_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "TOMBSTONES", 4)
    (slow,) = enter(world, 1)
    world.run()
    for count, whole in ((4, False), (5, True)):
        others = [Peer(world, f"other {number}") for number in range(count)]
        for other in others:
            other.join("General")
        world.pass_time(1)
        slow.see()
        world.run()
        for other in others:
            other.do("bye")
        world.pass_time(1)
        slow.see()
        world.run()
        assert decode_notice(states(world, slow)[-1])[2][0][1] is whole
        assert list(slow.pictures["General"].people or ()) == ["user 0"]
        assert len(world.rooms["general"].roster._gone) <= 4  # type: ignore[union-attr]
        slow.see()
        world.run()
    world.check()


def test_an_update_is_made_once_for_all_members_who_were_sent_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = roster.Roster._make

    def counted(self: roster.Roster, since_version: int) -> bytes:
        made.append(since_version)
        return make(self, since_version)

    monkeypatch.setattr(roster.Roster, "_make", counted)
    peers = enter(world, 20)
    world.run()
    assert made == [0]
    for peer in peers:
        peer.see()
    made.clear()
    world.pass_time(1)
    Peer(world, "bob").join("General")
    world.pass_time(1)
    assert sorted(made) == [0, 20], "bob's picture, and what has changed for the others"


def test_a_room_keeps_few_updates_however_many_versions_its_members_were_sent(world: World) -> None:
    peers: list[Peer] = []
    for number in range(2 * SHARED_UPDATES):
        peers += enter(world, 1, name=f"user {number}")
        world.run()
    world.pass_time(1)
    Peer(world, "bob").join("General")
    for peer in peers:
        peer.see()
    world.pass_time(1)
    assert len(world.rooms["general"].roster._shared) == SHARED_UPDATES  # type: ignore[union-attr]
    assert all(peer.pictures["General"].members == len(peers) + 1 for peer in peers)


def test_the_default_names_are_two_hundred() -> None:
    assert Settings().names == NAMES == 200
