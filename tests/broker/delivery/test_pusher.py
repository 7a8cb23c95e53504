"""Members are served by credit: each from its cursor on, in order, in turn."""

from __future__ import annotations

import pytest

from tests.broker.delivery.driver import pair, say
from tests.broker.driver import Peer, World
from tests.frames import decode_notice
from zchat.broker.delivery import pusher
from zchat.broker.limits import (
    NOTIFICATION_BYTES,
)
from zchat.broker.settings import Settings
from zchat.broker.store.memory import MemoryStore
from zchat.wire.notices import PUSH
from zchat.wire.values import pack

WINDOWS = pytest.mark.parametrize("window", [1, 2, 10])


@WINDOWS
def test_a_member_never_has_more_unanswered_than_its_mark_and_loses_nothing(window: int) -> None:
    world = World(Settings(high_water_mark=window))
    speaker, listener = pair(world)
    for number in range(1, 31):
        speaker.send("General", number)
    assert listener.texts() == list(range(1, window + 1))
    assert world.core.counters.deferred == 1
    while len(listener.texts()) < 30:
        before = listener.notified["General"]
        listener.credit("General")
        assert 1 <= listener.notified["General"] - before <= window
    assert listener.texts() == list(range(1, 31))
    world.check()


@WINDOWS
def test_each_credit_lets_as_many_notifications_through(window: int) -> None:
    world = World(Settings(high_water_mark=window))
    speaker, listener = pair(world)
    big = "x" * NOTIFICATION_BYTES  # fills a notification of its own
    for _ in range(25):
        speaker.send("General", big)
    for taken in range(1, 25 - window):
        assert listener.notified["General"] == taken - 1 + window
        listener.credit("General", taken)
    world.check()


def test_a_client_may_ask_for_a_smaller_mark_but_not_for_a_greater() -> None:
    world = World(Settings(high_water_mark=5))
    speaker, modest = pair(world, 2)
    greedy = Peer(world, "carol", 1000)
    assert greedy.join("General")[7] == 5
    for number in range(10):
        speaker.send("General", number)
    assert (modest.notified["General"], greedy.notified["General"]) == (2, 5)


def test_what_waited_for_credit_comes_as_one_notification() -> None:
    world = World(Settings(high_water_mark=1))
    speaker, listener = pair(world)
    for number in range(50):
        speaker.send("General", number)
    listener.credit("General")
    assert listener.notified["General"] == 2
    assert listener.texts() == list(range(50))


def test_a_notification_holds_64_kib_of_blocks_or_one_block() -> None:
    world = World(Settings(high_water_mark=1))
    speaker, listener = pair(world)
    speaker.send("General", "first")
    speaker.send("General", "x" * NOTIFICATION_BYTES * 3)
    for _ in range(4):
        speaker.send("General", "y" * (NOTIFICATION_BYTES // 2 - 100))
    sizes = []
    while len(listener.texts()) < 6:
        before = len(listener.texts())
        listener.credit("General")
        sizes.append(len(listener.texts()) - before)
    assert sizes == [1, 2, 2]


def test_a_sender_is_not_sent_its_own_messages_but_its_users_other_sessions_are() -> None:
    world = World()
    phone, laptop = Peer(world, "alice"), Peer(world, "alice")
    phone.join("General")
    laptop.join("General")
    phone.send("General", "from the phone")
    laptop.send("General", "from the laptop")
    assert phone.texts() == ["from the laptop"]
    assert laptop.texts() == ["from the phone"]


def test_own_messages_move_the_cursor_and_the_next_notification_covers_them() -> None:
    world = World()
    alice, bob = pair(world)
    for number in range(5):
        alice.send("General", number)
    bob.send("General", "hello")
    assert alice.texts() == ["hello"]
    assert alice.covered["General"] == 6  # Peer checks that it came after 0
    assert world.core.counters.pushes == 6
    world.check()


def test_own_blocks_between_those_of_others_are_left_out() -> None:
    world = World(Settings(high_water_mark=1))
    alice, bob = pair(world)
    carol = Peer(world, "carol")
    carol.join("General")
    for number in range(3):
        alice.send("General", f"a{number}")
        bob.send("General", f"b{number}")
    for each in (alice, bob, carol):
        for _ in range(6):
            each.credit("General")
    assert alice.texts() == ["b0", "b1", "b2"]
    assert bob.texts() == ["a0", "a1", "a2"]
    assert carol.texts() == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert carol.seqs() == [1, 2, 3, 4, 5, 6]


def test_members_at_the_same_cursor_share_the_bytes_of_a_notification() -> None:
    world = World()
    speaker = Peer(world, "alice")
    listeners = [Peer(world, f"user{number}") for number in range(5)]
    for each in (speaker, *listeners):
        each.join("General")
    speaker.send("General", "hello")
    frames = [world.port.frames[each.id][-1] for each in listeners]
    assert all(frame is frames[0] for frame in frames)


def test_a_room_keeps_few_notifications_however_many_places_its_readers_resume_from() -> None:
    world = World()
    speaker = Peer(world, "alice")
    speaker.join("General")
    for number in range(40):
        speaker.send("General", number)
    for after in range(40):
        reader = Peer(world, f"user{after}")
        reader.join("General", (world.rooms["general"].epochs.current, after))
        assert reader.texts() == list(range(after, 40))
    world.check()


@pytest.mark.parametrize("tail", [True, False])
def test_a_notification_ends_where_an_epoch_does(tail: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tail:
        monkeypatch.setattr(pusher, "TAIL_BYTES", 0)
    store = MemoryStore(lambda: 1)
    world = World(store=store)
    speaker = Peer(world, "alice")
    speaker.join("General")
    epochs = []
    for number in range(6):
        if number in (2, 4):
            store._ledger.rooms["General"].epoch = 0  # as if it had been opened again
        epochs.append(speaker.send("General", number)[4])
    reader = Peer(world, "bob")
    reader.join("General", (0, 0))
    pushed = [notice[2:5] for notice in map(decode_notice, world.port.frames[reader.id]) if notice[0] == PUSH]
    assert pushed == [[epochs[0], 0, 2], [epochs[2], 2, 4], [epochs[4], 4, 6]]
    assert reader.texts() == list(range(6))
    world.check()


def test_the_room_that_grew_last_keeps_its_newest_blocks_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TAIL_TOTAL_BYTES", 4 * NOTIFICATION_BYTES)
    world = World()
    speaker = Peer(world, "alice")
    for room in ("General", "Sports"):
        speaker.join(room)
        say(speaker, 1, room)
    say(speaker, 2)
    assert [len(world.rooms[room].tail) for room in ("general", "sports")] == [3, 0]
    world.check()


# -- credit ----------------------------------------------------------------------------------------


def test_repeated_late_and_foreign_credit_changes_nothing() -> None:
    world = World(Settings(high_water_mark=2))
    speaker, listener = pair(world)
    big = "x" * NOTIFICATION_BYTES
    for _ in range(10):
        speaker.send("General", big)
    listener.credit("General", 2)
    assert listener.notified["General"] == 4
    for taken in (2, 1, 0):
        listener.credit("General", taken)
    listener.tell("credit", "General", 77, 4)  # of another join
    listener.tell("credit", "Nowhere", 1, 1)
    listener.tell("credit", "Sports", 1, 1)  # a room that it isn't in
    world.run()
    assert listener.notified["General"] == 4
    assert world.core.counters.stale_credit == 6
    assert listener.other == []
    world.check()


def test_credit_for_more_than_was_sent_is_refused() -> None:
    world = World()
    speaker, listener = pair(world)
    speaker.send("General", 1)
    listener.credit("General", 2)
    assert listener.other[0][:3] == ["error", None, "malformed"]
    assert world.core.counters.refused["malformed"] == 1
    listener.credit("General", 1)
    world.check()


def test_joining_again_begins_a_window_that_holds_what_the_client_still_holds() -> None:
    world = World(Settings(high_water_mark=3))
    speaker, listener = pair(world)
    big = "x" * NOTIFICATION_BYTES
    for _ in range(10):
        speaker.send("General", big)
    old = listener.joins["General"]
    epoch = world.rooms["general"].epochs.current
    listener.join("General", (epoch, 3), held=2)
    assert listener.notified["General"] == 1  # two of three are held
    listener.tell("credit", "General", old, 3)
    world.run()
    assert listener.notified["General"] == 1, "credit of the earlier join counts no more"
    listener.credit("General", 2)
    assert listener.notified["General"] == 3
    assert listener.seqs() == [1, 2, 3, 4, 5, 6]
    world.check()


def test_a_join_that_claims_to_hold_more_than_the_mark_is_refused_and_makes_no_room() -> None:
    world = World(Settings(high_water_mark=3))
    peer = Peer(world, "alice")
    assert peer.join("New", held=4)[2] == "malformed"
    assert "new" not in world.rooms
    peer.join("New", held=3)
    assert peer.do("join", "New", peer.joins["New"], None, 0, True)[2] == "malformed"
    world.check()


# -- turns -----------------------------------------------------------------------------------------


def test_a_turn_is_bounded_in_sends_goes_on_where_it_stopped_and_serves_all_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pusher, "TURN_SENDS", 3)
    world = World()
    listeners = [Peer(world, f"user{number}") for number in range(8)]
    for each in listeners:
        each.join("General")
    speaker = Peer(world, "alice")
    speaker.join("General")
    world.receive(speaker.id, _send(1))
    served: list[bytes] = []
    world.core.tick(world.now, True)
    while world.core.context.pusher.ready:
        before = len(world.port.tries)
        world.core.turn(world.now)
        sent = [id for id in world.port.tries[before:] if id != speaker.id]  # who is answered
        assert len(sent) <= 3
        served += sent
    assert sorted(served) == sorted(each.id for each in listeners)
    world.run()
    world.check()


def test_a_turn_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TURN_BYTES", 2 * NOTIFICATION_BYTES)
    world = World()
    speaker, _ = pair(world)
    for number in range(6):
        Peer(world, f"user{number}").join("General")
    world.receive(speaker.id, _send(1, b"\x91\xdb" + NOTIFICATION_BYTES.to_bytes(4, "big") + b"x" * NOTIFICATION_BYTES))
    before = world.core.counters.pushes
    world.turn()
    assert world.core.counters.pushes - before == 2
    assert world.core.context.pusher.ready
    world.run()
    assert world.core.counters.pushes - before == 7


def test_two_rooms_are_served_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TURN_SENDS", 1)
    world = World()
    speaker, listener = Peer(world, "alice"), Peer(world, "bob")
    for room in ("General", "Sports"):
        speaker.join(room)
        say(speaker, 4, room)
    for room in ("General", "Sports"):
        listener.ask("join", room, listener.requests + 1, [0, 0], 0, True)
        listener.joins[room], listener.covered[room], listener.notified[room] = listener.requests, 0, 0
    world.run()
    order = [notice[1] for notice in map(decode_notice, world.port.frames[listener.id]) if notice[0] == PUSH]
    assert order == ["General", "Sports"] * 4


def _send(number: int, bodies: bytes = b"\x91\xa2hi") -> bytes:
    packed: bytes = pack(("send", 1000 + number, "General", number, bodies))
    return packed


# -- bytes in flight -------------------------------------------------------------------------------


@WINDOWS
def test_beyond_the_bound_of_bytes_in_flight_each_member_has_half_a_window(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pusher, "IN_FLIGHT_BYTES", 1)
    world = World(Settings(high_water_mark=window))
    speaker, one = pair(world)
    two = Peer(world, "carol")
    two.join("General")
    say(speaker, 20)
    half = max(1, window // 2)
    assert one.notified["General"] <= half
    assert two.notified["General"] <= half
    held = two.seqs()
    while len(one.seqs()) < 20:
        before = one.notified["General"]
        one.credit("General")
        assert before < one.notified["General"] <= before + half
    assert two.seqs() == held, "who takes nothing gets nothing, and holds up nobody"
    world.check()


def test_members_that_waited_for_the_bound_of_bytes_go_on_when_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pusher, "IN_FLIGHT_BYTES", 3 * NOTIFICATION_BYTES)
    world = World()
    speaker, one = pair(world)
    two, hog = Peer(world, "carol"), Peer(world, "dave")
    say(speaker, 1)
    two.join("General")
    hog.join("General", (0, 0))
    say(speaker, 8)
    assert one.seqs() == [1, 2, 3, 4, 5], "half a window of what came after the bound was met"
    hog.do("bye")
    for _ in range(9):
        one.credit("General")
        two.credit("General")
    assert one.seqs() == list(range(1, 10))
    assert two.seqs() == list(range(2, 10))
    world.check()


def test_a_block_read_from_the_middle_is_sent_whole_and_cut_by_its_reader() -> None:
    world = World()
    speaker = Peer(world, "alice")
    speaker.join("General")
    speaker.send("General", "a", "b", "c", "d")
    listener = Peer(world, "bob")
    epoch = world.rooms["general"].epochs.current
    listener.join("General", (epoch, 2))
    assert listener.texts() == ["c", "d"]
