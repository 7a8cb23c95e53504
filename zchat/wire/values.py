"""MessagePack, and the kinds of values that frames have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgpack

from zchat.wire.limits import ID_BYTES, MAX_INT

NESTING = frozenset((*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0)))
"""First bytes of arrays, maps and ext values: any other body is plain and has none of them in it."""

PACKED_BYTES = 1024
"""Bytes that a packer begins with: the 256 KiB of its own accord cost more than to pack what is small."""

unpack = partial(msgpack.unpackb, raw=False, strict_map_key=False)


def pack(value: Any) -> bytes:
    """Return a value as MessagePack; raises what msgpack does if that can't hold it. Any thread."""
    packed: bytes = msgpack.Packer(buf_size=PACKED_BYTES).pack(value)
    return packed


def is_uint(value: object) -> bool:
    """Return True if it is a number from 0 to `MAX_INT`. Any thread."""
    return type(value) is int and 0 <= value <= MAX_INT


class Kind(NamedTuple):
    """What one element of a frame may be: one of `types`, numbers from 0 to `MAX_INT` alone, and `right` if there is
    more to say."""

    types: frozenset[type]
    right: Callable[[Any], bool] | None = None


_NIL = type(None)

KINDS: dict[str, Kind] = {
    "uint": Kind(frozenset({int})),
    "uint or nil": Kind(frozenset({int, _NIL})),
    "str": Kind(frozenset({str})),
    "str or nil": Kind(frozenset({str, _NIL})),
    "bool": Kind(frozenset({bool})),
    "bin": Kind(frozenset({bytes})),
    "array": Kind(frozenset({list})),
    "array or nil": Kind(frozenset({list, _NIL})),
    "map": Kind(frozenset({dict})),
    "id": Kind(frozenset({bytes}), lambda value: len(value) == ID_BYTES),
    "position or nil": Kind(
        frozenset({tuple, _NIL}), lambda value: value is None or (len(value) == 2 and all(map(is_uint, value)))
    ),
}
"""The kinds of elements, by the words that docs/protocol.md has for them."""


class Shape:
    """The kinds of a frame's elements, in order: what is checked before any of them is used.

    `kinds` are keys of `KINDS`; those in `additions` follow, and may be missing: an older version ends before them.
    """

    __slots__ = ("_checks", "count", "kinds", "needed")

    def __init__(self, *kinds: str, additions: tuple[str, ...] = ()) -> None:
        self.kinds = kinds + additions
        self.needed = len(kinds)
        self.count = len(self.kinds)
        found = enumerate(KINDS[kind] for kind in self.kinds)
        self._checks = tuple((index, kind.types, kind.right) for index, kind in found)

    def wrong(self, values: Sequence[Any]) -> int | None:
        """Return the index of the first value that is missing or of another kind, None if all are right.

        Values after the last of the shape are not looked at: a later version may add some. Any thread.
        """
        checks = self._checks
        if len(values) < len(checks):
            if len(values) < self.needed:
                return len(values)
            checks = checks[: len(values)]
        for index, types, right in checks:  # once a frame: no calls but where there is more to say
            value = values[index]
            kind = type(value)
            if kind not in types or (kind is int and not 0 <= value <= MAX_INT):
                return index
            if right is not None and not right(value):
                return index
        return None


SHORT_ARRAYS = tuple(bytes((0x90 | count,)) for count in range(16))
"""The headers of arrays of 0 to 15 elements: once a message, they are looked up."""


def array_header(count: int) -> bytes:
    """Return the MessagePack header of an array of `count` elements (fixarray, array 16 or 32)."""
    if count < 16:
        return SHORT_ARRAYS[count]
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def join_arrays(head: Sequence[Any], *arrays: list[bytes]) -> bytes:
    """Return one array: the elements of `head`, then each of `arrays` as an array of values packed already."""
    parts = [SHORT_ARRAYS[len(head) + len(arrays)], pack(head)[1:]]
    for packed in arrays:
        count = len(packed)
        parts.append(SHORT_ARRAYS[count] if count < 16 else array_header(count))
        parts += packed
    return b"".join(parts)
