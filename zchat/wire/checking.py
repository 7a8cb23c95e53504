"""Checking the bodies of a block: whether every reader can decode them, in steps of a moment each.

A mebibyte that is made to be slow to decode takes a twentieth of a second, in which a broker would serve nobody else.
So bodies are given to MessagePack's streaming decoder a part at a time, and what comes of them is taken apart likewise.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain, pairwise
from typing import Any

import msgpack

from zchat.errors import BadBlock, MessageTooLarge
from zchat.wire.hostile import HEADER, NESTED, decoding, fed, reason, unpack_hostile
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_DEPTH

STEP_BYTES = 4096
"""Bytes that are decoded at once while nothing is known of them: 0.4 ms, if they are made to be slow."""

STEP_VALUES = 4096
"""Values that are decoded, or taken apart, in one step."""

PLAIN_BYTES = 1 << 14
"""Bytes that are decoded at once after some that were few values: two milliseconds, if these are slow after all."""

_TOGETHER = 256
"""Arrays and maps that are taken apart together, if they are small."""

_TEXT_OR_BINARY = frozenset({*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB})
"""First bytes of what is quickly decoded, however long it is."""


def check_bodies(bodies: bytes, max_message: int) -> int:
    """Return how many messages a block's bodies are, once they are seen to be what they say.

    Any thread.

    Raises:
        BadBlock: they are not one MessagePack array of 1 to 1,000 values, in valid UTF-8, with
            map keys that are neither arrays nor maps (1,000 a map that aren't text or binary),
            64 levels deep, with 65,536 arrays, maps, keys and ext values at most.
        MessageTooLarge: one of them is over `max_message` bytes, or all over 1 MiB.
    """
    if len(bodies) > STEP_BYTES or len(bodies) > max_message:
        steps = checking(bodies, max_message)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: int = end.value
                return found
    try:
        values = unpack_hostile(bodies)
    except Exception as error:  # msgpack raises many kinds over hostile bytes; all mean the same
        raise _undecodable(error) from error
    if type(values) is not tuple:
        raise _no_array()
    count = len(values)
    if not 1 <= count <= MAX_BLOCK_MESSAGES:
        raise _uncountable(count)
    if not NESTED.isdisjoint(map(type, values)):
        level: Any = values
        for _ in range(MAX_DEPTH + 1):
            level = chain.from_iterable(nested := [value for value in level if value.__class__ in NESTED])
            if not nested:
                return count
        raise _too_deep()
    return count


def checking(bodies: bytes, max_message: int) -> Generator[None, None, int]:
    """Begin to check bodies: each `next` does a part of it; the outcome is that of `check_bodies`.

    A part takes two milliseconds at most. Texts, binary and numbers, as many as a block may have, are one part. Any
    thread, one at a time.
    """
    most = max(MAX_BLOCK_BYTES, max_message) + HEADER
    if len(bodies) > most:
        raise MessageTooLarge(f"a block's bodies have {most} bytes at most, header included, these have {len(bodies)}")
    start, count = _header(bodies)
    large = len(bodies) > count * STEP_BYTES  # on average: so few that it costs nothing to go from one to the next
    ends: list[int] = []
    try:
        ends = _walk(bodies, count if large or len(bodies) > max_message else 0)
        pieces = list(pairwise((start, *ends))) if large else [(start, len(bodies))]
        nested = yield from _decode(bodies, pieces, apart=large)
    except Exception as error:  # as above
        raise _undecodable(error) from error
    yield from _take_apart(nested)
    if len(bodies) > max_message:
        size = max(end - begin for begin, end in pairwise((start, *ends)))
        if size > max_message:
            raise MessageTooLarge(f"a message has {max_message} bytes at most, this has {size}; send it in parts")
    return count


def _header(bodies: bytes) -> tuple[int, int]:
    """Return where the first body begins, and how many the header says there are."""
    first = bodies[0] if bodies else 0
    if first >> 4 == 0x9:
        return 1, _countable(first & 0xF)
    width = {0xDC: 2, 0xDD: 4}.get(first, 0)
    if not width:
        raise _no_array()
    return 1 + width, _countable(int.from_bytes(bodies[1 : 1 + width], "big"))


def _walk(bodies: bytes, values: int) -> list[int]:
    """Find out that bodies are one value with all that it says it has: for a false header memory would be taken.

    Returns where each of the array's first `values` values ends.
    """
    unpacker = fed(bodies)
    if values:
        unpacker.read_array_header()
    ends = []
    for _ in range(values or 1):
        unpacker.skip()
        ends.append(unpacker.tell())
    if ends[-1] != len(bodies):
        raise ValueError("more follows it")
    return ends


def _decode(bodies: bytes, pieces: list[tuple[int, int]], *, apart: bool) -> Generator[None, None, list[Any]]:
    """Decode the values in some bodies' pieces; return the arrays and maps. `apart`: each piece is one value."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(bodies), read_size=len(bodies), **decoding(len(bodies)))
    view = memoryview(bodies)
    found: list[Any] = []
    spent = 0
    size = STEP_BYTES
    for begin, end in pieces:
        if apart:
            size = end - begin if bodies[begin] in _TEXT_OR_BINARY else STEP_BYTES
        while begin < end:
            if spent >= STEP_VALUES:
                spent = 0
                yield
            part = view[begin : min(begin + size, end)]
            begin += len(part)
            unpacker.feed(part)
            values = list(unpacker)
            if values and NESTED.isdisjoint(map(type, values)):
                spent += len(values)
                size = PLAIN_BYTES
            else:  # of an array or a map, or it is the end of one, or nothing is known yet
                spent += len(part)
                size = STEP_BYTES
                found += [value for value in values if value.__class__ in NESTED]
    return found


def _take_apart(level: list[Any]) -> Generator[None, None, None]:
    """Free arrays and maps, those within others after these; raises BadBlock if they nest too deep."""
    spent = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        while level:
            some = level[-_TOGETHER:]
            del level[-_TOGETHER:]
            spent += len(some)
            for values in _contents(some):
                spent += len(values)
                if not NESTED.isdisjoint(map(type, values)):
                    below += [value for value in values if value.__class__ in NESTED]
                if spent >= STEP_VALUES:
                    spent = 0
                    yield
        if not below:
            return
        level = below
    raise _too_deep()


def _contents(some: list[Any]) -> Iterator[list[Any]]:
    """Yield what is in some arrays and maps, not too much at a time; each is freed by then."""
    if sum(map(len, some)) <= STEP_VALUES:
        values = list(chain.from_iterable(some))
        some.clear()
        yield values
        return
    while some:
        one = some.pop()
        rest = one if one.__class__ is list else list(one)
        del one
        while rest:
            yield rest[-STEP_VALUES:]
            del rest[-STEP_VALUES:]


def _countable(count: int) -> int:
    if not 1 <= count <= MAX_BLOCK_MESSAGES:
        raise _uncountable(count)
    return count


def _uncountable(count: int) -> BadBlock:
    return BadBlock(f"a block has 1 to {MAX_BLOCK_MESSAGES} messages, this has {count}")


def _undecodable(error: Exception) -> BadBlock:
    return BadBlock(f"the bodies are not one MessagePack array: {reason(error)}")


def _no_array() -> BadBlock:
    return BadBlock("the bodies are one MessagePack array, this is another value")


def _too_deep() -> BadBlock:
    return BadBlock(f"a body nests more than {MAX_DEPTH} levels deep")
