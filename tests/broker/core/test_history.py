"""Pages of history, asked of the core."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Notice, Peer, World
from zchat.broker import limits
from zchat.broker.store.contract import Failed, Full
from zchat.wire.blocks import messages_of


def texts(page: Notice) -> list[object]:
    _, _, room, _, after, upto, _, blocks = page
    return [message.body for message in messages_of(room, blocks, after, upto)]


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


def test_the_newest_messages_and_then_what_follows_are_each_there_once(world: World, told: Peer) -> None:
    bob = Peer(world, "bob")
    seq = bob.join("General")[4]
    told.send("General", "21")
    assert texts(bob.do("history", "General", None, seq + 1, 3)) == ["18", "19", "20"]
    told.send("General", "22")
    assert bob.texts() == ["21", "22"]
    assert bob.do("history", "General", None, 1, 3)[3:7] == [0, 0, 0, False], "no message, and no position"
