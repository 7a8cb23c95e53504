"""A run of blocks in memory: a room's log, or its newest part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

COMPACT = 256
"""Dropped blocks that a run keeps places for before it moves the rest forward: moving costs once in 256."""

BLOCK_COST = 300
"""Bytes of Python objects around one block, counted beside its own bytes (250 measured; lists grow ahead of need)."""


class Block(NamedTuple):
    """One block of a room's log: messages `first` to `last`, as `zchat.wire.blocks.encode_block` made it."""

    first: int
    last: int
    timestamp: int
    producer: bytes
    data: bytes

    @property
    def cost(self) -> int:
        """Return the bytes of memory that the block is counted with."""
        return len(self.data) + BLOCK_COST


class Blocks:
    """A run of blocks in their order: added at the end, dropped at the front, read from a position."""

    __slots__ = ("_blocks", "_lasts", "_start", "cost", "newest")

    def __init__(self) -> None:
        self._blocks: list[Block | None] = []
        self._lasts: list[int] = []
        self._start = 0
        self.cost = 0
        self.newest: Block | None = None
        """The last block, None if there is none."""

    def __len__(self) -> int:
        return len(self._blocks) - self._start

    def __iter__(self) -> Iterator[Block]:
        for index in range(self._start, len(self._blocks)):
            block = self._blocks[index]
            assert block is not None
            yield block

    @property
    def oldest(self) -> Block | None:
        """Return the first block, None if there is none."""
        return self._blocks[self._start] if len(self) else None

    def reach(self, seq: int) -> bool:
        """Return whether a reader who has all up to `seq` can go on here."""
        oldest = self._blocks[self._start] if len(self._blocks) > self._start else None
        return oldest is not None and oldest.first <= seq + 1

    def append(self, block: Block) -> int:
        """Add the block that follows the last one; return what it costs."""
        self.newest = block
        self._blocks.append(block)
        self._lasts.append(block.last)
        cost = len(block.data) + BLOCK_COST  # `Block.cost`, without a call: twice a block
        self.cost += cost
        return cost

    def drop(self) -> Block:
        """Remove the first block and return it; IndexError if there is none."""
        block = self._blocks[self._start]
        assert block is not None
        self._blocks[self._start] = None
        self._start += 1
        self.cost -= block.cost
        if self._start == len(self._blocks):
            self.newest = None
        if self._start >= COMPACT and self._start * 2 >= len(self._blocks):
            del self._blocks[: self._start]
            del self._lasts[: self._start]
            self._start = 0
        return block

    def after(self, seq: int, max_bytes: int, upto: int | None = None) -> list[Block]:
        """Return whole blocks from the one that holds seq + 1 on.

        The first is there however large; others as long as all together have at most
        `max_bytes`, and none that begins after `upto` (None: no such end).
        """
        found: list[Block] = []
        size = 0
        blocks = self._blocks
        for index in range(bisect_right(self._lasts, seq, self._start), len(blocks)):
            block = blocks[index]
            assert block is not None
            size += len(block.data)
            if (found and size > max_bytes) or (upto is not None and block.first > upto):
                break
            found.append(block)
        return found
