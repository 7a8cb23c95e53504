"""Pages of history, asked of the core."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Notice, Peer, World
from zchat.broker import limits
from zchat.broker.store.contract import Failed, Full
from zchat.wire.blocks import messages_of
from zchat.wire.notices import OK


def texts(page: Notice) -> list[object]:
    _, _, room, _, after, upto, _, blocks = page
    return [message.body for message in messages_of(room, blocks, after, upto)]


# -- history ---------------------------------------------------------------------------------------


@pytest.fixture
def told(world: World) -> Peer:
    """Give a peer and General with "1" to "20", in blocks of 4."""
    alice = Peer(world, "alice")
    alice.join("General")
    for first in range(1, 21, 4):
        alice.send("General", *map(str, range(first, first + 4)))
    return alice


@pytest.mark.parametrize("after", [None, 0, 1, 6, 19, 20, 99])
@pytest.mark.parametrize("before", [None, 0, 1, 2, 7, 20, 21, 99])
@pytest.mark.parametrize("limit", [0, 1, 3, 100])
def test_history_keeps_its_bounds(told: Peer, after: int | None, before: int | None, limit: int) -> None:
    lies_within = [n for n in range(1, 21) if (after or 0) < n and (before is None or n < before)]
    chosen = lies_within[:limit] if after is not None else lies_within[max(0, len(lies_within) - limit) :]
    page = told.do("history", "general", after, before, limit)
    assert page[2] == "General"
    assert texts(page) == list(map(str, chosen))
    assert page[6] is False


def test_a_long_history_comes_in_pages(told: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HISTORY_MESSAGES", 7)
    found: list[object] = []
    more, after = True, 0
    while more:
        page = told.do("history", "General", after, None, 18 - len(found))
        assert page[4] == after
        found += texts(page)
        after, more = page[5:7]
    assert found == list(map(str, range(1, 19)))


def test_a_page_of_history_is_bounded_in_bytes(told: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HISTORY_BYTES", 1)
    page = told.do("history", "General", None, None, 10)
    assert (texts(page), page[6]) == (["11", "12"], True)


def test_history_of_what_was_trimmed_begins_with_what_is_kept(world: World, told: Peer) -> None:
    world.store.trim("General", 8, 0, lambda outcome: None)
    assert texts(told.do("history", "General", 0, None, 3)) == ["13", "14", "15"], "the core knows of no trim yet"
    world.core.context.pusher.trimmed(world.rooms["general"], 13)
    assert texts(told.do("history", "General", 0, None, 3)) == ["13", "14", "15"]
    assert texts(told.do("history", "General", None, 13, 3)) == []


def test_history_says_why_it_cannot_be_read() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "x")
    store.failing = Failed("the disk is gone")
    assert alice.do("history", "General", None, None, 1)[2:5:2] == ["store_failed", True]
    store.failing = Full("too many reads")
    assert alice.do("history", "General", None, None, 1)[2:5:2] == ["busy", True]
    assert alice.do("history", "Nowhere", None, None, 1)[2] == "no_such_room"
    assert world.core.settled


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
        stuck.id, stuck._read = world.new_id(), 0
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
