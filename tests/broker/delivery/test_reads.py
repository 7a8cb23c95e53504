"""Members that are served from the store: pages, reads that fail, and gaps."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from tests.broker.delivery.driver import pair, say, trim, unreadable
from tests.broker.driver import LateStore, Peer, World
from zchat.broker.delivery import pusher
from zchat.broker.limits import (
    NOTIFICATION_BYTES,
    READ_AGAIN_FIRST,
    READ_AGAIN_MAX,
    READ_TRIES,
)
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Failed, Full
from zchat.messages import GapReason
from zchat.wire.notices import OK

# -- behind the tail -------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_member_behind_the_tail_is_served_from_the_store(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TAIL_BYTES", 4 * NOTIFICATION_BYTES)
    world = World(store=None if not late else LateStore(lambda: 1))
    speaker, listener = pair(world, 2)
    say(speaker, 20)
    assert world.core.counters.reads == 0
    while len(listener.seqs()) < 20:
        before = len(listener.seqs())
        listener.credit("General")
        assert len(listener.seqs()) > before
    assert listener.seqs() == list(range(1, 21))
    assert world.core.counters.reads > 10
    world.check()


def test_the_tails_of_all_rooms_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TAIL_TOTAL_BYTES", 5 * NOTIFICATION_BYTES)
    world = World()
    speaker = Peer(world, "alice")
    rooms = ["General", "Sports", "Movies"]
    for room in rooms:
        speaker.join(room)
        say(speaker, 4, room)
    say(speaker, 2, "General")
    assert world.core.context.pusher._tail_bytes <= 5 * NOTIFICATION_BYTES
    late = Peer(world, "bob")
    for room in rooms:
        late.join(room, (0, 0))
        late.credit(room)
    assert [len(late.seqs(room)) for room in rooms] == [6, 4, 4]
    world.check()


def test_a_member_that_leaves_while_the_store_reads_for_it_is_not_sent_the_page() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    speaker, _ = pair(world)
    say(speaker, 1)
    world.rooms["general"].tail.drop()
    late = Peer(world, "carol")
    store.holding = True
    late.join("General", (0, 0))
    late.do("leave", "General", late.joins["General"])
    store.holding = False
    world.run()
    assert late.seqs() == []


@pytest.mark.parametrize("failure", [Failed("the disk is broken"), Full("too many reads")])
def test_a_read_that_fails_is_tried_again_and_replies_go_out_meanwhile(
    failure: Failed | Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pusher, "TAIL_BYTES", 1)
    store = LateStore(lambda: 1)
    world = World(store=store)
    speaker, _ = pair(world)
    say(speaker, 5)
    store.failing = failure
    late = Peer(world, "carol")
    request = late.ask("join", "General", 1, [0, 0], 0, True)
    late.joins["General"], late.covered["General"], late.notified["General"] = 1, 0, 0
    world.pass_time(1, 0.05)
    another = late.ask("rooms", None, 1)
    world.pass_time(1, 0.05)
    assert late.replies.keys() >= {request, another}
    assert late.seqs() == []
    store.failing = None
    world.pass_time(1, 0.05)
    assert late.seqs() == [1, 2, 3, 4, 5]
    world.check()


def test_a_room_that_cannot_be_read_holds_up_no_other_room(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, reader = unreadable(monkeypatch)
    speaker = world.peers[0]
    store.failing = None
    speaker.ask("send", "Sports", 1, b"\x91\xa2hi")
    world.run()
    assert reader.texts("Sports") == ["hi"]
    assert reader.seqs() == []
    assert (world.core.counters.retried, world.core.counters.unread) == (0, 1)
    world.check()


def test_reads_that_fail_are_tried_ever_more_rarely_and_then_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _, reader = unreadable(monkeypatch)
    waits = []
    while reader.ended() is None:
        due = world.core.context.pusher.due
        assert due < inf
        waits.append(due - world.now)
        world.now = due
        world.run()
        world.check()
    assert reader.ended() == "store_failed"
    assert world.core.counters.unread == READ_TRIES == len(waits) + 1
    assert waits[0] == pytest.approx(READ_AGAIN_FIRST)
    assert all(later == pytest.approx(min(2 * one, READ_AGAIN_MAX)) for one, later in pairwise(waits))
    told = [(note.grave, note.text) for note in world.core.log_lines.take()]
    assert told[0] == (True, "reading for members fails: the disk is broken")
    assert [text for grave, text in told[1:] if "carol" in text and "store_failed" in text] == [told[1][1]]


def test_a_reader_that_leaves_before_the_next_try_is_not_read_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, reader = unreadable(monkeypatch)
    store.failing = None
    reader.do("leave", "General", reader.joins["General"])
    reads = world.core.counters.reads
    world.pass_time(1, 0.05)
    assert (reader.seqs(), world.core.counters.reads) == ([], reads)
    world.check()


def test_a_store_with_too_many_reads_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, reader = unreadable(monkeypatch)
    store.failing = Full("too many reads")
    world.pass_time(8, 0.05)
    assert reader.ended() is None
    store.failing = None
    world.pass_time(1, 0.05)
    assert reader.seqs() == [1, 2, 3]
    world.check()


# -- gaps ------------------------------------------------------------------------------------------


def test_a_reader_under_whom_the_log_is_trimmed_is_notified_once_from_where_to_where() -> None:
    world = World(Settings(high_water_mark=1))
    speaker, listener = pair(world)
    for number in range(1, 11):
        speaker.send("General", number)
    trim(world, 3)
    for _ in range(4):
        listener.credit("General")
    assert [gap[3:] for gap in listener.gaps["General"]] == [[1, 7, GapReason.TRIMMED]]
    assert listener.texts() == [1, 8, 9, 10]
    assert world.core.counters.gaps == 1
    world.check()


def test_a_gap_after_own_messages_begins_where_the_last_notification_ended() -> None:
    world = World(Settings(high_water_mark=1))
    alice, bob = pair(world)
    bob.send("General", "from bob")  # alice's window is full
    alice.send("General", "own")
    alice.credit("General")  # her cursor moves over her own message
    assert (alice.covered["General"], world.rooms["general"].last) == (1, 2)
    world.port.full.add(alice.id)
    bob.send("General", "lost")
    bob.send("General", "kept")
    trim(world, 1)
    world.port.full.clear()
    world.pass_time(0.1, 0.05)
    alice.credit("General")
    assert [gap[3:] for gap in alice.gaps["General"]] == [[1, 3, GapReason.TRIMMED]]
    assert alice.texts() == ["from bob", "kept"]
    world.check()


def test_a_reader_behind_the_tail_is_notified_of_what_was_trimmed_under_its_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pusher, "TAIL_BYTES", NOTIFICATION_BYTES)
    store = LateStore(lambda: 1)
    world = World(Settings(high_water_mark=1), store)
    speaker, listener = pair(world)
    say(speaker, 10)
    store.holding = True
    listener.credit("General")
    assert world.core.counters.reads == 1
    trim(world, 4)
    store.holding = False
    for _ in range(12):
        listener.credit("General")
    assert [gap[3:] for gap in listener.gaps["General"]] == [[1, 6, GapReason.TRIMMED]]
    assert listener.seqs() == [1, 7, 8, 9, 10]
    world.check()


class Emptied(LateStore):
    """A store whose reader finds a log that has just been emptied."""

    def read(self, room: str, after: int, upto: int, max_bytes: int, done) -> None:  # type: ignore[no-untyped-def]
        super().read(room, max(after, upto), upto, max_bytes, done)


def test_what_was_stored_after_a_read_began_is_not_reported_as_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "TAIL_BYTES", 1)
    store = Emptied(lambda: 1)
    world = World(Settings(high_water_mark=1), store)
    speaker, listener = pair(world)
    say(speaker, 3)
    store.holding = True
    listener.credit("General")  # reads up to 3, which are no longer there
    number = speaker.ask("send", "General", 4, b"\x91\xa4kept")
    store.holding = False
    world.run()
    assert speaker.replies[number][0] == OK
    listener.credit("General")
    assert [gap[3:5] for gap in listener.gaps["General"]] == [[1, 3]]
    assert listener.texts()[1:] == ["kept"]
