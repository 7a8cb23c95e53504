"""Whether all was heard that was told, without a server."""

from __future__ import annotations

import pytest

from zchat.broker.store.redis.hearing import Changes, Hearing
from zchat.broker.store.redis.notices import Notice


def notice(kind: bytes, count: int, epoch: int = 7, partition: int = 1) -> Notice:
    return Notice(partition, kind, b"broker", epoch, count, ())


@pytest.fixture
def hearing() -> Hearing:
    return Hearing([Changes(7, 5, 5)] * 3)


def test_as_long_as_every_change_is_heard_nothing_is_missing(hearing: Hearing) -> None:
    for each in (notice(b"L", 6), notice(b"M", 6), notice(b"R", 7), notice(b"A", 0), notice(b"U", 7), notice(b"L", 7)):
        hearing.heard(each)
    for _ in range(2):
        hearing.probed([Changes(7, 5, 5), Changes(7, 7, 7), Changes(7, 5, 5)], at_once=False)
    assert hearing.missing == set()


@pytest.mark.parametrize(
    "missed", [notice(b"L", 7), notice(b"I", 7), notice(b"L", 6, epoch=8), notice(b"A", 0, epoch=8)]
)
def test_a_change_that_was_skipped_or_is_of_another_epoch_is_missing_until_the_partition_was_looked_at(
    hearing: Hearing, missed: Notice
) -> None:
    hearing.heard(missed)
    assert hearing.missing == {1}
    hearing.looked(1, Changes(missed.epoch, 9, 9))
    hearing.heard(notice(b"L", 10, epoch=missed.epoch))
    assert hearing.missing == set()


def test_what_was_heard_after_a_look_that_was_taken_before_is_not_missed_again(hearing: Hearing) -> None:
    hearing.heard(notice(b"L", 8))
    hearing.looked(1, Changes(7, 7, 5))
    hearing.heard(notice(b"L", 9))
    assert hearing.missing == set()


@pytest.mark.parametrize("now", [Changes(7, 6, 5), Changes(7, 5, 6)])
def test_what_the_server_has_counted_and_nobody_heard_by_the_next_probe_is_missing(
    hearing: Hearing, now: Changes
) -> None:
    found = [Changes(7, 5, 5), now, Changes(7, 5, 5)]
    hearing.probed(found, at_once=False)
    assert hearing.missing == set(), "it may be on its way"
    hearing.probed(found, at_once=False)
    assert hearing.missing == {1}


def test_what_was_counted_while_nobody_listened_is_missing_at_once(hearing: Hearing) -> None:
    hearing.probed([Changes(7, 5, 5), Changes(7, 6, 5), Changes(8, 0, 0)], at_once=True)
    assert hearing.missing == {1, 2}
