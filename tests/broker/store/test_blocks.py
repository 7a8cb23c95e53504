from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.broker.store.blocks import COMPACT, Block, Blocks


def make(first: int, last: int, size: int = 10) -> Block:
    return Block(first, last, 0, b"p", b"x" * size)


def filled(*counts: int) -> Blocks:
    blocks = Blocks()
    last = 0
    for count in counts:
        blocks.append(make(last + 1, last + count))
        last += count
    return blocks


def test_no_block_is_no_block() -> None:
    blocks = Blocks()
    assert len(blocks) == 0
    assert blocks.oldest is None
    assert blocks.after(0, 100) == []
    with pytest.raises(IndexError):
        blocks.drop()


def test_what_was_dropped_is_not_read() -> None:
    blocks = filled(2, 3, 1)
    assert blocks.drop() == make(1, 2)
    assert blocks.oldest == make(3, 5)
    assert blocks.after(0, 100) == [make(3, 5), make(6, 6)]
    assert len(blocks) == 2


def test_the_first_block_comes_however_large() -> None:
    blocks = Blocks()
    blocks.append(make(1, 1, 100))
    blocks.append(make(2, 2, 100))
    assert len(blocks.after(0, 0)) == 1
    assert len(blocks.after(0, 199)) == 1
    assert len(blocks.after(0, 200)) == 2


def test_places_of_dropped_blocks_are_given_back() -> None:
    blocks = Blocks()
    for seq in range(1, 10 * COMPACT):
        blocks.append(make(seq, seq))
        if len(blocks) > 3:
            blocks.drop()
    assert len(blocks._blocks) <= COMPACT + 4
    assert [block.first for block in blocks.after(0, 1000)] == list(range(10 * COMPACT - 3, 10 * COMPACT))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50), st.booleans()), max_size=40),
    st.integers(0, 100),
    st.integers(0, 300),
    st.none() | st.integers(0, 100),
)
def test_a_read_is_what_a_search_from_the_start_finds(
    steps: list[tuple[int, int, bool]], seq: int, max_bytes: int, upto: int | None
) -> None:
    blocks = Blocks()
    model: list[Block] = []
    last = 0
    for count, size, drop in steps:
        blocks.append(make(last + 1, last + count, size))
        model.append(make(last + 1, last + count, size))
        last += count
        if drop:
            assert blocks.drop() == model.pop(0)
    expected: list[Block] = []
    for block in model:
        if block.last > seq:
            if expected and sum(len(each.data) for each in [*expected, block]) > max_bytes:
                break
            if upto is not None and block.first > upto:
                break
            expected.append(block)
    assert blocks.after(seq, max_bytes, upto) == expected
    assert blocks.cost == sum(block.cost for block in model)
    assert len(blocks) == len(model)
    assert blocks.oldest == (model[0] if model else None)
