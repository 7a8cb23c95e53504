"""Every counter moves, when what it counts has happened."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat.broker.delivery import pusher
from zchat.broker.figures.counters import Counters
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules import Rate, Rules, Table
from zchat.broker.limits import EXPIRE_AFTER, RETAIN_EVERY
from zchat.broker.port import Cut
from zchat.broker.presence import state_frames
from zchat.broker.settings import Settings
from zchat.broker.store import ledger
from zchat.broker.store.contract import Commit, Failed, RoomLog


def a_life(world: World, store: LateStore) -> None:
    """Have everything happen that is counted."""
    alice, bob, carol = (Peer(world, name) for name in ("alice", "bob", "carol"))
    alice.join("General")
    bob.join("General")
    alice.send("General", 1)
    alice.send("General", 1, number=1)
    bob.credit("General", 0)
    bob.credit("General")
    for _ in range(2):
        alice.tell("typing", "General", True)
    alice.do("mark", "General", 1)
    alice.join("@alice\nbob")
    alice.send("@alice\nbob", "hi")
    alice.do("mark", "@alice\nbob", 1)
    alice.send("General", 2, number=1)
    alice.tell("seen", 1_000)
    for _ in range(5):
        alice.ask("history", "General", 0, None, 1)
    world.core.shares.strangers.charge(1.0, world.now)
    world.receive(b"stranger", b"x")
    world.pass_time(30)
    world.core.resume(world.now, idle=False)
    alice, bob, carol = (Peer(world, name) for name in ("alice", "bob", "carol"))
    alice.join("General")
    bob.join("General")
    for _ in range(2):
        for room in ("slow", "slower"):
            alice.join(room)
            alice.send(room, *"x" * 20)
    store.failing = Failed("the disk is broken")
    carol.join("General", (0, 0))
    store.failing = None
    world.pass_time(1, 0.1)
    carol.join("General", (7, 7))
    world.port.full.add(bob.id)
    bob.credit("General")
    alice.send("General", 3)
    world.port.full.clear()
    world.port.gone.add(carol.id)
    carol.ask("rooms", None, 1)
    old = alice.reconnect()
    world.receive(old, b"late")
    world.pass_time(max(EXPIRE_AFTER, RETAIN_EVERY) + 2)
    store.reports.append(lambda watcher: watcher.parted(RoomLog("General", 1, 0, ())))
    world.run()


RULES = Rules((Table(("slow",), rate=Rate(messages=1)), Table(("slower",), rate=Rate(bytes=1))))

COUNTED_ELSEWHERE = {"log_dropped", "lost_before_greeting", "turned_away", *(why.counter for why in Cut)}
COUNTED_ELSEWHERE |= {"turned_away_unknown_key", "turned_away_too_often", "turned_away_too_many", "audit_left_out"}
"""Held by tests/cli/test_logs.py, tests/broker/edge/test_descriptors.py, tests/broker/test_keys.py, tests/attacks,
tests/broker/edge/test_entrance.py and tests/broker/edge/test_audit.py: by the command, the door,
the doorkeeper and the thread that writes."""


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Counters)} - COUNTED_ELSEWHERE))
def test_each_counter_moves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TAIL_BYTES", 1)
    monkeypatch.setattr(state_frames, "MAX_MEMBERSHIPS", 0)
    monkeypatch.setattr(ledger, "USER_PRODUCERS", 1)
    monkeypatch.setattr(ledger, "USER_READ_MARKS", 1)
    store = LateStore(lambda: 1)
    store.commits.append(Commit(100, 10))
    monkeypatch.setattr(store, "trim", lambda room, keep, before, done, ahead: done(Failed("no")))
    world = World(Settings(high_water_mark=1, retain_messages=1), store, gate=Gate({}), rules=RULES)
    before = getattr(Counters(), name)
    a_life(world, store)
    assert getattr(world.core.counters, name) > before
