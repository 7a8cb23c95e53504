"""Bodies, blocks, and the messages that blocks hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, NamedTuple

from zchat.errors import BadBlock, MessageTooLarge, ProtocolError, UsageError
from zchat.messages import Message
from zchat.names import MAX_CHARACTERS
from zchat.wire.hostile import (
    EXHAUSTED,
    HEADER,
    LARGE,
    MAX_WORD,
    NESTED,
    fed,
    harmless,
    reason,
    unpack_hostile,
    unpack_large,
)
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_DEPTH, MAX_INT
from zchat.wire.values import array_header, pack, unpack


def check_bodies(bodies: bytes, max_message: int) -> int:
    """Return how many messages a block's bodies are, once they are seen to be what they say.

    Any thread.

    Raises:
        BadBlock: they are not one MessagePack array of 1 to 1,000 values, in valid UTF-8, with
            map keys that are neither arrays nor maps (1,000 a map that aren't text or binary),
            64 levels deep, with 65,536 arrays, maps, keys and ext values at most.
        MessageTooLarge: one of them is over `max_message` bytes, or all over 1 MiB.
    """
    most = max(MAX_BLOCK_BYTES, max_message) + HEADER
    if len(bodies) > most:
        raise MessageTooLarge(f"a block's bodies have {most} bytes at most, header included, these have {len(bodies)}")
    try:
        values = unpack_hostile(bodies)
    except Exception as error:  # as above
        raise BadBlock(f"the bodies are not one MessagePack array: {reason(error)}") from error
    if type(values) is not tuple:
        raise BadBlock("the bodies are one MessagePack array, this is another value")
    count = len(values)
    if not 1 <= count <= MAX_BLOCK_MESSAGES:
        raise BadBlock(f"a block has 1 to {MAX_BLOCK_MESSAGES} messages, this has {count}")
    if not NESTED.isdisjoint(map(type, values)):
        _check_depth(values)
    if len(bodies) > max_message:
        _check_sizes(bodies, count, max_message)
    return count


def claimed_count(bodies: bytes) -> int:
    """Return how many messages a block's bodies say they are; at most as many as a block may have. Any thread."""
    first = bodies[0] if bodies else 0
    if first >> 4 == 0x9:
        return first & 0xF
    width = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return min(int.from_bytes(bodies[1 : 1 + width], "big"), MAX_BLOCK_MESSAGES)


def _check_depth(values: tuple[Any, ...]) -> None:
    """Raise BadBlock if a value nests too deep; `values` are as `unpack_hostile` returns them."""
    level: Iterable[Any] = values
    for _ in range(MAX_DEPTH + 1):
        nested = [value for value in level if value.__class__ in NESTED]
        if not nested:
            return
        level = chain.from_iterable(nested)
    raise BadBlock(f"a body nests more than {MAX_DEPTH} levels deep")


def _check_sizes(bodies: bytes, count: int, max_message: int) -> None:
    unpacker = fed(bodies)
    unpacker.read_array_header()
    start = unpacker.tell()
    for _ in range(count):
        unpacker.skip()
        size = unpacker.tell() - start
        if size > max_message:
            raise MessageTooLarge(f"a message has {max_message} bytes at most, this has {size}; send it in parts")
        start = unpacker.tell()


def encode_body(body: Any) -> bytes:
    """Return a body as MessagePack. Any thread.

    Raises:
        UsageError: MessagePack can't hold it, or a broker would refuse it.
        RecursionError, MemoryError: the caller has no stack or memory left for it.
    """
    try:
        return _checked(body) if type(body) is not str else pack(body)
    except Exception as error:
        origin = error.__cause__ or error
        if isinstance(origin, EXHAUSTED) or not _fails(_checked, body):
            raise origin from None  # the caller's, or from elsewhere: a signal's handler for example
        kind = type(body).__name__
        if isinstance(error, (BadBlock, MessageTooLarge)):
            raise UsageError(f"this body of type {kind} can't be sent: {error}") from error
        raise UsageError(f"MessagePack can't hold a body of type {kind}: {reason(error)}") from error


def _checked(body: Any) -> bytes:
    packed: bytes = pack(body)
    check_bodies(b"\x91" + packed, MAX_INT)
    return packed


def _fails(function: Callable[..., object], *arguments: object, **options: object) -> bool:
    """Return whether a call that has failed fails again."""
    try:
        function(*arguments, **options)
    except Exception:
        return True
    return False


def join_bodies(bodies: list[bytes]) -> bytes:
    """Return packed bodies as the one MessagePack array that a block carries."""
    return array_header(len(bodies)) + b"".join(bodies)


def encode_block(first: int, timestamp: int, user: str, producer: bytes, bodies: bytes) -> bytes:
    """Return a block as it is stored and pushed: what the store decided, then the sender's bytes."""
    packed: bytes = pack((first, timestamp, user, producer, bodies))
    return packed


def sender(beginning: bytes) -> str:
    """Return the sender of an encoded block; `beginning`: all up to the sender, or more. Any thread."""
    unpacker = fed(beginning)
    unpacker.read_array_header()
    unpacker.skip()
    unpacker.skip()
    user: str = unpacker.unpack()
    return user


_new_message = partial(tuple.__new__, Message)


class Run(NamedTuple):
    """Hold messages that are made as they are taken.

    `seqs` are theirs, and `length_hint(bodies)` tells how many are left. Making each when it is
    taken, and not all before the first, takes a third off what a reader's message costs: they
    are gone before Python's collector looks, and their memory is warm.
    """

    messages: Iterator[Message]
    bodies: Iterator[Any]
    seqs: Sequence[int]


def run_of(room: str, blocks: list[list[Any]], after: int, upto: int, *, again: bool = False) -> Run:
    """Return the messages of decoded blocks that lie after `after` up to `upto`, in order.

    Everything is decoded before it returns. Any thread. `again`: it is the second try.

    Raises:
        ProtocolError: a block is not what docs/protocol.md says.
    """
    seqs: list[int] = []
    timestamps: list[int] = []
    users: list[str] = []
    bodies: list[Any] = []
    try:
        for first, timestamp, user, _producer, packed, *_ in blocks:
            values = unpack(packed) if len(packed) <= LARGE else unpack_large(packed)
            if (
                not type(first) is type(timestamp) is int  # once a block: no calls
                or not (0 <= first <= MAX_INT and 0 <= timestamp <= MAX_INT)
                or type(user) is not str
                or type(values) is not list
            ):
                raise TypeError("a block is first, timestamp, user, producer and an array of bodies")
            count = len(values)
            if count > MAX_BLOCK_MESSAGES or len(user) > MAX_CHARACTERS:
                raise ValueError(f"a block has {MAX_BLOCK_MESSAGES} messages at most, and its sender a name")
            if first <= after or first + count - 1 > upto:  # whoever reads drops what lies outside
                values = values[max(0, after + 1 - first) : max(0, upto + 1 - first)]
                first = max(first, after + 1)
                count = len(values)
            if len(blocks) == 1:
                rest = iter(values)
                found = range(first, first + count)
                return Run(_made(repeat(room), found, repeat(timestamp), repeat(user), rest), rest, found)
            if count == 1:  # what people type
                seqs.append(first)
                timestamps.append(timestamp)
                users.append(user)
                bodies.append(values[0])
            else:
                seqs += range(first, first + count)
                timestamps += repeat(timestamp, count)
                users += repeat(user, count)
                bodies += values
    except Exception as error:  # as above
        if isinstance(error, EXHAUSTED) or (not again and not _fails(run_of, room, blocks, after, upto, again=True)):
            raise  # as above
        what = harmless(reason(error), MAX_WORD)
        raise ProtocolError(f"{room}: a block between {after} and {upto} can't be decoded: {what}") from error
    rest = iter(bodies)
    return Run(_made(repeat(room), seqs, timestamps, users, rest), rest, seqs)


def _made(*columns: Iterable[Any]) -> Iterator[Message]:
    return map(_new_message, zip(*columns, strict=False))


def messages_of(room: str, blocks: list[list[Any]], after: int, upto: int) -> list[Message]:
    """Return what `run_of` does, made already."""
    return list(run_of(room, blocks, after, upto).messages)
