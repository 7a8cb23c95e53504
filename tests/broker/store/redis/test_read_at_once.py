"""What is read of a room as soon as it is heard of, without a server: `Mirror.wanted` and `found`."""

from __future__ import annotations

from tests.broker.store.driver import block
from tests.broker.store.redis.test_mirror import EPOCH, Held, state, stored_of
from zchat.broker.store.redis.mirrored_log import CatchUp, CaughtUp


def test_what_was_read_as_it_was_heard_of_is_reported_without_another_read() -> None:
    held = Held(state(2))
    asked = held.mirror.wanted("general")
    assert asked == CatchUp("general", 2, 0, True)
    held.mirror.found(CaughtUp(asked, EPOCH, state(4), [stored_of(block(1, "a"), 3)]), held.reports)
    assert held.grown() == [("General", 3, 7)]
    assert held.wanted == [CatchUp("general", 3, 0, True)], "the page did not reach the end"
    assert held.mirror.wanted("general") is None, "it is being read"
    held.read(state(4), 4)
    held.mirror.found(CaughtUp(asked, EPOCH, state(4), [stored_of(block(1, "a"), 3)]), held.reports)
    assert [first for _, first, _ in held.grown()] == [3, 4], "it was older than what is known"
    assert held.mirror.wanted("other") is None, "it is not known"
    held.mirror.follow("general", False)
    assert held.mirror.wanted("general") is None, "nobody is there"


def test_what_was_read_as_it_was_heard_of_counts_no_more_once_more_is_known() -> None:
    held = Held(state(2))
    asked = held.mirror.wanted("general")
    assert asked is not None
    blocks = [stored_of(block(1, "a"), 3)]
    held.hear(b"L", b"general", 3)
    held.mirror.found(CaughtUp(asked, EPOCH, state(3), blocks), held.reports)
    assert (held.grown(), len(held.wanted)) == ([], 1), "it is being read"
    held.read(state(3), 3)
    for wrong, epoch in ((asked._replace(turn=1), EPOCH), (asked, EPOCH + 1), (asked._replace(after=7), EPOCH)):
        reads = len(held.wanted)
        held.mirror.found(CaughtUp(wrong, epoch, state(9), [stored_of(block(1, "a"), 9)]), held.reports)
        assert held.wanted[reads:] == [CatchUp("general", held.grown()[-1][1], 0, True)]
        held.read(state(9), *range(held.grown()[-1][1] + 1, 10))
        held = Held(state(2))
        held.hear(b"L", b"general", 3)
        held.read(state(3), 3)
    held.mirror.found(CaughtUp(asked, 0, None, []), held.reports)
    assert not held.reports.of("trimmed")
