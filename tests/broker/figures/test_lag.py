"""Who is behind the log, and by how much."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.figures import lag
from zchat.broker.figures.lag import Lag
from zchat.broker.limits import LAG_EVERY, LAG_SHOWN
from zchat.broker.settings import Settings


def wait(world: World, seconds: float) -> None:
    """Let time pass, in which nobody's session expires."""
    for _ in range(int(seconds)):
        world.pass_time(1)
        for peer in world.peers:
            peer.tell("ping")


def read_all(reader: Peer) -> None:
    """Have a reader take everything, a notification at a time."""
    while reader.world.rooms["general"].last > reader.covered["General"]:
        before = reader.covered["General"]
        reader.credit("General")
        assert reader.covered["General"] > before


def notes(world: World) -> list[str]:
    return [note.text for note in world.core.log_lines.take() if "behind" in note.text]


def test_those_furthest_behind_are_reported_with_how_far_they_are() -> None:
    world = World(Settings(high_water_mark=1))
    speaker = Peer(world, "alice")
    speaker.join("General")
    speaker.join("Sports")
    readers = [Peer(world, f"user{number}") for number in range(LAG_SHOWN + 2)]
    for reader in readers:
        reader.join("General")
        speaker.send("General", "x")
    readers[0].join("Sports")
    speaker.send("Sports", *range(100))
    wait(world, LAG_EVERY)
    assert world.core.lag.furthest == tuple(
        Lag("General", f"user{number}", LAG_SHOWN + 1 - number) for number in range(LAG_SHOWN)
    )
    assert world.core.counters.lagging == LAG_SHOWN + 1, "who was sent all is not behind"
    for reader in readers:
        read_all(reader)
    wait(world, LAG_EVERY)
    assert world.core.lag.furthest == ()
    assert world.core.counters.lagging == 0


def test_who_stays_far_behind_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "LAG_NOTED", 5)
    world = World(Settings(high_water_mark=1))
    speaker, reader = Peer(world, "alice"), Peer(world, "bob")
    speaker.join("General")
    reader.join("General")
    for _ in range(6):
        speaker.send("General", "x")
    wait(world, LAG_EVERY)
    assert notes(world) == [], "it may be a burst"
    wait(world, LAG_EVERY)
    assert notes(world) == ["'bob' is 5 messages behind in 'General'"]
    wait(world, 3 * LAG_EVERY)
    assert notes(world) == []
    read_all(reader)
    wait(world, LAG_EVERY)
    for _ in range(6):
        speaker.send("General", "x")
    wait(world, 2 * LAG_EVERY)
    assert notes(world) == ["'bob' is 6 messages behind in 'General'"]
