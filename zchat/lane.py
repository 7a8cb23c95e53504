"""A lane: what waits to be sent to one room, and the blocks in flight.

Blocks appear by themselves: whatever waits when there is a place for one goes into it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from zchat.wire import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_NESTED, NESTING

BLOCKS_IN_FLIGHT = 4
"""Unanswered blocks a room: enough to keep the broker busy while answers travel; more only wait there."""

NOT_COUNTED = -1
"""Bytes of bodies that hold others, as long as all bodies of a block are too few for it to matter."""


class Batch(Protocol):
    """Hold packed messages that a caller hands over, oldest first, and hear what became of them.

    Whoever takes a body out of `bodies` decides its fate: once the core has it, it has a number.
    `queued` tells that the batch stands in its lane.
    """

    bodies: deque[bytes]
    queued: bool
    failed: bool

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Take note that the next `count` messages are stored, from seq `first` on."""

    def fail(self, error: Exception) -> None:
        """Take the reason why the rest will not be stored, or nobody knows whether it is."""


class Block(NamedTuple):
    """Hold a numbered block in flight: whose messages it is made of, in order."""

    number: int
    parts: list[tuple[Batch, list[bytes]]]


class Lane:
    """Keep what waits to be sent to a room, and the blocks in flight."""

    __slots__ = ("again", "batches", "flight", "name", "number", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 1
        self.ready = False
        self.batches: deque[Batch] = deque()
        self.flight: deque[Block] = deque()
        self.again: deque[tuple[Batch, list[bytes]]] = deque()

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return bool(self.batches or self.again)

    @property
    def full(self) -> bool:
        """Tell whether nothing can be sent before an answer comes: all places taken, or going back."""
        flight = self.flight
        return len(flight) >= BLOCKS_IN_FLIGHT or (bool(flight) and self.number <= flight[-1].number)

    def take(self) -> list[tuple[Batch, list[bytes]]]:
        """Take messages for one block, from as many batches as fit: 1,000 and 1 MiB at most.

        Bodies that hold others are 64 KiB of it at most, or one: that many bytes are no more than
        a block may have arrays, maps, keys and ext values.
        """
        parts: list[tuple[Batch, list[bytes]]] = []
        count = size = 0
        nested = NOT_COUNTED
        while self.again:
            batch, bodies = self.again[0]
            if batch.failed:
                self.again.popleft()
                continue
            size += sum(map(len, bodies))
            count += len(bodies)
            if size > MAX_NESTED:
                nested = _nested(nested, parts, bodies)
            if parts and (count > MAX_BLOCK_MESSAGES or size > MAX_BLOCK_BYTES or nested > MAX_NESTED):
                return parts
            parts.append((batch, bodies))
            self.again.popleft()
        while self.batches and count < MAX_BLOCK_MESSAGES:
            batch = self.batches.popleft()
            if batch.failed:
                continue
            taken = _pop(batch.bodies, MAX_BLOCK_MESSAGES - count)
            count += len(taken)
            size += sum(map(len, taken))
            if size > MAX_NESTED:
                nested = _nested(nested, parts, taken)
            while (size > MAX_BLOCK_BYTES or nested > MAX_NESTED) and (len(taken) > 1 or (taken and parts)):
                body = taken.pop()  # seldom: 1 MiB, or 64 KiB of arrays and maps, in fewer than 1,000 messages
                size -= len(body)
                nested -= _nested_bytes((body,))
                batch.bodies.appendleft(body)
                count = MAX_BLOCK_MESSAGES
            if taken:
                parts.append((batch, taken))
            batch.queued = False  # say so, then look once more: the caller appends, then looks at it
            if batch.bodies:
                batch.queued = True
                self.batches.append(batch)  # behind the others: nobody waits for a long one to end
                if not taken:
                    break
        return parts


def _nested(before: int, parts: list[tuple[Batch, list[bytes]]], bodies: list[bytes]) -> int:
    """Return the bytes of all bodies that hold others; `before` is that of `parts`, or NOT_COUNTED."""
    if before == NOT_COUNTED:
        before = sum(_nested_bytes(earlier) for _, earlier in parts)
    return before + _nested_bytes(bodies)


def _nested_bytes(bodies: Iterable[bytes]) -> int:
    return sum(len(body) for body in bodies if body[0] in NESTING)


def _pop(bodies: deque[bytes], most: int) -> list[bytes]:
    """Take the oldest bodies; none if another thread withdraws them in between."""
    try:
        return [bodies.popleft() for _ in range(min(len(bodies), most))]
    except IndexError:
        return []
