"""Bytes and values: frames, the table of commands, blocks (docs/protocol.md).

Every message between client and broker is one ZeroMQ frame (behind the ROUTER's routing id)
that holds one MessagePack array; its first element is a word that says what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import msgpack

from zchat.errors import BadBlock, Malformed, MessageTooLarge, ProtocolError, UsageError
from zchat.messages import Message

VERSION = 1
"""The protocol version that this code speaks."""

MAX_BLOCK_MESSAGES = 1000
"""So that a block is decoded in well under a millisecond, and a reader's cut costs little."""

MAX_BLOCK_BYTES = 1 << 20
"""Of the bodies in a block, without the array's header; also the default limit of a message."""

FRAME_OVERHEAD = 4096
"""What a frame may have around one block: command, names, numbers, MessagePack headers."""

MAX_FRAME = MAX_BLOCK_BYTES + FRAME_OVERHEAD
"""What the transport lets through; a longer one costs its sender the connection."""

MAX_DEPTH = 64
"""How deep arrays and maps in a body may nest: deeper than data, shallower than any stack."""

MAX_NUMBER_KEYS = 1000
"""Keys of a map in a body that are neither text nor binary. Python's hashes of numbers are no secret:
90,000 keys chosen to meet in its table cost 0.9 s, and a full block of such ones over ten."""

MAX_NESTED = 1 << 16
"""Arrays, maps, keys of maps and ext values in a block's bodies, or elsewhere in a frame: a mebibyte of nothing else
takes most of a second to decode, this many a thirtieth of one."""

NESTING = frozenset((*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0)))
"""First bytes of arrays, maps and ext values: any other body is plain and has none of them in it."""

ID_BYTES = 16
"""The size of a producer id and of a resume token: 128 random bits."""

MAX_INT = (1 << 63) - 1

TYPING_EVERY = 3.0
"""Seconds between two words of a user that they are typing in a room: what IRCv3's typing tag asks for."""

TYPING_FOR = 6.0
"""Seconds after which who has said so once types no longer: one such word may be lost."""

pack = partial(msgpack.packb, use_bin_type=True)
unpack = partial(msgpack.unpackb, raw=False, strict_map_key=False)

OK = "ok"
ERROR = "error"
PUSH = "push"
GAP = "gap"
STATE = "state"
PONG = "pong"
END = "end"


class Field(NamedTuple):
    """Say what one element of a command is: its name, and `kind`, a key of `_KINDS`."""

    name: str
    kind: str


class Command(NamedTuple):
    """Describe a command of the client: its fields in order, and whether it is answered."""

    fields: tuple[Field, ...]
    answered: bool
    needs_session: bool = True


def _uint(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INT


_KINDS: dict[str, Any] = {
    "uint": _uint,
    "uint or nil": lambda value: value is None or _uint(value),
    "str": lambda value: type(value) is str,
    "str or nil": lambda value: value is None or type(value) is str,
    "bool": lambda value: type(value) is bool,
    "bin": lambda value: type(value) is bytes,
    "array": lambda value: type(value) is list,
    "id": lambda value: type(value) is bytes and len(value) == ID_BYTES,
    "position or nil": lambda value: (
        value is None or (type(value) is list and len(value) == 2 and all(map(_uint, value)))
    ),
}


def _command(fields: str, *, answered: bool = True, needs_session: bool = True) -> Command:
    pairs = (field.split(":") for field in fields.split(", ") if field)
    return Command(tuple(Field(name, kind) for name, kind in pairs), answered, needs_session)


COMMANDS: dict[str, Command] = {
    "hello": _command(
        "request:uint, min version:uint, max version:uint, user:str, producer:id, token:id, mark:uint, connection:uint",
        needs_session=False,
    ),
    "join": _command("request:uint, room:str, join:uint, position:position or nil, held:uint, create:bool"),
    "leave": _command("request:uint, room:str, join:uint"),
    "send": _command("request:uint, room:str, number:uint, bodies:bin"),
    "history": _command("request:uint, room:str, after:uint or nil, before:uint or nil, limit:uint"),
    "rooms": _command("request:uint, after:str or nil, limit:uint"),
    "credit": _command("room:str, join:uint, taken:uint", answered=False),
    "typing": _command("room:str, active:bool", answered=False),
    "mark": _command("request:uint, room:str, seq:uint"),
    "members": _command("request:uint, room:str, after:str or nil, limit:uint"),
    "stats": _command("request:uint"),
    "seen": _command("number:uint", answered=False),
    "ping": _command("", answered=False),
    "bye": _command("request:uint"),
}


def decode_command(frame: bytes) -> list[Any]:
    """Return a client's command as a list: its word, then its fields, checked by the table.

    Elements behind the last field are dropped: a later version may add some.

    Raises:
        Malformed: it is not one MessagePack array, no known command, or a field is wrong; the
            error's `request` is the number to answer to, or None.
    """
    try:
        command = _unpack_hostile(frame)
    except Exception as error:  # msgpack raises many kinds over hostile bytes; all mean the same
        raise _malformed(f"not one MessagePack value: {_reason(error)}") from error
    if type(command) is not list or not command or type(command[0]) is not str:
        raise _malformed("a frame is an array that begins with the name of a command")
    spec = COMMANDS.get(command[0])
    if spec is None:
        raise _malformed(f"unknown command {ascii(command[0][:32])}")
    request = command[1] if spec.answered and len(command) > 1 and _uint(command[1]) else None
    fields = spec.fields
    if len(command) <= len(fields):
        raise _malformed(f"{command[0]} has {len(fields)} fields, {len(command) - 1} came", request)
    for index, field in enumerate(fields, 1):
        if not _KINDS[field.kind](command[index]):
            raise _malformed(f"{command[0]}: {field.name} is not {field.kind}", request)
    del command[len(fields) + 1 :]
    return command


class MalformedCommand(Malformed):
    """Carry the number of the request to answer to, None if it can't be told."""

    request: int | None = None


def _malformed(text: str, request: int | None = None) -> MalformedCommand:
    error = MalformedCommand(f"malformed frame: {text}; see the protocol's description", code="malformed")
    error.request = request
    return error


_NOTICE_SHAPES: dict[str, tuple[str, ...]] = {
    OK: ("uint",),
    ERROR: ("uint or nil", "str", "str", "bool", "uint or nil"),
    PUSH: ("str", "uint", "uint", "uint", "array"),
    GAP: ("str", "uint", "uint", "uint", "str"),
    STATE: ("uint", "array", "array"),
    PONG: ("uint",),
    END: ("str", "str", "bool"),
}


def decode_notice(frame: bytes) -> list[Any]:
    """Return what a broker sent, a reply or a notification, as a list.

    Raises:
        ProtocolError: it is not one MessagePack array of a known shape.
    """
    try:
        notice: list[Any] = unpack(frame)
        shape = _NOTICE_SHAPES[notice[0]]
        right = len(notice) > len(shape) and all(
            _KINDS[kind](value) for kind, value in zip(shape, notice[1:], strict=False)
        )
    except Exception as error:  # as above: whatever it is, the frame is not a notice
        raise ProtocolError(f"the broker sent what is no frame of this protocol: {error}") from error
    if not right:
        raise ProtocolError(f"the broker sent a malformed {notice[0]} frame")
    return notice


_FLAT = frozenset({str, int, float, bool, bytes, type(None), msgpack.ExtType, msgpack.Timestamp})
_TEXT = frozenset({str, bytes})
_HEADER = 5
_SKIP_FROM = 512
"""Bytes from which a value is walked before it is decoded: a lying count in a short one is cheap."""


def _unpack_hostile(packed: bytes) -> Any:
    """Decode what a stranger sent: walk it first, for a false array header has its array allocated.

    A map comes as a tuple of its values: it is looked at, not used.
    """
    if len(packed) > _SKIP_FROM:
        _unpacker(packed).skip()
    if len(packed) > MAX_NESTED:  # each takes a byte at least
        return _unpack_counted(packed)
    return unpack(packed, object_pairs_hook=_values)


def _unpack_counted(packed: bytes) -> Any:
    left = MAX_NESTED + 1  # the outermost array isn't counted

    def count(value: Any, keys: int = 0) -> Any:
        nonlocal left
        left -= 1 + keys
        if left < 0:
            raise ValueError(f"more than {MAX_NESTED} arrays, maps, keys and ext values")
        return value

    return unpack(
        packed,
        list_hook=count,
        object_pairs_hook=lambda pairs: count(_values(pairs), len(pairs)),
        max_map_len=MAX_NESTED,
        ext_hook=lambda code, data: count(msgpack.ExtType(code, data)),
    )


def _values(pairs: list[tuple[Any, Any]]) -> tuple[Any, ...]:
    if not pairs:
        return ()
    keys, values = zip(*pairs, strict=True)
    if not _TEXT.issuperset(map(type, keys)):
        if not _FLAT.issuperset(map(type, keys)):
            raise ValueError("a map's key is an array or a map")
        if sum(type(key) not in _TEXT for key in keys) > MAX_NUMBER_KEYS:
            raise ValueError(f"a map has more than {MAX_NUMBER_KEYS} keys that are neither text nor binary")
    return values


def _unpacker(packed: bytes) -> Any:
    unpacker = msgpack.Unpacker(max_buffer_size=len(packed), read_size=len(packed))
    unpacker.feed(packed)
    return unpacker


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def check_bodies(bodies: bytes, max_message: int) -> int:
    """Return how many messages a block's bodies are, once they are seen to be what they say.

    Any thread.

    Raises:
        BadBlock: they are not one MessagePack array of 1 to 1,000 values, in valid UTF-8, with
            map keys that are neither arrays nor maps (1,000 a map that aren't text or binary),
            64 levels deep, with 65,536 arrays, maps, keys and ext values at most.
        MessageTooLarge: one of them is over `max_message` bytes, or all over 1 MiB.
    """
    if len(bodies) > max(MAX_BLOCK_BYTES, max_message) + _HEADER:
        raise MessageTooLarge(f"a block holds {MAX_BLOCK_BYTES} bytes at most, this has {len(bodies)}")
    try:
        values = _unpack_hostile(bodies)
    except Exception as error:  # as above
        raise BadBlock(f"the bodies are not one MessagePack array: {_reason(error)}") from error
    if type(values) is not list:
        raise BadBlock("the bodies are one MessagePack array, this is another value")
    count = len(values)
    if not 1 <= count <= MAX_BLOCK_MESSAGES:
        raise BadBlock(f"a block has 1 to {MAX_BLOCK_MESSAGES} messages, this has {count}")
    if not _FLAT.issuperset(map(type, values)):
        _check_depth(values)
    if len(bodies) > max_message:
        _check_sizes(bodies, count, max_message)
    return count


def _check_depth(values: list[Any]) -> None:
    level: list[Any] = [value for value in values if type(value) not in _FLAT]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for value in level:
            deeper += [each for each in value if type(each) not in _FLAT]
        if not deeper:
            return
        level = deeper
    raise BadBlock(f"a body nests more than {MAX_DEPTH} levels deep")


def _check_sizes(bodies: bytes, count: int, max_message: int) -> None:
    unpacker = _unpacker(bodies)
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
    """
    try:
        packed: bytes = pack(body)
        if type(body) is not str:
            check_bodies(b"\x91" + packed, MAX_INT)
    except (BadBlock, MessageTooLarge) as error:
        raise UsageError(f"this body of type {type(body).__name__} can't be sent: {error}") from error
    except Exception as error:
        raise UsageError(f"MessagePack can't hold a body of type {type(body).__name__}: {_reason(error)}") from error
    return packed


def join_bodies(bodies: list[bytes]) -> bytes:
    """Return packed bodies as the one MessagePack array that a block carries."""
    return array_header(len(bodies)) + b"".join(bodies)


def array_header(count: int) -> bytes:
    """Return the MessagePack header of an array of `count` elements (fixarray, array 16 or 32)."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def encode_block(first: int, timestamp: int, user: str, producer: bytes, bodies: bytes) -> bytes:
    """Return a block as it is stored and pushed: what the store decided, then the sender's bytes."""
    packed: bytes = pack((first, timestamp, user, producer, bodies))
    return packed


def encode_push(room: str, epoch: int, after: int, upto: int, blocks: list[bytes]) -> bytes:
    """Return a notification: the blocks, as they came, that lie after `after` up to `upto`."""
    return _with_blocks((PUSH, room, epoch, after, upto), blocks)


def encode_page(request: int, head: tuple[Any, ...], blocks: list[bytes]) -> bytes:
    """Return the reply to a history request: `head`, then the blocks."""
    return _with_blocks((OK, request, *head), blocks)


def encode_state(number: int, rooms: list[bytes], invitations: list[bytes]) -> bytes:
    """Return a state frame: packed updates of rooms, and packed invitations."""
    head = array_header(4), _STATE, pack(number)
    return b"".join((*head, array_header(len(rooms)), *rooms, array_header(len(invitations)), *invitations))


def _with_blocks(head: tuple[Any, ...], blocks: list[bytes]) -> bytes:
    return b"".join((array_header(len(head) + 1), pack(head)[1:], array_header(len(blocks)), *blocks))


_STATE: bytes = pack(STATE)
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


def run_of(room: str, blocks: list[list[Any]], after: int, upto: int) -> Run:
    """Return the messages of decoded blocks that lie after `after` up to `upto`, in order.

    Everything is decoded before it returns. Any thread.

    Raises:
        ProtocolError: a block is not what docs/protocol.md says.
    """
    seqs: list[int] = []
    timestamps: list[int] = []
    users: list[str] = []
    bodies: list[Any] = []
    try:
        for first, timestamp, user, _producer, packed, *_ in blocks:
            values = unpack(packed)
            if type(values) is not list or not (_uint(first) and _uint(timestamp)) or type(user) is not str:
                raise TypeError("a block is first, timestamp, user, producer and an array of bodies")
            count = len(values)
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
        raise ProtocolError(f"{room}: a block between {after} and {upto} can't be decoded: {error}") from error
    rest = iter(bodies)
    return Run(_made(repeat(room), seqs, timestamps, users, rest), rest, seqs)


def _made(*columns: Iterable[Any]) -> Iterator[Message]:
    return map(_new_message, zip(*columns, strict=False))


def messages_of(room: str, blocks: list[list[Any]], after: int, upto: int) -> list[Message]:
    """Return what `run_of` does, made already."""
    return list(run_of(room, blocks, after, upto).messages)
