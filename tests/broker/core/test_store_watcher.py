"""What follows from what a store reports."""

from __future__ import annotations

from tests.broker.driver import LateStore, Peer, World
from zchat.broker.store.contract import Commit


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
