"""What a thread that writes takes at once."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from zchat.broker.store.batches import take_batch


def queue(*tasks: str | None) -> SimpleQueue[str | None]:
    made: SimpleQueue[str | None] = SimpleQueue()
    for task in tasks:
        made.put(task)
    return made


@pytest.mark.parametrize(
    ("most", "most_bytes", "first"), [(9, 9, ["a", "bb", "ccc"]), (2, 9, ["a", "bb"]), (9, 2, ["a", "bb"])]
)
def test_what_waits_is_taken_in_order_within_both_bounds(most: int, most_bytes: int, first: list[str]) -> None:
    tasks = queue("a", "bb", "ccc")
    assert take_batch(tasks, 0, most, most_bytes, len) == (first, True)
    assert tasks.qsize() == 3 - len(first)


def test_the_end_is_noticed_after_what_came_before_it_and_an_empty_queue_is_no_end() -> None:
    assert take_batch(queue("a", None), 0, 9, 9, len) == (["a"], False)
    assert take_batch(queue(None), 0, 9, 9, len) == ([], False)
    assert take_batch(queue(), 0.001, 9, 9, len) == ([], True)
