"""The commands of the client: their table, encoded by a client and decoded by a broker.

Every message between client and broker is one ZeroMQ frame (after the ROUTER's routing id)
that holds one MessagePack array; its first element is a word that says what it is. The table
follows docs/protocol.md, section *Commands*.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from functools import partial
from typing import Any, NamedTuple

from msgpack import Packer

from zchat.errors import Malformed
from zchat.wire.hostile import fed, reason, too_long, unpack_hostile
from zchat.wire.limits import FRAME_OVERHEAD
from zchat.wire.values import PACKED_BYTES, Shape, is_uint


class Field(NamedTuple):
    """One element of a command: its name, and its kind, a key of `zchat.wire.values.KINDS`."""

    name: str
    kind: str


class Target(Enum):
    """What a command's field `room` stands for, which the broker finds before the command is carried out."""

    NOTHING = "nothing"
    """The command names no room."""

    ROOM = "room"
    """A room that there is and that the user may see; else the command is refused."""

    ROOM_OR_BROKER = "room or broker"
    """A room as `ROOM`, or nil for the broker as a whole."""

    MADE = "made"
    """A room that is made if there is none and the command's `create` says so; else as `ROOM`."""

    MEMBER = "member"
    """The session's membership of the room; else the command is refused."""

    MEMBER_IF_ANY = "member if any"
    """The session's membership of the room; else the command changes nothing, and nobody is notified."""


class Right(IntEnum):
    """What a user may do in a room, or at the broker as a whole: bits, of which several can stand in one number."""

    NOTHING = 0
    SEE = 1
    """See that the room exists."""
    JOIN = 2
    READ = 4
    """Receive what was said before the user came, and keep a read mark."""
    SEND = 8
    MEMBERS = 16
    """See who is in the room; without it, how many."""
    CREATE = 32
    MODERATE = 64
    """Own the room."""
    STATS = 128
    """Receive the broker's figures."""


class CommandSpec(NamedTuple):
    """One row of the table of commands.

    `fields`: its elements, in order; those that `shape` doesn't need may be left out. `answered`: it has a request's
    number as its first field, and a reply.
    `needs_session`: it is refused before a greeting. `target`: what its field `room` stands for. `right`: what
    its user must be allowed. `since`: the version of the protocol that it came with.
    """

    fields: tuple[Field, ...]
    shape: Shape
    answered: bool
    needs_session: bool
    target: Target
    right: Right
    since: int


def _command(
    fields: str,
    target: Target = Target.NOTHING,
    right: Right = Right.NOTHING,
    *,
    additions: str = "",
    answered: bool = True,
    needs_session: bool = True,
    since: int = 1,
) -> CommandSpec:
    listed = [Field(*field.split(":")) for field in (*fields.split(", "), *additions.split(", ")) if field]
    kinds = tuple(field.kind for field in listed)
    needed = sum(map(bool, fields.split(", ")))
    shape = Shape(*kinds[:needed], additions=kinds[needed:])
    return CommandSpec(tuple(listed), shape, answered, needs_session, target, right, since)


def _moderating(fields: str) -> CommandSpec:
    target = Target.ROOM_OR_BROKER if fields.startswith("room:str or nil") else Target.ROOM
    return _command(f"request:uint, {fields}", target, Right.MODERATE, since=2)


COMMANDS: dict[str, CommandSpec] = {
    "hello": _command(
        "request:uint, min version:uint, max version:uint, user:str, producer:id, token:id, window:uint, "
        "connection:uint",
        additions="flags:uint",
        needs_session=False,
    ),
    "join": _command(
        "request:uint, room:str, join:uint, position:position or nil, held:uint, create:bool",
        Target.MADE,
        Right.JOIN,
        additions="flags:uint",
    ),
    "leave": _command("request:uint, room:str, join:uint", Target.MEMBER),
    "send": _command("request:uint, room:str, number:uint, bodies:bin", Target.MEMBER, Right.SEND),
    "history": _command(
        "request:uint, room:str, after:uint or nil, before:uint or nil, limit:uint", Target.ROOM, Right.READ
    ),
    "rooms": _command("request:uint, after:str or nil, limit:uint"),
    "credit": _command("room:str, join:uint, taken:uint", Target.MEMBER_IF_ANY, answered=False),
    "typing": _command("room:str, active:bool", Target.MEMBER_IF_ANY, Right.SEND, answered=False),
    "mark": _command("request:uint, room:str, seq:uint", Target.ROOM, Right.READ),
    "members": _command("request:uint, room:str, after:str or nil, limit:uint", Target.ROOM, Right.MEMBERS),
    "stats": _command("request:uint", right=Right.STATS, additions="flags:uint"),
    "seen": _command("number:uint", answered=False),
    "ping": _command("", answered=False),
    "bye": _command("request:uint"),
    "kick": _moderating("room:str, user:str, reason:str"),
    "ban": _moderating("room:str or nil, user:str, seconds:uint, reason:str"),
    "unban": _moderating("room:str or nil, user:str"),
    "mute": _moderating("room:str, user:str, seconds:uint, reason:str"),
    "unmute": _moderating("room:str, user:str"),
    "close": _moderating("room:str, reason:str"),
    "open": _moderating("room:str"),
    "sanctions": _moderating("room:str or nil, after:uint or nil, limit:uint"),
}
"""Every command by its word."""


class Command(NamedTuple):
    """A command as it arrived: its word, its row in the table, the request's number (None: it isn't answered), and
    the other fields in the table's order."""

    word: str
    spec: CommandSpec
    request: int | None
    fields: list[Any]


_HEAD = 64
"""Bytes at the beginning of a frame that a command's word and its request's number lie in."""

_made: Callable[[tuple[Any, ...]], Command] = partial(tuple.__new__, Command)  # `_make`, without a call of Python's


class MalformedCommand(Malformed):
    """A frame is no command; `request` is the number to answer to, None if there is none."""

    request: int | None = None


def encode_command(word: str, *fields: Any) -> bytes:
    """Return a command's frame; `fields` are the table's, the request's number among them. Any thread."""
    frame: bytes = Packer(buf_size=PACKED_BYTES).pack((word, *fields))  # `pack`, inline: once a block
    return frame


def decode_command(frame: bytes) -> Command:
    """Return a client's command, checked by the table.

    Elements after the last field are dropped: a later version may add some. Any thread.

    Raises:
        MalformedCommand: it is not one MessagePack array, no known command, or a field is wrong.
    """
    try:
        long = "" if len(frame) <= FRAME_OVERHEAD else too_long(frame)
        found = () if long else unpack_hostile(frame)
    except Exception as error:  # msgpack raises many kinds over hostile bytes; all mean the same
        raise malformed(f"not one MessagePack value: {reason(error)}") from error
    if long:
        raise malformed(long, _request_of(frame))
    if type(found) is not tuple or not found or type(word := found[0]) is not str:
        raise malformed("a frame is an array that begins with the name of a command")
    fields = [*found[1:]]
    spec = COMMANDS.get(word)
    if spec is None:
        raise malformed(f"unknown command {ascii(word[:32])}")
    wrong = spec.shape.wrong(fields)
    if wrong is not None:
        request = fields[0] if spec.answered and fields and is_uint(fields[0]) else None
        if wrong >= len(fields):
            hint = "; update the client, which is older than this broker" if word == "hello" else ""
            raise malformed(f"{word} has {spec.shape.needed} fields, {len(fields)} came{hint}", request)
        raise malformed(f"{word}: {spec.fields[wrong].name} is not {spec.fields[wrong].kind}", request)
    if len(fields) > len(spec.fields):
        del fields[len(spec.fields) :]
    return _made((word, spec, fields.pop(0) if spec.answered else None, fields))


def _request_of(frame: bytes) -> int | None:
    """Return the number of the request that a frame is which is too long to be decoded, None if it isn't seen."""
    unpacker = fed(frame[:_HEAD])
    try:
        unpacker.read_array_header()
        spec = COMMANDS.get(unpacker.unpack())
        number = unpacker.unpack()
    except Exception:  # as above
        return None
    return number if spec is not None and spec.answered and is_uint(number) else None


def malformed(text: str, request: int | None = None) -> MalformedCommand:
    """Return the error for a frame that is no command; `request`: as in `MalformedCommand`. Any thread."""
    error = MalformedCommand(f"malformed frame: {text}; see the protocol's description", code="malformed")
    error.request = request
    return error
