"""Bodies, blocks, and the messages that blocks hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

from msgpack import Packer

from zchat.errors import BadBlock, MessageTooLarge, ProtocolError, UsageError
from zchat.messages import Batch, Message, Position, messages_from
from zchat.names import MAX_CHARACTERS
from zchat.wire.checking import check_bodies
from zchat.wire.hostile import (
    EXHAUSTED,
    LARGE,
    MAX_WORD,
    fails,
    fed,
    harmless,
    reason,
    unpack_large,
)
from zchat.wire.limits import MAX_BLOCK_MESSAGES, MAX_INT
from zchat.wire.values import PACKED_BYTES, SHORT_ARRAYS, array_header, pack, unpack


def claimed_count(bodies: bytes) -> int:
    """Return how many messages a block's bodies say they are; at most as many as a block may have. Any thread."""
    first = bodies[0] if bodies else 0
    if first >> 4 == 0x9:
        return first & 0xF
    width = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return min(int.from_bytes(bodies[1 : 1 + width], "big"), MAX_BLOCK_MESSAGES)


def encode_body(body: Any) -> bytes:
    """Return a body as MessagePack. Any thread.

    Raises:
        UsageError: MessagePack can't hold it, or a broker would refuse it.
        RecursionError, MemoryError: the caller has no stack or memory left for it.
    """
    try:
        if type(body) is not str:
            return _checked(body)
        packed: bytes = Packer(buf_size=PACKED_BYTES).pack(body)  # `pack`, inline: once a message
        return packed
    except Exception as error:
        origin = error.__cause__ or error
        if isinstance(origin, EXHAUSTED) or not fails(_checked, body):
            raise origin from None  # the caller's, or from elsewhere: a signal's handler for example
        kind = type(body).__name__
        if isinstance(error, (BadBlock, MessageTooLarge)):
            raise UsageError(f"this body of type {kind} can't be sent: {error}") from error
        raise UsageError(f"MessagePack can't hold a body of type {kind}: {reason(error)}") from error


def _checked(body: Any) -> bytes:
    packed: bytes = pack(body)
    check_bodies(b"\x91" + packed, MAX_INT)
    return packed


def join_bodies(bodies: list[bytes]) -> bytes:
    """Return packed bodies as the one MessagePack array that a block carries."""
    count = len(bodies)
    return (SHORT_ARRAYS[count] if count < 16 else array_header(count)) + b"".join(bodies)


def encode_block(first: int, timestamp: int, user: str, producer: bytes, bodies: bytes) -> bytes:
    """Return a block as it is stored and pushed: what the store decided, then the sender's bytes."""
    packer = Packer(buf_size=PACKED_BYTES)  # `pack`, inline: once a block
    packed: bytes = packer.pack((first, timestamp, user, producer, bodies))
    return packed


def sender(beginning: bytes) -> str:
    """Return the sender of an encoded block; `beginning`: all up to the sender, or more. Any thread."""
    unpacker = fed(beginning)
    unpacker.read_array_header()
    unpacker.skip()
    unpacker.skip()
    user: str = unpacker.unpack()
    return user


_NUMBER_BYTES = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
"""Bytes of a packed number by the first of them; one below 0x80 is a number itself."""


def after_time(block: bytes) -> bytes:
    """Return what an encoded block has after its first seq and its time. Any thread."""
    time = 1 + _NUMBER_BYTES.get(block[1], 1)
    return block[time + _NUMBER_BYTES.get(block[time], 1) :]


_is_full, _batch = itemgetter(1), itemgetter(2)


class Run(NamedTuple):
    """Hold messages that are made as they are taken.

    `seqs` are theirs, and `length_hint(bodies)` tells how many are left. Making each when it is
    taken, and not all before the first, takes a third off what a reader's message costs: they
    are gone before Python's collector looks, and their memory is warm.
    """

    room: str
    messages: Iterator[Message]
    bodies: Iterator[Any]
    seqs: Sequence[int]
    timestamps: Sequence[int]
    users: Sequence[str]

    def batches(self, position: Position) -> Iterator[Batch]:
        """Return what gives all that is left as one batch; nothing if another reader is faster.

        It is taken and given in one step: an exception, from a signal for example, comes before or after.
        """
        bodies: list[Any] = []
        batch = Batch(self.room, position, self.seqs, self.timestamps, self.users, bodies)
        return map(_batch, filter(_is_full, zip(map(bodies.extend, (self.bodies,)), (bodies,), (batch,), strict=True)))


_run_of: Callable[[tuple[Any, ...]], Run] = partial(tuple.__new__, Run)  # `_make`, without a call of Python's


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
            if first <= after or first + count - 1 > upto:  # the reader drops what lies outside
                values = values[max(0, after + 1 - first) : max(0, upto + 1 - first)]
                first = max(first, after + 1)
                count = len(values)
            if len(blocks) == 1:
                rest, found = iter(values), range(first, first + count)
                times, names = [timestamp] * count, [user] * count
                return _run_of((room, messages_from(room, found, times, names, rest), rest, found, times, names))
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
        if isinstance(error, EXHAUSTED) or (not again and not fails(run_of, room, blocks, after, upto, again=True)):
            raise  # as above
        what = harmless(reason(error), MAX_WORD)
        raise ProtocolError(f"{room}: a block between {after} and {upto} can't be decoded: {what}") from error
    rest = iter(bodies)
    return Run(room, messages_from(room, seqs, timestamps, users, rest), rest, seqs, timestamps, users)


def messages_of(room: str, blocks: list[list[Any]], after: int, upto: int) -> list[Message]:
    """Return what `run_of` does, made already."""
    return list(run_of(room, blocks, after, upto).messages)
