"""What the broker tells of itself."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from tests.broker.driver import Peer, World
from tests.running import ROOT
from zchat.broker.figures.counters import COUNTED, Counters
from zchat.broker.figures.stats import METRICS
from zchat.broker.limits import LAG_EVERY
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Health
from zchat.broker.store.memory import MemoryStore
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

MANUAL = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def test_stats_tell_what_was_counted_and_what_is_held() -> None:
    world = World()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    bob.join("Sports")
    alice.send("General", "one", "two")
    bob.ask("members", "Nowhere", None, 1)
    counts, refused, lagging, _, _ = bob.do("stats")[2:]
    assert (counts["messages"], counts["blocks"], counts["greeted"]) == (2, 1, 2)
    assert (counts["sessions"], counts["memberships"]) == (2, 3)
    assert counts["rooms"] == len(world.rooms)
    assert refused == {"no_such_room": 1}
    assert lagging == []


def test_stats_tell_how_the_connection_to_the_stores_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def found() -> list[int]:
        counts = world.core.figures().counts
        names = ("connected", "silent", "waiting", "attachments", "looks", "tends")
        return [counts[f"store_{name}"] for name in names]

    assert found() == [1, 0, 0, 0, 0, 1], "without a server"
    world = World()
    monkeypatch.setattr(MemoryStore, "health", lambda self: Health(False, 3.7, 5, 2, 64, False))
    world = World()
    assert found() == [0, 3, 5, 2, 64, 0]


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
    counts, _, lagging, _, _ = alice.do("stats")[2:]
    assert counts["lagging"] == 2
    assert lagging == [["General", "bob", 2]]


def test_every_count_is_in_the_manual_and_no_other() -> None:
    part = MANUAL.partition("| count | meaning |")[2].partition("\n\n")[0]
    described = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+`) \|", part, re.MULTILINE))))
    assert described == set(METRICS)


def test_every_counter_says_what_it_counts() -> None:
    assert {*COUNTED, "refused"} == {field.name for field in fields(Counters)}
    assert all(metric.help.endswith(".") for metric in METRICS.values())
    assert len({metric.name for metric in METRICS.values()}) == len(METRICS)


def test_what_was_received_sent_and_delivered_is_counted_to_the_byte() -> None:
    world = World()
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    alice.send("General", "one", "two")
    before = alice.do("stats")[2]
    frame = pack(("send", 99, "General", 2, join_bodies([pack("x" * 100)])))
    world.receive(alice.id, frame)
    world.receive(alice.id, b"\xff")
    world.run()
    asked = pack(("stats", 100))
    counts = alice.do("stats")[2]
    assert counts["received_bytes"] - before["received_bytes"] == len(frame) + 1 + len(asked)
    assert counts["frames"] - before["frames"] == 3
    assert counts["deliveries"] == 3
    assert counts["messages"] == 3
    assert counts["sent_bytes"] == world.port.sent_bytes - len(world.port.frames[alice.id][-1]), "all but this answer"


def test_frames_that_are_refused_are_counted_by_reason() -> None:
    world = World()
    alice = Peer(world, "alice")
    for frame in (b"\xff", pack(("shout",)), pack(("join", 7))):
        world.receive(alice.id, frame)
    world.receive(b"stranger", pack(("rooms", 1, None, 1)))
    alice.ask("join", "/", 1, None, 0, True)
    assert alice.do("stats")[3] == {"malformed": 3, "no_session": 1, "bad_name": 1}


def test_how_long_the_broker_has_run_and_since_when_is_reported() -> None:
    world = World()
    alice = Peer(world, "alice")
    started = alice.do("stats")[2]["started"]
    world.pass_time(2)
    counts = alice.do("stats")[2]
    assert counts["started"] == started > 0
    assert counts["uptime"] == 2_000_000
