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
    Fenced,
    ForgottenProducer,
    Full,
    Lifted,
    Marked,
    NotStored,
    OutOfSequence,
    Places,
    RoomLog,
    Sanction,
    Stored,
)
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.redis.attachment import RoomState, Snapshot
from zchat.broker.store.redis.forms import Ends, block_of, pack_sanction, suffix_of
from zchat.broker.store.redis.hearing import Changes
from zchat.broker.store.redis.mirror import Mirror
from zchat.broker.store.redis.mirrored_log import LOST, CatchUp, CaughtUp
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.partitions import PARTITIONS, partition_of
from zchat.broker.store.redis.producers import Pair
from zchat.broker.store.redis.requests import LATE_MS, Call, Forget, Impose, Lift, Request, SetReadMark, Write

NOW = 1_700_000_000_000_000
GENERAL = partition_of("general")


EPOCH = 7
"""The epoch of every partition, unless a test says otherwise."""


def state(last: int, *epochs: tuple[int, int], first: int = 1) -> RoomState:
    begun = tuple(Epoch(*each) for each in epochs or ((7, 1),))
    return RoomState("General", "", Ends(first, last, NOW, begun[-1].epoch), begun)


def snapshot(
    room: RoomState | None,
    marks: dict[tuple[str, str], tuple[int, int]] | None = None,
    epoch: int = EPOCH,
    sanctions: list[Sanction] | None = None,
    others: int = 1,
) -> dict[int, Snapshot]:
    rooms = {} if room is None else {"general": room}
    return {GENERAL: Snapshot(Changes(epoch, 1, others), rooms, marks or {}, sanctions)}


def notice(kind: bytes, *fields: Any, epoch: int = EPOCH, count: int = 2) -> Notice:
    return Notice(GENERAL, kind, b"another", epoch, count, fields)


def stored_of(append: Append, first: int) -> Block:
    return block_of(append, suffix_of(append), first, NOW)


class Held:
    """A mirror, what it asks for, what it reports and what it answers."""

    def __init__(self, room: RoomState | None = None, *, quotas: bool = False) -> None:
        self.asked: list[Request] = []
        self.wanted: list[CatchUp] = []
        self.answers: list[Any] = []
        self.reports = Reports()
        self.looks: list[int] = []
        self.doubts: list[str] = []
        asking = self.asked.append, self.wanted.append, self.looks.append
        self.mirror = Mirror(*asking, lambda: self.doubts.append("!"), b"this", quotas=quotas)
        empty = {each: Snapshot(Changes(EPOCH, 0, 0), {}, {}, None) for each in range(PARTITIONS)}
        self.logs = self.mirror.open(empty | snapshot(room), [])
        self.mirror.follow("general", True)

    def stored(self, number: int, first: int, producer: bytes = ALICE, room: str = "general") -> None:
        write = Write(room, block(number, f"{first}", room=room.title(), producer=producer), False)
        self.mirror.replied(Call(write, self.answers.append), [b"stored", first, NOW, 7, 1], self.reports)

    def marked(self, seq: int) -> None:
        call = Call(SetReadMark("general", "bob", seq, False), self.answers.append)
        self.mirror.replied(call, [b"marked", seq, NOW, 1], self.reports)

    def read(self, after: RoomState | None, *firsts: int, epoch: int = EPOCH, asked: int = -1) -> None:
        blocks = [stored_of(block(1, f"{first}", producer=BOB), first) for first in firsts]
        self.mirror.caught_up(CaughtUp(self.wanted[asked], epoch, after, blocks), self.reports)

    def attach(self, *arguments: Any, **options: Any) -> None:
        self.mirror.attached(snapshot(*arguments, **options), self.reports)

    def hear(self, *arguments: Any, **options: Any) -> None:
        self.mirror.heard(notice(*arguments, **options), self.reports)

    def look(self, *arguments: Any, **options: Any) -> None:
        self.mirror.looked(snapshot(*arguments, **options), self.reports)

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
    assert held.wanted == [CatchUp("general", 2, 0, True)]
    assert held.grown() == [("Other", 1, 7)]
    held.read(state(6), 3)
    assert held.wanted[1:] == [CatchUp("general", 3, 0, True)], "the page did not reach the end"
    held.read(state(6), 4)
    held.read(state(6), 5, 6)
    assert held.grown() == [("Other", 1, 7), *(("General", first, 7) for first in (3, 4, 5, 6))]
    assert [type(answer) for answer in held.answers] == [Stored, Stored, Marked, Stored]


def test_blocks_that_were_read_already_are_not_reported_again() -> None:
    held = Held(state(2))
    held.attach(state(3))
    held.stored(1, 4)
    held.read(state(4), 3, 4)
    assert [first for _, first, _ in held.grown()] == [3, 4]
    assert isinstance(held.answers[0], Stored)
    held.stored(2, 5)
    assert [first for _, first, _ in held.grown()] == [3, 4, 5]


def test_what_was_trimmed_before_it_could_be_read_is_skipped() -> None:
    held = Held(state(2))
    held.attach(state(6))
    held.read(state(6, first=5), 5, 6)
    assert held.reports.of("reached") == [(RoomLog("General", 5, 4, (Epoch(7, 1),), ""),)]  # members read on: to a gap
    assert [first for _, first, _ in held.grown()] == [5, 6]
    held.attach(state(9))
    held.read(state(9, first=10))
    assert held.reports.of("reached")[1:] == [(RoomLog("General", 10, 9, (Epoch(7, 1),), ""),)]
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
    held.attach(after, epoch=8)
    assert held.reports.of("parted") == [(RoomLog("General", 1, after.ends.last, after.epochs, ""),)]
    held.stored(1, after.ends.last + 1)
    assert held.grown() == [("General", after.ends.last + 1, 7)]
    assert held.wanted == []


def test_a_room_that_is_gone_is_reported_with_its_marks_and_begins_anew() -> None:
    held = Held(state(2), quotas=True)
    held.marked(2)
    held.stored(1, 3)
    held.attach(None, epoch=8)
    assert held.reports.of("marked")[-1] == ("General", "bob", 0)
    assert held.reports.of("parted") == [(RoomLog("General", 1, 0, (), ""),)]
    assert (held.mirror.logs, held.mirror.read_marks()) == ({}, [])
    held.mirror.forget(ALICE)
    assert held.asked == [], "what was known of its producers went with it"
    held.stored(1, 1)
    assert held.grown()[-1] == ("General", 1, 7)


def test_a_block_that_waits_when_the_connection_is_lost_is_looked_for_and_what_was_read_before_counts_no_more() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.marked(4)
    held.attach(state(5))
    held.read(state(5), 3, 4, 5, asked=0)
    assert (held.grown(), held.answers) == ([], [])
    held.read(state(5), 3, 4, 5)
    assert held.answers == [LOST, Marked(4)]
    assert [first for _, first, _ in held.grown()] == [3, 4, 5]


def test_a_mark_is_reported_after_what_it_covers_whatever_was_not_heard() -> None:
    held = Held(state(2))
    held.marked(3)
    assert (held.answers, held.reports.of("marked")) == ([], [])
    held.read(state(4), 3, 4)
    assert (held.answers, held.reports.of("marked")) == ([Marked(3)], [("General", "bob", 3)])
    held.hear(b"M", b"general\0carol", 5, NOW)
    assert held.reports.of("marked")[1:] == []
    held.read(state(5), 5)
    assert held.reports.of("marked")[1:] == [("General", "carol", 5)]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("epoch", [EPOCH, 8])
def test_a_block_that_waits_when_the_connection_is_lost_is_answered_as_stored_if_it_is_there(
    epoch: int, again: bool
) -> None:
    held = Held(state(2))
    call = Call(Write("general", block(1, "here"), False), held.answers.append)
    call.again = again
    held.mirror.replied(call, [b"duplicate", 5, 1, NOW, 7] if again else [b"stored", 5, NOW, 7, 1], held.reports)
    here = stored_of(block(1, "here"), 5)
    for _ in range(2):  # the second time before all was read
        held.attach(state(6), epoch=epoch)
        there = [*(stored_of(block(1, f"{first}", producer=BOB), first) for first in (3, 4)), here]
        held.mirror.caught_up(CaughtUp(held.wanted[-1], epoch, state(6), there), held.reports)
        assert held.answers == []
    held.read(state(6), 6, epoch=epoch)
    assert held.answers == [Stored(here, 7)]
    assert [first for _, first, _ in held.grown()] == [3, 4, 5, 6]


@pytest.mark.parametrize("there", [block(1, "other"), block(1, "5", producer=BOB)])
def test_a_block_in_whose_place_another_is_was_lost(there: Append) -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.attach(state(5), epoch=8)
    at = [*(stored_of(block(1, f"{first}", producer=BOB), first) for first in (3, 4)), stored_of(there, 5)]
    held.mirror.caught_up(CaughtUp(held.wanted[-1], 8, state(5), at), held.reports)
    assert held.answers == [LOST]


def test_a_block_that_waits_was_lost_with_what_was_reported_before_it() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.attach(state(1), epoch=8)
    assert held.answers == [LOST]
    assert held.reports.of("parted")


def test_a_block_that_its_client_sends_again_is_to_be_asked_for_once_more() -> None:
    held = Held(state(2))
    call = Call(Write("general", block(1, "5"), False), held.answers.append)
    held.mirror.replied(call, [b"duplicate", 5, 1, NOW, 7], held.reports)
    held.attach(state(5))
    assert held.answers == [LOST]


def test_a_log_that_goes_on_in_another_epoch_has_lost_nothing() -> None:
    held = Held(state(2))
    held.attach(state(3, (7, 1), (8, 3)), epoch=8)
    held.read(state(3, (7, 1), (8, 3)), 3, epoch=8)
    assert held.grown() == [("General", 3, 8)]


def test_what_changed_while_there_was_no_connection_is_reported() -> None:
    held = Held()
    sanction = Sanction("General", "bob", "ban", 0, "alice", NOW, "", number=3)
    there = state(2), {("general", "bob"): (1, NOW)}
    held.attach(*there, sanctions=[sanction])
    assert held.reports.of("marked") == []  # nothing is reported yet that it covers
    assert held.reports.of("recovered") == [([sanction],)]
    held.read(state(2), 1, 2)
    assert held.reports.of("appeared") == [(RoomLog("General", 1, 0, (), ""),)]
    assert held.reports.of("marked") == [("General", "bob", 1)]
    assert [first for _, first, _ in held.grown()] == [1, 2]
    held.attach(*there)
    assert len(held.reports.of("marked")) == 1


def test_a_producer_that_makes_place_for_another_is_forgotten_unless_it_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.producers.USER_PRODUCERS", 1)
    held = Held(quotas=True)
    held.stored(1, 1)
    held.stored(1, 2, producer=BOB)
    assert held.asked == [Forget("general", ALICE, "alice", NOW)]
    assert held.mirror.forgot == 1
    held.mirror.forgotten([Pair(ALICE, "alice", "general")])  # known already
    held.mirror.forget(BOB)
    assert held.asked[1:] == [Forget("general", BOB, "alice", NEVER, LATE_MS)]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ([b"order", 3], OutOfSequence(3)),
        ([b"taken", 3], OutOfSequence(3)),
        ([b"forgotten"], ForgottenProducer()),
        ([b"absent"], NotStored()),
        ([b"crowded"], Full("100000 producers are remembered, and there is no place for another")),
        ([b"full"], Full("the room has no number left for this; use another room")),
        ([b"fenced"], Fenced()),
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


# -- what other brokers do -------------------------------------------------------------------------


def test_what_another_broker_stored_is_read_once_for_all_that_was_told_meanwhile_and_then_the_rest() -> None:
    held = Held(state(2))
    for last in (3, 4, 6):
        held.hear(b"L", b"general", last)
    held.stored(1, 5)
    assert held.wanted == [CatchUp("general", 2, 0, True)]
    held.read(state(4), 3, 4)
    assert [type(answer) for answer in held.answers] == [Stored]
    assert held.wanted[1:] == [CatchUp("general", 5, 0, True)], "one was told of that was not read"
    held.read(state(6), 6)
    assert [first for _, first, _ in held.grown()] == [3, 4, 5, 6]
    held.hear(b"L", b"general", 6)
    assert len(held.wanted) == 2, "it is known"


def test_of_a_room_without_members_here_only_the_end_is_told_and_blocks_are_once_there_are() -> None:
    held = Held(state(2))
    held.mirror.follow("general", False)
    held.hear(b"L", b"general", 4)
    assert held.wanted == [CatchUp("general", 2, 0, False)]
    held.read(state(4))
    held.look(state(6))
    ends = [log.last for (log,) in held.reports.of("reached")]
    assert (ends, held.grown()) == ([4, 6], [])
    held.mirror.follow("general", True)
    held.hear(b"L", b"general", 7)
    held.read(state(7), 7)
    assert [first for _, first, _ in held.grown()] == [7]


def test_a_room_that_another_broker_began_appears_before_what_is_in_it() -> None:
    held = Held()
    held.hear(b"L", b"general", 1)
    held.read(state(1), 1)
    assert [report[0] for report in held.reports.all] == ["appeared", "grew"]


def test_what_another_broker_trimmed_is_reported_and_what_was_not_reported_of_it_is_skipped() -> None:
    held = Held(state(4))
    held.hear(b"R", b"general", 3)
    held.hear(b"R", b"general", 2)
    assert held.reports.of("trimmed") == [("General", 3)]
    held.hear(b"R", b"general", 9)
    held.hear(b"R", b"general", 9)
    held.read(state(9, first=9), 9)
    assert held.reports.of("reached") == [(RoomLog("General", 9, 8, (Epoch(7, 1),), ""),)]
    assert [first for _, first, _ in held.grown()] == [9]
    held.look(state(9, first=10))
    assert held.reports.of("trimmed")[1:] == [("General", 10)]


def test_marks_of_other_brokers_move_on_and_never_back_and_come_after_their_blocks() -> None:
    held = Held(state(2), quotas=True)
    held.hear(b"L", b"general", 3)
    held.hear(b"M", b"general\0bob", 3, NOW)
    assert held.reports.of("marked") == []
    held.read(state(3), 3)
    held.hear(b"M", b"general\0bob", 2, NOW + 1)
    held.marked(1)
    assert held.reports.of("marked") == [("General", "bob", 3)]
    held.hear(b"U", b"general\0bob", NOW - 1)
    assert held.mirror.read_marks() == [("General", "bob", 3)], "it has moved since"
    held.hear(b"U", b"general\0bob", NOW)
    assert held.reports.of("marked")[1:] == [("General", "bob", 0)]
    held.hear(b"U", b"general\0bob", NOW)
    assert held.mirror.read_marks() == []


def test_a_mark_in_a_room_that_is_not_known_has_the_partition_looked_at() -> None:
    held = Held()
    held.hear(b"M", b"general\0bob", 1, NOW)
    assert held.looks == [GENERAL]
    held.look(state(2), {("general", "bob"): (1, NOW)})
    held.read(state(2), 1, 2)
    assert held.reports.of("marked") == [("General", "bob", 1)]


def test_a_look_that_is_older_than_what_is_known_changes_nothing() -> None:
    held = Held(state(2))
    held.stored(1, 3)
    held.marked(3)
    before = list(held.reports.all)
    held.look(state(2), {("general", "bob"): (1, NOW)})
    assert held.reports.all == before


def test_what_is_of_another_run_of_the_server_is_left_alone_until_this_broker_has_attached() -> None:
    held = Held(state(4))
    held.hear(b"L", b"general", 5, epoch=8)
    assert (held.wanted, held.looks) == ([], [GENERAL])
    held.look(state(3), epoch=8)
    assert (held.looks, held.doubts) == ([GENERAL, GENERAL], []), "it may be about to attach"
    held.look(state(3), epoch=8)
    assert held.doubts == ["!"]
    held.hear(b"L", b"general", 5)
    held.read(state(3), epoch=8)
    assert held.reports.all == []
    held.attach(state(3), epoch=8)
    assert held.reports.of("parted") == [(RoomLog("General", 1, 3, (Epoch(7, 1),), ""),)]
    held.read(state(3), epoch=8)
    held.hear(b"L", b"general", 4, epoch=8)
    held.read(state(4, (7, 1), (8, 4)), 4, epoch=8)
    assert held.grown() == [("General", 4, 8)]


def test_a_block_that_another_broker_stored_for_the_same_client_is_read_before_it_is_answered() -> None:
    held = Held(state(2))
    call = Call(Write("general", block(1, "a"), False), held.answers.append)
    held.mirror.replied(call, [b"duplicate", 3, 1, NOW, 7], held.reports)
    assert (held.answers, held.wanted) == ([], [CatchUp("general", 2, 0, True)])
    held.read(state(3), 3)
    assert held.answers == [Duplicate(3, 1, NOW, 7)]


def test_a_position_is_located_once_what_was_there_when_it_was_asked_for_is_reported() -> None:
    held = Held(state(2))
    located: list[int] = []
    held.hear(b"L", b"general", 3)
    held.mirror.locate("general", lambda: located.append(1))
    held.mirror.locate("general", lambda: located.append(2))
    held.read(state(3), 3, asked=0)
    assert located == []
    held.attach(state(3))
    held.read(state(5), 4, asked=1)
    assert located == [], "that was asked for over a connection that is lost"
    first, second = held.wanted[-2:]
    assert (first.locating, second.locating) == (True, True)
    held.read(state(5), 4, asked=-2)
    assert (located, held.wanted[-1]) == ([], first._replace(after=4))
    held.read(state(5), 5)
    assert (located, [each for _, each, _ in held.grown()]) == ([1], [3, 4, 5])
    held.mirror.close(Failed("closed"))
    assert located == [1, 2]


def sanction(number: int) -> Sanction:
    return Sanction("General", "bob", "ban", 0, "alice", NOW, "", number=number)


def packed(number: int) -> bytes:
    return number.to_bytes(8, "big") + b"alice\0" + pack_sanction(sanction(number))


def test_sanctions_of_other_brokers_are_reported_and_what_is_overtaken_has_all_looked_at() -> None:
    held = Held(state(1))
    held.hear(b"I", packed(1), 0, count=1)
    held.hear(b"I", packed(2), 1, count=2)
    assert held.reports.of("imposed") == [(sanction(1),), (sanction(2),)]
    assert held.mirror.sanctions == [sanction(2)]
    held.hear(b"X", packed(2), count=3)
    held.hear(b"X", packed(2), count=4)
    assert held.reports.of("lifted") == [(sanction(2),)]
    call = Call(Impose("general", sanction(0), Places(9, 9, 9)), held.answers.append)
    held.mirror.replied(call, [b"imposed", 4, None, 6], held.reports)
    assert held.looks == []
    held.hear(b"I", packed(3), 0, count=5)
    assert held.looks == [0]
    held.look(state(1), sanctions=[], others=5)
    assert (held.looks, held.mirror.sanctions) == ([0, 0], [sanction(4)]), "it is older than the answer"
    held.look(state(1), sanctions=[sanction(3), sanction(4)], others=6)
    assert held.reports.of("recovered") == [([sanction(3), sanction(4)],)]
    held.hear(b"X", packed(3), count=8)
    lifting = Call(Lift("general", "bob", "ban", 0), held.answers.append)
    held.mirror.replied(lifting, [b"lifted", packed(4), 7], held.reports)
    assert (held.answers[-1], held.looks) == (Lifted(sanction(4)), [0, 0, 0])
