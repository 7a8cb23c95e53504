"""The commands of the client: their table, and how a broker decodes them.

Every message between client and broker is one ZeroMQ frame (after the ROUTER's routing id)
that holds one MessagePack array; its first element is a word that says what it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zchat.errors import Malformed
from zchat.wire.hostile import reason, unpack_hostile
from zchat.wire.values import KINDS, is_uint


class Field(NamedTuple):
    """Say what one element of a command is: its name, and `kind`, a key of `KINDS`."""

    name: str
    kind: str


class Command(NamedTuple):
    """Describe a command of the client: its fields in order, and whether it is answered."""

    fields: tuple[Field, ...]
    answered: bool
    needs_session: bool = True


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
        command = unpack_hostile(frame)
    except Exception as error:  # msgpack raises many kinds over hostile bytes; all mean the same
        raise _malformed(f"not one MessagePack value: {reason(error)}") from error
    if type(command) is not list or not command or type(command[0]) is not str:
        raise _malformed("a frame is an array that begins with the name of a command")
    spec = COMMANDS.get(command[0])
    if spec is None:
        raise _malformed(f"unknown command {ascii(command[0][:32])}")
    request = command[1] if spec.answered and len(command) > 1 and is_uint(command[1]) else None
    fields = spec.fields
    if len(command) <= len(fields):
        raise _malformed(f"{command[0]} has {len(fields)} fields, {len(command) - 1} came", request)
    for index, field in enumerate(fields, 1):
        if not KINDS[field.kind](command[index]):
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
