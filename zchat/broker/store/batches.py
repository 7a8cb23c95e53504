"""What a thread that writes takes at once: all that has arrived while it was busy."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def take_batch(
    tasks: SimpleQueue[T | None], seconds: float, most: int, most_bytes: int, size_of: Callable[[T], int]
) -> tuple[list[T], bool]:
    """Return the tasks that wait, in order, and whether there will be more: None in the queue is its end.

    If there are none, the first is waited for, `seconds` at most. A batch has `most` tasks at most, and none after
    those that are more than `most_bytes` together, as `size_of` says of each.
    """
    batch: list[T] = []
    size = 0
    try:
        task = tasks.get(timeout=seconds)
        while task is not None:
            batch.append(task)
            size += size_of(task)
            if len(batch) == most or size > most_bytes:
                return batch, True
            task = tasks.get_nowait()
    except Empty:
        return batch, True
    return batch, False
