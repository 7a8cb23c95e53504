"""MessagePack by hand."""

from __future__ import annotations

import pytest

from zchat.wire import blocks, values


@pytest.mark.parametrize(
    ("count", "header"),
    [
        (0, "90"),
        (1, "91"),
        (15, "9f"),
        (16, "dc0010"),
        (65_535, "dcffff"),
        (65_536, "dd00010000"),
    ],
)
def test_the_header_of_an_array_is_the_shortest(count: int, header: str) -> None:
    assert values.array_header(count).hex() == header
    assert blocks.join_bodies([b"\xc0"] * count) == values.pack([None] * count)
