"""What the tests of the wire share: vectors, and any bytes at all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgpack
import pytest
from hypothesis import strategies as st

from tests.vectors.load import vectors
from zchat.wire import values

MIB = 1 << 20


MULTIPLE = 192
"""What looking at a byte may take in bytes: two make a map or array of one element, some 200 bytes of Python's."""


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)


BODIES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(SCALARS, inner, max_size=5),
    max_leaves=20,
)


PRODUCER = bytes(range(16))


def name_of(entry: dict[str, Any]) -> str:
    return str(entry["name"])


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", vectors(kind), ids=name_of)


def plain(value: Any) -> Any:
    """Return a value with arrays as lists, as they come out of MessagePack."""
    if isinstance(value, msgpack.ExtType):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def peak(run: Callable[[], object], error: type[Exception] | None = None) -> int:
    """Return the most bytes that a call held at once; it has to end with the error if one is named."""
    tracemalloc.start()
    try:
        with pytest.raises(error) if error else nullcontext():
            run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- any bytes at all ------------------------------------------------------------------------------


def near_messagepack() -> st.SearchStrategy[bytes]:
    """Make what MessagePack wrote, whole, or with one slice of it replaced."""
    whole = st.recursive(SCALARS, lambda inner: st.lists(inner), max_leaves=10).map(values.pack)

    def spoilt(packed: bytes) -> st.SearchStrategy[bytes]:
        cut = st.integers(0, len(packed))
        return st.builds(lambda a, b, new: packed[:a] + new + packed[b:], cut, cut, st.binary(max_size=6))

    return whole | whole.flatmap(spoilt)


BYTES = st.binary(max_size=2000) | near_messagepack()
