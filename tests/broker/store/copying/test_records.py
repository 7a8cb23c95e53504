"""Counting what a store keeps: what makes two stores the same, and a log that is not whole."""

from __future__ import annotations

from itertools import permutations

import pytest

from zchat.broker.store.contract import BAN, Sanction
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    Result,
    RoomRecord,
    Tally,
)
from zchat.broker.store.epochs import Epoch
from zchat.errors import StoreError

PRODUCER = bytes(16)
ROOM = RoomRecord("General", "alice", 3, 6, 70, (Epoch(9, 1),))
MARK = ReadMarkRecord("bob", 5, 60)
KNOWN = ProducerRecord(PRODUCER, "alice", 2, 70, (Result(3, 2, 60, 9), Result(5, 2, 70, 9)))
BLOCKS: list[BlockRecord] = [BlockRecord(3, 4, 60, PRODUCER, b"one"), BlockRecord(5, 6, 70, PRODUCER, b"two")]
OTHER: list[Record] = [RoomRecord("Other", "", 1, 0, 0, ()), ReadMarkRecord("bob", 0, 61)]
REST: list[Record] = [Sanction("", "eve", BAN, 0, "alice", 8, "", "", 1), OldSender("o")]


def tally(*records: Record) -> Tally:
    found = Tally("here")
    for record in records:
        found.add(record)
    found.end()
    return found


def test_what_there_is_is_counted() -> None:
    found = tally(ROOM, MARK, KNOWN, *BLOCKS, *OTHER, *REST)
    assert (found.rooms, found.messages, found.newest) == (2, 4, 70)
    assert (found.read_marks, found.producers, found.sanctions) == (2, 1, 1)


def test_rooms_and_what_they_have_may_come_in_any_order() -> None:
    first = tally(ROOM, MARK, KNOWN, *BLOCKS, *OTHER, *REST)
    some: list[Record] = [MARK, KNOWN]
    for each in permutations(some):
        assert first.is_like(tally(*OTHER, ROOM, *each, *BLOCKS, *reversed(REST)))


@pytest.mark.parametrize(
    "records",
    [
        [ROOM._replace(name="general"), MARK, KNOWN, *BLOCKS],
        [ROOM._replace(maker="bob"), MARK, KNOWN, *BLOCKS],
        [ROOM._replace(timestamp=71), MARK, KNOWN, *BLOCKS],
        [ROOM._replace(epochs=(Epoch(9, 2),)), MARK, KNOWN, *BLOCKS],
        [ROOM, MARK._replace(seq=4), KNOWN, *BLOCKS],
        [ROOM, MARK._replace(moved=0), KNOWN, *BLOCKS],
        [ROOM, KNOWN, *BLOCKS],
        [ROOM, MARK, MARK, KNOWN, *BLOCKS],
        [ROOM, MARK, KNOWN._replace(last=3), *BLOCKS],
        [ROOM, MARK, KNOWN._replace(results=KNOWN.results[1:]), *BLOCKS],
        [ROOM, MARK, KNOWN, BLOCKS[0]._replace(suffix=b"eno"), BLOCKS[1]],
        [ROOM, MARK, KNOWN, BLOCKS[0]._replace(timestamp=61), BLOCKS[1]],
        [ROOM, KNOWN, *BLOCKS, RoomRecord("Other", "", 1, 0, 0, ()), MARK],
        [ROOM, MARK, KNOWN, *BLOCKS, *REST],
    ],
)
def test_whatever_else_is_different_is_not_the_same(records: list[Record]) -> None:
    assert not tally(ROOM, MARK, KNOWN, *BLOCKS).is_like(tally(*records))


def test_what_one_kind_of_store_alone_keeps_makes_no_difference() -> None:
    more = KNOWN._replace(connection=7, results=tuple(each._replace(digest=b"12345678") for each in KNOWN.results))
    assert tally(ROOM, KNOWN, *BLOCKS).is_like(tally(ROOM, more, *BLOCKS))


@pytest.mark.parametrize("blocks", [BLOCKS[1:], BLOCKS[:1], [], [BLOCKS[0], BLOCKS[0]], BLOCKS[::-1]])
@pytest.mark.parametrize("rest", [[], OTHER])
def test_a_log_with_a_hole_is_damaged(blocks: list[Record], rest: list[Record]) -> None:
    with pytest.raises(StoreError, match=r"here is damaged: of the room 'General' there is no message \d"):
        tally(ROOM, *blocks, *rest)
