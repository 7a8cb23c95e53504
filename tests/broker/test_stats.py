"""What the broker tells of itself."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from tests.broker.driver import Peer, World
from zchat.broker.counters import Counters
from zchat.broker.limits import LAG_EVERY
from zchat.broker.settings import Settings
from zchat.broker.stats import COUNTS

MANUAL = (Path(__file__).parents[2] / "docs" / "command.md").read_text(encoding="utf-8")
HELD = {"sessions", "rooms", "memberships"}


def test_stats_tell_what_was_counted_and_what_is_held() -> None:
    world = World()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    bob.join("Sports")
    alice.send("General", "one", "two")
    bob.ask("members", "Nowhere", None, 1)
    counts, refused, lagging = bob.do("stats")[2:]
    assert (counts["messages"], counts["blocks"], counts["greeted"]) == (2, 1, 2)
    assert (counts["sessions"], counts["memberships"]) == (2, 3)
    assert counts["rooms"] == len(world.core.rooms)
    assert refused == {"no_such_room": 1}
    assert lagging == []


def test_stats_tell_who_lags_but_not_in_direct_rooms() -> None:
    world = World(Settings(high_water_mark=1))
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for room in ("General", "@alice\nbob"):
        for peer in (alice, bob):
            peer.join(room)
        for text in ("one", "two", "three"):
            alice.send(room, text)
    for _ in range(int(LAG_EVERY) + 1):
        world.pass_time(1)
        for peer in (alice, bob):
            peer.tell("ping")
    counts, _, lagging = alice.do("stats")[2:]
    assert counts["lagging"] == 2
    assert lagging == [["General", "bob", 2]]


def test_every_count_is_in_the_manual_and_no_other() -> None:
    part = MANUAL[MANUAL.index("| count | meaning |") :]
    described = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+`) \|", part, re.MULTILINE))))
    assert described == {*COUNTS, *HELD}
    assert {*COUNTS, "refused"} == {field.name for field in fields(Counters)}
