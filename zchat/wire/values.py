"""MessagePack, and the kinds of values that fields have."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgpack

from zchat.wire.limits import ID_BYTES, MAX_INT

NESTING = frozenset((*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0)))
"""First bytes of arrays, maps and ext values: any other body is plain and has none of them in it."""

pack = partial(msgpack.packb, use_bin_type=True)

unpack = partial(msgpack.unpackb, raw=False, strict_map_key=False)


def is_uint(value: object) -> bool:
    """Return True if it is a number from 0 to `MAX_INT`. Any thread."""
    return type(value) is int and 0 <= value <= MAX_INT


KINDS: dict[str, Any] = {
    "uint": is_uint,
    "uint or nil": lambda value: value is None or is_uint(value),
    "str": lambda value: type(value) is str,
    "str or nil": lambda value: value is None or type(value) is str,
    "bool": lambda value: type(value) is bool,
    "bin": lambda value: type(value) is bytes,
    "array": lambda value: type(value) is list,
    "id": lambda value: type(value) is bytes and len(value) == ID_BYTES,
    "position or nil": lambda value: (
        value is None or (type(value) is list and len(value) == 2 and all(map(is_uint, value)))
    ),
}


def array_header(count: int) -> bytes:
    """Return the MessagePack header of an array of `count` elements (fixarray, array 16 or 32)."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
