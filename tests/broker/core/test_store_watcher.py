"""What follows from what a store reports."""

from __future__ import annotations

from tests.broker.driver import LateStore, Peer, World
from tests.broker.shared import SharedStore
from tests.broker.store.driver import Reports
from zchat.broker.guard.rules import Rate, Rules
from zchat.broker.store.contract import Append, Commit, RoomLog
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.news import Amount, Spent
from zchat.messages import GapReason
from zchat.names import fold
from zchat.wire.notices import OK


def test_a_commit_is_counted_with_its_time_and_its_bytes() -> None:
    store = LateStore(lambda: 1)
    store.commits += [Commit(50, 256), Commit(51, 257), Commit(10_000_000, 1 << 30)]
    alice = Peer(World(store=store), "alice")
    counts, _, _, times, _ = alice.do("stats")[2:]
    assert (counts["commits"], counts["commit_bytes"]) == (3, 256 + 257 + (1 << 30))
    bounds, numbers, total = times["commit"]
    assert (numbers[:2], sum(numbers), numbers[-1], total) == ([1, 1], 3, 1, 10_000_101)
    assert len(numbers) == len(bounds) + 1
    assert times["commit_bytes"][1][:2] == [1, 1]


def test_members_of_a_room_that_has_lost_messages_come_back_and_are_sent_what_became_of_their_positions() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob, carol = (Peer(world, user) for user in ("alice", "bob", "carol"))
    alice.join("General")
    bob.join("General")
    carol.join("Movies")
    for text in "abc":
        alice.send("General", text)
    room = world.rooms["general"]
    epoch = room.epochs.current
    left = RoomLog("General", 1, 1, (Epoch(epoch, 1),))
    store.reports.append(lambda watcher: watcher.parted(left))
    world.run()
    assert [peer.ended() for peer in (alice, bob, carol)] == ["store_failed", "store_failed", None]
    assert (room.last, len(room.tail), room.members) == (1, 0, {})
    lines = [(line.text, line.grave) for line in world.core.log_lines.take() if line.fields["event"] == "messages_lost"]
    assert lines == [("the store has lost messages of 'General', which had 3 and has 1", True)]
    assert world.core.counters.rooms_lost_messages == 1
    bob.reconnect()
    bob.join("General", (epoch, 3))
    assert [gap[3:] for gap in bob.gaps["General"]] == [[3, 1, GapReason.TAIL_LOST]]
    world.check()


def test_a_room_that_is_gone_is_forgotten_and_one_that_nobody_knows_is_no_trouble() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("Sailing")
    alice.send("Sailing", "a")
    alice.leave("Sailing")
    store.reports.append(lambda watcher: watcher.parted(RoomLog("Sailing", 1, 0, ())))
    store.reports.append(lambda watcher: watcher.parted(RoomLog("Nowhere", 1, 0, ())))
    world.run()
    assert fold("Sailing") not in world.rooms
    world.check()


def test_a_room_that_was_begun_elsewhere_is_there() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    store.reports.append(lambda watcher: watcher.appeared(RoomLog("Sailing", 3, 2, (), "bob")))
    world.run()
    assert (world.rooms["sailing"].first, world.rooms["sailing"].maker) == (3, "bob")
    assert alice.join("Sailing", create=False)[0] == OK


def test_of_what_others_have_stored_without_a_block_being_reported_members_are_served_from_the_log() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob, carol = (Peer(world, user) for user in ("alice", "bob", "carol"))
    alice.join("General")
    bob.join("General")
    alice.send("General", "a")
    room = world.rooms["general"]
    stored = Append("General", b"elsewhere.......", 1, "zoe", b"\x91\xa1b", 1, 1)
    store.append(stored, lambda _: None)
    MemoryStore.poll(store, Reports())
    store.reports.append(lambda watcher: watcher.reached(RoomLog("General", 1, 2, tuple(room.epochs))))
    world.run()
    assert (room.last, len(room.tail)) == (2, 0)
    assert [bob.texts(), alice.texts()] == [["a", "b"], ["b"]]
    carol.join("General", (room.epochs.current, 1))
    assert carol.texts() == ["b"]
    alice.send("General", "c")
    assert bob.texts() == ["a", "b", "c"]
    world.check()


def test_the_users_of_a_direct_room_are_invited_to_what_was_said_at_another_broker() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    name = "@alice\nbob"
    store.reports.append(lambda watcher: watcher.appeared(RoomLog(name, 1, 0, ())))
    store.reports.append(lambda watcher: watcher.reached(RoomLog(name, 1, 2, (Epoch(7, 1),))))
    world.run()
    assert world.rooms[fold(name)].last == 2
    assert len(alice.invitations) == 1


def test_what_users_send_is_told_to_other_brokers_and_what_they_send_there_counts_here() -> None:
    store = SharedStore()
    world = World(store=store, rules=Rules(limits=Rate(messages=10)))
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for peer in (alice, bob):
        peer.join("General")
    assert alice.send("General", *["x"] * 20)[0] == OK
    world.pass_time(1)
    assert [news for news in store.news if isinstance(news, Spent)] == [Spent((Amount("@alice", 20, 43),))]
    store.reports.append(lambda watcher: watcher.told(Spent((Amount("@alice", 200, 400),)), b"b"))
    world.run()
    refused = alice.do("send", "General", 2, b"\x91\xa1x")
    assert (refused[2], refused[5]) == ("busy", (200 + 20 - 10 - 100 + 1) * 100), "she had 90 left, and 10 a second"
    assert bob.send("General", "hi")[0] == OK
    world.check()


def test_what_is_sent_elsewhere_counts_nowhere_without_rules() -> None:
    store = SharedStore()
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    store.reports.append(lambda watcher: watcher.told(Spent((Amount("@alice", 200, 400),)), b"b"))
    world.run()
    assert alice.send("General", "hi")[0] == OK
    world.pass_time(2)
    assert not [news for news in store.news if isinstance(news, Spent)]


def test_nobody_is_at_the_end_of_a_room_that_another_broker_has_made_longer() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "a")
    alice.do("mark", "General", 1)
    room = world.rooms["general"]
    assert room.roster is not None
    assert room.roster.at_end == {"alice"}
    store.reports.append(lambda watcher: watcher.reached(RoomLog("General", 1, 2, tuple(room.epochs))))
    world.run()
    assert room.roster.at_end == set()
    world.check()
