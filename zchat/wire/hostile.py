"""Decoding what strangers send: bounded in time and memory, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from zchat.wire.limits import FRAME_OVERHEAD, MAX_NESTED, MAX_NUMBER_KEYS
from zchat.wire.values import unpack

NESTED = frozenset({tuple, list, dict})
"""The types of arrays and maps, however they are decoded."""

_TOO_MANY = f"more than {MAX_NESTED} arrays, maps, keys and ext values"


def _timestamp() -> int:
    """Return how msgpack decodes timestamps: as numbers, if it refuses those that readers can't decode then too."""
    try:
        msgpack.unpackb(b"\xd7\xff" + b"\xff" * 8, timestamp=1)
    except ValueError:
        return 1
    return 0  # msgpack before 1.2: as objects, which takes longer


TIMESTAMP = _timestamp()
"""How timestamps are decoded, as msgpack's option of that name says it."""

HEADER = 5
"""Bytes that the header of an array has at most."""

_EXT_CODE = "code must be"
"""What msgpack says of an ext value of a type below 0."""

RESERVED_EXT = "an ext type from -2 to -128, which MessagePack keeps for itself"
"""What is said of it instead."""

MAX_ELEMENTS = 32
"""Elements of a long frame: more than any command has, and room for those of later versions."""

_BINARY = frozenset({0xC4, 0xC5, 0xC6})
"""First bytes of binary values."""

_SHORT = 4096
"""Values of an array that are freed at once."""

_SKIP_FROM = 512
"""Bytes from which a value is walked before it is decoded: a lying count in a short one is cheap."""

LARGE = 1 << 17
"""Bytes above which a client counts what is in a broker's frame or bodies: below it nothing takes a tenth of a second
to decode. No frame of many values is larger."""

MAX_TEXT = 1_000
"""Characters of a reason that are kept: more than any that a broker gives."""

MAX_WORD = 64
"""Characters of an error's code, or of a gap's reason, that are kept."""


EXHAUSTED = (RecursionError, MemoryError)
"""Errors that say nothing of what is decoded: the caller has used up its stack, or memory is short. What nests too deep
is refused by MessagePack before it takes the stack."""


def fails(function: Callable[..., object], *arguments: object, **options: object) -> bool:
    """Return whether a call that has failed fails again. Else what it raised came from elsewhere."""
    try:
        function(*arguments, **options)
    except Exception:
        return True
    return False


def unpack_hostile(packed: bytes) -> Any:
    """Decode what a stranger sent: walk it first, for a false array header has its array allocated.

    Much of it is looked at, not used, so everything comes as what is made fastest: an array as a tuple, a map as a
    list of its values, a timestamp as a number (with an old msgpack as its own object), any other ext value as None.
    """
    if len(packed) > _SKIP_FROM:
        fed(packed).skip()
    # Not `unpack`: once a frame, and a partial that adds to its words costs as much again as the decoding.
    return msgpack.unpackb(
        packed,
        raw=False,
        strict_map_key=False,
        use_list=False,
        timestamp=TIMESTAMP,
        object_pairs_hook=_values,
        ext_hook=_passed_over,
    )


def too_long(frame: bytes) -> str:
    """Return what is too long in a frame of more than `FRAME_OVERHEAD` bytes, "" for nothing: so it is quickly decoded.

    Raises:
        Exception: it isn't an array, or not whole, as msgpack says it.
    """
    unpacker = fed(frame)
    count = unpacker.read_array_header()
    if count > MAX_ELEMENTS:
        return f"a frame of more than {FRAME_OVERHEAD} bytes has {MAX_ELEMENTS} elements at most"
    short = 0
    for _ in range(count):
        begin = unpacker.tell()
        unpacker.skip()
        if frame[begin] not in _BINARY:
            short += unpacker.tell() - begin
    return f"a frame has {FRAME_OVERHEAD} bytes at most beside binary" if short > FRAME_OVERHEAD else ""


def decoding(size: int) -> dict[str, Any]:
    """Return how so many bytes of a stranger's bodies are decoded by an unpacker: as by `unpack_hostile`, but for maps.

    They come as tuples too: of the tens of thousands that there may be Python's collector forgets those that hold no
    others, and goes through lists of as many for 30 ms. A long array comes as a list: it can be freed in parts.
    """
    options = {"raw": False, "strict_map_key": False, "use_list": False, "timestamp": TIMESTAMP}
    if size <= MAX_NESTED:  # each takes a byte at least
        return options | {"object_pairs_hook": _tuple_of_values, "ext_hook": _passed_over}
    counted = _counted(MAX_NESTED, _tuple_of_values, _passed_over)
    count = counted["list_hook"]
    return options | counted | {"use_list": True, "list_hook": lambda values: _shrunk(count(values))}


def _shrunk(values: list[Any]) -> list[Any] | tuple[Any, ...]:
    return tuple(values) if len(values) <= _SHORT else values


def unpack_large(packed: bytes) -> Any:
    """Decode more than `LARGE` bytes of a broker's, with no more in them than bodies may have. Any thread.

    Raises:
        ValueError: they are not one MessagePack value, or have more than MAX_NESTED arrays, maps, keys and ext values.
    """
    # The outermost array isn't counted.
    return unpack(packed, **_counted(MAX_NESTED + 1, _mapping, msgpack.ExtType))


def _counted(
    most: int, mapping: Callable[[list[tuple[Any, Any]]], Any], extension: Callable[[int, bytes], Any]
) -> dict[str, Any]:
    """Return how to decode a bounded number of containers; `mapping` makes a map, `extension` an ext value of it."""
    left = most

    def count(value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(_TOO_MANY)
        return value

    def count_keys(pairs: list[tuple[Any, Any]]) -> Any:
        nonlocal left
        left -= 1 + len(pairs)
        if left < 0:
            raise ValueError(_TOO_MANY)
        return mapping(pairs)

    return {
        "list_hook": count,
        "object_pairs_hook": count_keys,
        "max_map_len": MAX_NESTED,
        "ext_hook": lambda code, data: extension(count(code), data),
    }


def _passed_over(code: int, data: bytes) -> None:
    if code < 0:
        raise ValueError(RESERVED_EXT)


def _mapping(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    _values(pairs)
    return dict(pairs)


def _values(pairs: list[tuple[Any, Any]]) -> list[Any]:
    values = []
    numbers = 0
    for key, value in pairs:
        values.append(value)
        kind = key.__class__
        if kind is not str and kind is not bytes:
            numbers += 1
            if kind in NESTED:
                raise ValueError("a map's key is an array or a map")
    if numbers > MAX_NUMBER_KEYS:
        raise ValueError(f"a map has more than {MAX_NUMBER_KEYS} keys that are neither text nor binary")
    return values


def _tuple_of_values(pairs: list[tuple[Any, Any]]) -> tuple[Any, ...]:
    return tuple(_values(pairs))


def fed(packed: bytes) -> Any:
    """Return an unpacker that holds `packed`, to walk it value by value. Any thread."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(packed), read_size=len(packed))
    unpacker.feed(packed)
    return unpacker


def harmless(text: str, most: int = MAX_TEXT) -> str:
    """Return a stranger's text as one line of `most` characters at most that steers no terminal. Any thread.

    White space becomes spaces, and whatever else isn't printable U+FFFD.
    """
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text)


def reason(error: Exception) -> str:
    """Return what an error of decoding says, in words for those that it says nothing by. Any thread."""
    if isinstance(error, msgpack.StackError):
        return "it nests too deep"
    if isinstance(error, msgpack.FormatError):
        return "a byte that MessagePack doesn't use"
    if _EXT_CODE in str(error):
        return RESERVED_EXT
    return str(error) or type(error).__name__
