"""How values are packed in Redis, as the scripts and `zchat.broker.store.redis.partitions` have them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Append, Present, Sanction
from zchat.broker.store.epochs import Epoch
from zchat.names import fold
from zchat.wire.limits import ID_BYTES
from zchat.wire.values import pack, unpack

_HEAD = Struct(">BBQBQ")  # an array of five, and two integers of 64 bits
HEAD_BYTES = _HEAD.size
"""Bytes of a block up to its time, which a log has apart from the rest."""

_ENDS = Struct(">QQQQ")
_PAIR = Struct(">QQ")
_TIME = Struct(">Q")
_RESULT = Struct(">QQQQQ8s")


class Ends(NamedTuple):
    """The ends of a room's log, its last block's time, and its present epoch."""

    first: int
    last: int
    timestamp: int
    epoch: int


def ends_of(value: bytes) -> Ends:
    """Return what a value of `ends` says."""
    return Ends(*_ENDS.unpack(value))


def pack_ends(first: int, last: int, timestamp: int, epoch: int) -> bytes:
    """Return a value of `ends`."""
    return _ENDS.pack(first, last, timestamp, epoch)


def epochs_of(value: bytes) -> tuple[Epoch, ...]:
    """Return what a value of `epochs` says."""
    return tuple(Epoch(*pair) for pair in _PAIR.iter_unpack(value))


def pack_epochs(epochs: Iterable[Epoch]) -> bytes:
    """Return a value of `epochs`."""
    return b"".join(_PAIR.pack(*epoch) for epoch in epochs)


def name_of(value: bytes) -> tuple[str, str]:
    """Return a room's name and its maker, as a value of `names` says."""
    maker, _, name = value.decode().partition("\0")
    return name, maker


def pack_present(present: Present) -> bytes:
    """Return a value of `here`."""
    return _TIME.pack(present.since) + f"{present.maker}\0{present.room}\0{present.user}".encode()


def present_of(value: bytes) -> Present:
    """Return what a value of `here` says."""
    (since,) = _TIME.unpack_from(value)
    maker, room, user = value[_TIME.size :].decode().split("\0")
    return Present(room, maker, user, since)


def mark_of(value: bytes) -> tuple[int, int]:
    """Return a read mark's seq and the time at which it moved."""
    seq, moved = _PAIR.unpack(value)
    return seq, moved


def pack_mark(seq: int, moved: int) -> bytes:
    """Return a value of `marks`."""
    return _PAIR.pack(seq, moved)


def result_of(value: bytes) -> tuple[int, int, int, int, int, bytes]:
    """Return what a result in `seen` says: number, first seq, count, time, epoch, and the digest of the bodies."""
    number, first, count, timestamp, epoch, digest = _RESULT.unpack(value)
    return number, first, count, timestamp, epoch, digest


def pack_result(number: int, first: int, count: int, timestamp: int, epoch: int, digest: bytes) -> bytes:
    """Return a result in `seen`."""
    return _RESULT.pack(number, first, count, timestamp, epoch, digest)


def digest_of(append: Append) -> bytes:
    """Return the digest that tells blocks of the same number apart; b"" for one that only asks what is stored."""
    return blake2b(append.bodies, digest_size=8).digest() if append.count else b""


def suffix_of(append: Append) -> bytes:
    """Return a block after its time."""
    packed: bytes = pack((append.user, append.producer, append.bodies))
    return packed[1:]


def pack_head(first: int, timestamp: int) -> bytes:
    """Return a block up to its time, as a log has it apart from the rest."""
    return _HEAD.pack(0x95, 0xCF, first, 0xCF, timestamp)


def block_of(append: Append, suffix: bytes, first: int, timestamp: int) -> Block:
    """Return the block that was stored for a request, whose `suffix_of` is known."""
    data = pack_head(first, timestamp) + suffix
    return Block(first, first + append.count - 1, timestamp, append.producer, data)


def block_at(entry: tuple[bytes, list[bytes]]) -> Block:
    """Return the block of an entry of a log."""
    identity, (_, head, _, suffix) = entry
    _, _, first, _, timestamp = _HEAD.unpack(head)
    start = _end_of_text(suffix) + 2  # two bytes say what follows, and how long it is
    return Block(first, int(identity[:-2]), timestamp, suffix[start : start + ID_BYTES], head + suffix)


def _end_of_text(packed: bytes) -> int:
    """Return where the text ends that packed bytes begin with."""
    kind = packed[0]
    width = {0xD9: 1, 0xDA: 2}.get(kind, 0)
    return 1 + width + (int.from_bytes(packed[1 : 1 + width], "big") if width else kind & 0x1F)


def member_of(producer: bytes, user: str, folded: str) -> bytes:
    """Return the member of `producers` for a producer in a room."""
    return producer + f"{user}\0{folded}".encode()


def pair_of(member: bytes) -> tuple[bytes, str, str]:
    """Return the producer, its folded user and the room of a member of `producers`."""
    user, _, folded = member[ID_BYTES:].decode().partition("\0")
    return member[:ID_BYTES], user, folded


def field_of(room: str, user: str, kind: str) -> bytes:
    """Return the field of a user's sanction of a kind in a room."""
    return f"{fold(room)}\0{fold(user)}\0{kind}".encode()


def pack_sanction(sanction: Sanction) -> bytes:
    """Return a sanction as it stands after its number and moderator."""
    packed: bytes = pack(sanction[:-1])
    return packed


def value_of(sanction: Sanction) -> bytes:
    """Return a value of `sanctions`."""
    return sanction.number.to_bytes(8) + f"{fold(sanction.by)}\0".encode() + pack_sanction(sanction)


def sanction_of(value: bytes) -> Sanction:
    """Return what a value of `sanctions` says."""
    packed = value[value.index(b"\0", 8) + 1 :]
    return Sanction._make([*unpack(packed), int.from_bytes(value[:8], "big")])
