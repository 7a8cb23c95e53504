"""What a broker has reported of a log, and the places of blocks that it looks for there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.store.driver import BOB, block
from tests.broker.store.redis.test_mirror import EPOCH, NOW, Held, state, stored_of
from zchat.broker.store.contract import Stored
from zchat.broker.store.redis.mirrored_log import LOST, CaughtUp, Claim, claim_of, mirrored
from zchat.broker.store.redis.requests import Call, Write


def test_a_log_is_mirrored_with_all_that_it_has() -> None:
    log = mirrored(state(9, (7, 1), (8, 4), first=3))
    assert (log.name, log.first, log.last, log.epochs.current) == ("General", 3, 9, 8)


@pytest.mark.parametrize(
    ("reply", "again", "known"),
    [
        ([b"stored", 5, NOW, 7, 1], False, True),
        ([b"duplicate", 5, 1, NOW, 7], True, True),
        ([b"duplicate", 5, 1, NOW, 7], False, False),
        ([b"order", 3], False, False),
    ],
)
def test_a_place_is_looked_at_for_what_this_broker_has_sent(reply: Any, again: bool, known: bool) -> None:
    call = Call(Write("general", block(1, "here"), False), lambda answer: None)
    call.again = again
    claim = claim_of(call, reply)
    if not known:
        assert claim is None
        return
    assert claim is not None
    assert claim.block == stored_of(block(1, "here"), 5)
    assert claim_of(call, claim) is claim


def test_a_block_is_found_at_its_place_alone_and_stays_found() -> None:
    claim = Claim(stored_of(block(1, "here"), 5))
    claim.look([stored_of(block(1, "here"), 4), stored_of(block(1, "here", producer=BOB), 5)])
    assert not claim.found
    claim.look([stored_of(block(1, "here"), 5)])
    claim.look([])
    assert claim.found


def test_what_waits_with_a_place_in_the_log_fails_when_the_server_has_begun_anew() -> None:
    held = Held(state(2))
    held.stored(1, 5)
    held.marked(4)
    held.attach(state(2, (7, 1)), epoch=8)
    assert held.answers == [LOST]  # of the mark
    held.read(state(2, (7, 1)), epoch=8)
    assert held.answers == [LOST, LOST]
    assert held.reports.of("marked") == []


def test_a_block_that_waits_is_looked_for_in_a_room_without_members_too() -> None:
    held = Held(state(2))
    held.mirror.follow("general", False)
    held.stored(1, 5)
    held.attach(state(5))
    assert [each.blocks for each in held.wanted] == [False, True]
    there = [*(stored_of(block(1, f"{first}", producer=BOB), first) for first in (3, 4)), stored_of(block(1, "5"), 5)]
    held.mirror.caught_up(CaughtUp(held.wanted[-1], EPOCH, state(5), there), held.reports)
    assert isinstance(held.answers[0], Stored)


def test_a_mark_that_the_server_has_lost_is_gone_though_the_log_is_as_it_was() -> None:
    held = Held(state(2))
    held.marked(2)
    held.attach(state(2), epoch=8)
    assert held.reports.of("marked") == [("General", "bob", 2), ("General", "bob", 0)]
    assert held.mirror.read_marks() == []
