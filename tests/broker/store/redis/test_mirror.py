"""What a broker knows of the logs that the server keeps, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.store.driver import ALICE, BOB, Reports, block
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import (
    NEVER,
    Append,
    Duplicate,
    Failed,
    ForgottenProducer,
    Full,
    Marked,
    NotStored,
    OutOfSequence,
    RoomLog,
    Sanction,
    Stored,
)
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.redis.attachment import Counts, RoomState, Snapshot
from zchat.broker.store.redis.forms import Ends, block_of, suffix_of
from zchat.broker.store.redis.mirror import LOST, CatchUp, CaughtUp, Mirror, Pair
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.requests import Call, Forget, Request, SetReadMark, Write

NOW = 1_700_000_000_000_000
GENERAL = partition_of("general")


def state(last: int, *epochs: tuple[int, int], first: int = 1) -> RoomState:
    begun = tuple(Epoch(*each) for each in epochs or ((7, 1),))
    return RoomState("General", "", Ends(first, last, NOW, begun[-1].epoch), begun)


def snapshot(
    room: RoomState | None, marks: dict[tuple[str, str], tuple[int, int]] | None = None
) -> dict[int, Snapshot]:
    return {GENERAL: Snapshot(Counts(1, 1), {} if room is None else {"general": room}, marks or {})}


def stored_of(append: Append, first: int) -> Block:
    return block_of(append, suffix_of(append), first, NOW)


class Held:
    """A mirror, what it asks for, what it reports and what it answers."""

    def __init__(self, room: RoomState | None = None, *, quotas: bool = False) -> None:
        self.asked: list[Request] = []
        self.wanted: list[CatchUp] = []
        self.answers: list[Any] = []
        self.reports = Reports()
        self.mirror = Mirror(self.asked.append, self.wanted.append, quotas=quotas)
        self.logs = self.mirror.open(snapshot(room).values(), [], [])

    def stored(self, number: int, first: int, producer: bytes = ALICE, room: str = "general") -> None:
        write = Write(room, block(number, f"{first}", room=room.title(), producer=producer), False)
        self.mirror.replied(Call(write, self.answers.append), [b"stored", first, NOW, 7, 1], self.reports)

    def marked(self, seq: int) -> None:
        call = Call(SetReadMark("general", "bob", seq, False), self.answers.append)
        self.mirror.replied(call, [b"marked", seq, NOW, 1], self.reports)

    def read(self, after: RoomState, *firsts: int) -> None:
        blocks = [stored_of(block(1, f"{first}", producer=BOB), first) for first in firsts]
        self.mirror.caught_up(CaughtUp(self.wanted[-1], after, blocks), self.reports)

    def grown(self) -> list[tuple[str, int, int]]:
        return [(room, each.first, epoch) for room, each, epoch, _ in self.reports.of("grew")]


def test_a_block_that_follows_is_reported_and_answered_at_once() -> None:
    held = Held(state(2))
    held.stored(1, 3)
    assert held.grown() == [("General", 3, 7)]
    assert isinstance(held.answers[0], Stored)
    assert held.wanted == []


def test_what_does_not_follow_waits_with_all_that_is_about_its_room_until_what_lies_between_is_read() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.marked(5)
    held.stored(2, 6)
    held.stored(1, 1, room="other")
    assert held.wanted == [CatchUp("general", 2, 0)]
    assert held.grown() == [("Other", 1, 7)]
    held.read(state(6), 3)
    assert held.wanted[1:] == [CatchUp("general", 3, 0)], "the page did not reach the end"
    held.read(state(6), 4)
    held.read(state(6), 5, 6)
    assert held.grown() == [("Other", 1, 7), *(("General", first, 7) for first in (3, 4, 5, 6))]
    assert [type(answer) for answer in held.answers] == [Stored, Stored, Marked, Stored]


def test_blocks_that_were_read_already_are_not_reported_again() -> None:
    held = Held(state(2))
    held.mirror.attached(snapshot(state(3)), [], held.reports)
    held.stored(1, 4)
    held.read(state(4), 3, 4)
    assert [first for _, first, _ in held.grown()] == [3, 4]
    assert isinstance(held.answers[0], Stored)
    held.stored(2, 5)
    assert [first for _, first, _ in held.grown()] == [3, 4, 5]


def test_what_was_trimmed_before_it_could_be_read_is_skipped() -> None:
    held = Held(state(2))
    held.mirror.attached(snapshot(state(6)), [], held.reports)
    held.read(state(6, first=5), 5, 6)
    assert held.reports.of("trimmed") == [("General", 5)]
    assert [first for _, first, _ in held.grown()] == [5, 6]
    held.mirror.attached(snapshot(state(9)), [], held.reports)
    held.read(state(9, first=10))
    held.stored(1, 10)
    assert [first for _, first, _ in held.grown()] == [5, 6, 10]


def test_a_block_that_is_sent_again_is_answered_as_stored_and_one_that_its_client_sends_again_is_a_duplicate() -> None:
    held = Held(state(2))
    write = Write("general", block(1, "a"), False)
    for again in (True, False):
        call = Call(write, held.answers.append)
        call.again = again
        held.mirror.replied(call, [b"duplicate", 3, 1, NOW, 7], held.reports)
    assert held.grown() == [("General", 3, 7)]
    assert held.answers == [Stored(stored_of(write.append, 3), 7), Duplicate(3, 1, NOW, 7)]


@pytest.mark.parametrize("after", [state(1), state(5, (7, 1), (8, 2)), state(5, (8, 1))])
def test_a_log_that_has_lost_what_was_reported_is_reported_as_it_is_now_and_goes_on(after: RoomState) -> None:
    held = Held(state(2))
    held.mirror.attached(snapshot(after), [], held.reports)
    assert held.reports.of("parted") == [(RoomLog("General", 1, after.ends.last, after.epochs, ""),)]
    held.stored(1, after.ends.last + 1)
    assert held.grown() == [("General", after.ends.last + 1, 7)]
    assert held.wanted == []


def test_a_room_that_is_gone_is_reported_with_its_marks_and_begins_anew() -> None:
    held = Held(state(2), quotas=True)
    held.marked(2)
    held.stored(1, 3)
    held.mirror.attached(snapshot(None), [], held.reports)
    assert held.reports.of("marked")[-1] == ("General", "bob", 0)
    assert held.reports.of("parted") == [(RoomLog("General", 1, 0, (), ""),)]
    assert (held.mirror.logs, held.mirror.read_marks) == ({}, {})
    held.mirror.forget(ALICE)
    assert held.asked == [], "what was known of its producers went with it"
    held.stored(1, 1)
    assert held.grown()[-1] == ("General", 1, 7)


def test_a_block_that_waits_when_the_connection_is_lost_fails_and_what_was_read_before_counts_no_more() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.marked(4)
    held.mirror.attached(snapshot(state(2)), [], held.reports)
    assert held.answers == [LOST]
    held.mirror.caught_up(CaughtUp(held.wanted[0], state(5), []), held.reports)
    assert held.grown() == []
    held.read(state(2))
    assert held.answers[1:] == [Marked(4)]
    held.stored(2, 3)
    assert held.grown() == [("General", 3, 7)]


def test_a_log_that_goes_on_in_another_epoch_has_lost_nothing() -> None:
    held = Held(state(2))
    held.mirror.attached(snapshot(state(3, (7, 1), (8, 3))), [], held.reports)
    held.read(state(3, (7, 1), (8, 3)), 3)
    assert held.grown() == [("General", 3, 8)]


def test_what_changed_while_there_was_no_connection_is_reported() -> None:
    held = Held()
    sanction = Sanction("General", "bob", "ban", 0, "alice", NOW, "", number=3)
    there = snapshot(state(2), {("general", "bob"): (1, NOW)})
    held.mirror.attached(there, [sanction], held.reports)
    assert held.reports.of("appeared") == [(RoomLog("General", 1, 0, (), ""),)]
    assert held.reports.of("marked") == [("General", "bob", 1)]
    assert held.reports.of("recovered") == [([sanction],)]
    held.read(state(2), 1, 2)
    assert [first for _, first, _ in held.grown()] == [1, 2]
    held.mirror.attached(there, [], held.reports)
    assert len(held.reports.of("marked")) == 1


def test_a_producer_that_makes_place_for_another_is_forgotten_unless_it_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.mirror.USER_PRODUCERS", 1)
    held = Held(quotas=True)
    held.stored(1, 1)
    held.stored(1, 2, producer=BOB)
    assert held.asked == [Forget("general", ALICE, "alice", NOW)]
    assert held.mirror.forgot == 1
    held.mirror.forgotten(Pair(ALICE, "alice", "general"))  # known already
    held.mirror.forget(BOB)
    assert held.asked[1:] == [Forget("general", BOB, "alice", NEVER)]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ([b"order", 3], OutOfSequence(3)),
        ([b"taken", 3], OutOfSequence(3)),
        ([b"forgotten"], ForgottenProducer()),
        ([b"absent"], NotStored()),
        ([b"crowded"], Full("100000 producers are remembered, and there is no place for another")),
        ([b"full"], Full("the room has no number left for this; use another room")),
        ([b"fenced"], Failed("its client has gone on over a later connection")),
        (Full("no memory"), Full("no memory")),
    ],
)
def test_a_block_that_is_not_stored_is_answered_with_why_and_not_reported(reply: Any, answer: Any) -> None:
    held = Held(state(2))
    held.mirror.replied(Call(Write("general", block(1, "a"), False), held.answers.append), reply, held.reports)
    assert (held.answers, type(held.answers[0])) == ([answer], type(answer))
    assert held.grown() == []


def test_what_waits_at_the_end_is_answered() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.mirror.close(Failed("closed"))
    assert held.answers == [Failed("closed")]
