"""What the tests of delivery share."""

from __future__ import annotations

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat.broker.delivery import pusher
from zchat.broker.limits import (
    NOTIFICATION_BYTES,
)
from zchat.broker.store.contract import Failed
from zchat.wire.notices import OK


def pair(world: World, window: int = 0) -> tuple[Peer, Peer]:
    """Give a speaker and a listener in General."""
    speaker, listener = Peer(world, "alice"), Peer(world, "bob", window)
    speaker.join("General")
    listener.join("General")
    return speaker, listener


# -- behind the tail -------------------------------------------------------------------------------


def say(speaker: Peer, count: int, room: str = "General") -> None:
    """Send `count` blocks that fill a notification each."""
    for _ in range(count):
        assert speaker.send(room, "x" * NOTIFICATION_BYTES)[0] == OK


def unreadable(monkeypatch: pytest.MonkeyPatch) -> tuple[World, LateStore, Peer]:
    """Give a reader who is behind in General, where the store can't read, and at the end in Sports."""
    monkeypatch.setattr(pusher, "TAIL_BYTES", 1)
    store = LateStore(lambda: 1)
    world = World(store=store)
    speaker = Peer(world, "alice")
    for room in ("General", "Sports"):
        speaker.join(room)
    say(speaker, 3)
    reader = Peer(world, "carol")
    reader.join("Sports")
    world.core.log_lines.take()
    store.failing = Failed("the disk is broken")
    reader.join("General", (0, 0))
    return world, store, reader


# -- gaps ------------------------------------------------------------------------------------------


def trim(world: World, keep: int, room: str = "General") -> None:
    """Have retention remove all but the newest `keep` messages."""
    world.store.trim(room, keep, 0, lambda outcome: None)
