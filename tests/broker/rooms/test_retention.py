"""What the broker removes, and when."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.limits import RETAIN_EVERY
from zchat.broker.rooms import wall_clock
from zchat.broker.settings import Settings
from zchat.broker.store.contract import TRIM_BLOCKS, Failed, Trimmed
from zchat.broker.store.memory import MemoryStore
from zchat.wire.notices import OK

DAY = 86_400_000_000


@pytest.fixture(autouse=True)
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the wall clock believed at once: what it is worth is tested elsewhere."""
    for name in ("SETTLING", "START_SETTLING"):
        monkeypatch.setattr(wall_clock, name, 0.0)


def kept(world: World, room: str = "general") -> tuple[int, int]:
    return world.rooms[room].first, world.rooms[room].last


def retaining(messages: int = 0, days: float = 0) -> tuple[World, Peer]:
    world = World(Settings(retain_messages=messages, retain_days=days))
    alice = Peer(world, "alice")
    alice.join("General")
    return world, alice


def test_without_retention_nothing_is_removed_and_nothing_is_due() -> None:
    world, alice = retaining()
    for number in range(20):
        alice.send("General", number)
    world.clock.time += 1000 * DAY
    world.pass_time(3 * RETAIN_EVERY, 1)
    assert kept(world) == (1, 20)
    assert world.core._retention.due == float("inf")


def test_a_room_keeps_its_newest_messages() -> None:
    world, alice = retaining(messages=5)
    for number in range(20):
        alice.send("General", number)
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (16, 20)
    world.check()


def test_messages_older_than_their_days_go_also_from_rooms_with_few() -> None:
    world, alice = retaining(days=2)
    alice.send("General", "old")
    world.clock.time += DAY
    world.pass_time(3, 1)
    assert alice.send("General", "younger", number=1)[0] == OK  # its producer is forgotten after a day
    world.clock.time += DAY + 1
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (2, 2)
    world.clock.time += DAY
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (3, 2)
    world.pass_time(2 * RETAIN_EVERY, 1)
    world.check()


def test_both_rules_hold_at_once() -> None:
    world, alice = retaining(messages=3, days=1)
    for number in range(6):
        alice.send("General", number)
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (4, 6)
    world.clock.time += 2 * DAY
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (7, 6)


def test_a_long_log_is_trimmed_in_small_steps_one_a_turn() -> None:
    world, alice = retaining(messages=1)
    for number in range(3 * TRIM_BLOCKS):
        alice.send("General", number)
    world.now += 2 * RETAIN_EVERY
    firsts = []
    for _ in range(4):
        world.core.tick(world.now, True)
        firsts.append(kept(world)[0])
    assert firsts == [TRIM_BLOCKS + 1, 2 * TRIM_BLOCKS + 1, 3 * TRIM_BLOCKS, 3 * TRIM_BLOCKS]


def test_a_trim_that_fails_is_tried_again_in_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    world, alice = retaining(messages=1)
    for number in range(5):
        alice.send("General", number)
    trim = MemoryStore.trim
    monkeypatch.setattr(MemoryStore, "trim", lambda self, room, keep, before, done, ahead: done(Failed("no")))
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (1, 5)
    assert world.core.counters.untrimmed > 1
    assert [note.text for note in world.core.log_lines.take()] == ["retention fails: no"]
    monkeypatch.setattr(MemoryStore, "trim", trim)
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert kept(world) == (5, 5)


def test_what_the_store_trims_by_itself_is_taken_note_of() -> None:
    world = World()
    store = MemoryStore(world.clock, max_room_messages=4)
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob", 1)
    alice.join("General")
    bob.join("General")
    for number in range(1, 11):
        alice.send("General", number)
    assert kept(world) == (7, 10)
    bob.credit("General")
    bob.credit("General")
    assert [gap[3:] for gap in bob.gaps["General"]] == [[1, 6, "trimmed"]]
    assert bob.texts() == [1, 7, 8, 9, 10]
    world.check()


def test_an_answer_that_comes_late_goes_on_with_the_round() -> None:
    world, _ = retaining(messages=1)
    calls = []
    world.store.trim = lambda room, keep, before, done, ahead=0: calls.append((room, done))  # type: ignore[method-assign]
    for name in ("one", "two"):
        peer = Peer(world, name)
        peer.join(name)
        peer.send(name, 1)
        peer.send(name, 2)
    world.pass_time(2 * RETAIN_EVERY, 1)
    assert [room for room, _ in calls] == ["one"], "one step at a time"
    calls[0][1](Trimmed(2, False))
    world.run()
    assert [room for room, _ in calls] == ["one", "two"]
