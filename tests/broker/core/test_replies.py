"""Who is answered, when, and how much may wait to be."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat.broker import limits
from zchat.broker.limits import MAX_REQUESTS
from zchat.wire.notices import OK


def test_pages_are_refused_while_too_many_bytes_of_replies_wait_and_taken_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.delivery.pipes.REPLIES_BYTES", 2_000)
    alice, stuck = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    alice.send("General", "x" * 900)
    world.port.full.add(stuck.id)
    for _ in range(10):
        stuck.ask("history", "General", None, None, 1)
    world.run()
    assert 2_000 <= world.core.context.pipes.waiting < 4_000, "refusals wait as well, but they are small"
    assert alice.do("history", "General", None, None, 1)[2:5:2] == ["busy", True]
    assert alice.do("rooms", None, 1)[2:5:2] == ["busy", True]
    assert alice.send("General", "small answers still come")[0] == OK
    world.check()
    world.port.full.clear()
    world.pass_time(limits.RETRY_MAX, limits.RETRY_MAX)
    assert world.core.context.pipes.waiting == 0
    assert alice.do("history", "General", None, None, 1)[0] == OK
    world.check()


def test_pages_that_the_store_reads_meanwhile_are_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.delivery.pipes.REPLIES_BYTES", 2_000)
    monkeypatch.setattr("zchat.broker.presence.state_frames.UNREAD_BYTES", 1 << 40)
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "x" * 900)
    world.port.full.add(alice.id)
    for _ in range(10):
        alice.ask("history", "General", None, None, 1)
    world.run()
    assert world.core.context.pipes.waiting < 4_000
    assert world.core.counters.refused["busy"] == 7
    world.check()


@pytest.mark.parametrize("way", ["reconnect", "expire", "vanish", "goodbye"])
def test_replies_that_nobody_waits_for_any_more_are_not_counted(world: World, way: str) -> None:
    stuck = Peer(world, "bob")
    world.port.full.add(stuck.id)
    stuck.ask("rooms", None, 10)
    assert world.core.context.pipes.waiting > 0
    if way == "reconnect":
        stuck.id, stuck.frames_read = world.new_id(), 0
        stuck.ask("hello", 1, 1, "bob", stuck.producer, stuck.token, 0, 2)
    elif way == "expire":
        world.pass_time(limits.EXPIRE_AFTER + 2)
    elif way == "vanish":
        world.port.full.clear()
        world.port.gone.add(stuck.id)
    else:
        stuck.ask("bye")
    world.pass_time(1, 0.01)
    assert world.core.context.pipes.waiting == 0
    world.check()


def test_requests_whose_replies_find_a_full_pipe_count_as_unanswered(world: World) -> None:
    peer = Peer(world, "alice")
    world.port.full.add(peer.id)
    for _ in range(MAX_REQUESTS):
        peer.ask("rooms", None, 1)
    assert len(world.sessions) == 1
    peer.ask("rooms", None, 1)
    assert not world.sessions
    world.check()


def test_a_malformed_request_is_answered_with_its_number(world: World) -> None:
    peer = Peer(world, "alice")
    for _ in range(2 * MAX_REQUESTS):
        assert peer.do("rooms", 5, "x")[2] == "malformed"
    assert world.core.counters.refused["malformed"] == 2 * MAX_REQUESTS
    assert peer.ended() is None
