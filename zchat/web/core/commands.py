"""The commands of pages: their table, and how one is read out of what came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from zchat.errors import BadName, UsageError
from zchat.json_form import LEVELS, is_too_deep
from zchat.messages import START, Position
from zchat.names import DIRECT, MAX_CHARACTERS
from zchat.web.core import limits
from zchat.web.core.frames import SAFE, position_of
from zchat.web.core.refusals import Turned, malformed
from zchat.wire.blocks import encode_body

MAX_KEY = 64
"""Characters of a message's key."""

_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,15})\s*,')
"""The beginning of a command whose first field is its number."""

_BEYOND = 1 << 64
"""What stands for whole numbers of more digits: no broker holds them, and no field takes them."""


class Kind(NamedTuple):
    """What a field may be: `right` says so of a value, `what` in words."""

    what: str
    right: Callable[[Any], bool]


def _count(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value <= most


KINDS = {
    "count": Kind("a count", _count(SAFE - 1)),
    "rows": Kind(f"a count up to {limits.MAX_ROWS}", _count(limits.MAX_ROWS)),
    "text": Kind("text", lambda value: type(value) is str),
    "name": Kind("a name", lambda value: type(value) is str),
    "key": Kind(
        f"a text of 1 to {MAX_KEY} characters", lambda value: type(value) is str and 1 <= len(value) <= MAX_KEY
    ),
    "flag": Kind("true or false", lambda value: type(value) is bool),
    "position": Kind("a position", lambda value: type(value) is str and _position(value) is not None),
    "body": Kind("a body", lambda value: True),
}
"""The kinds of fields."""


class Spec(NamedTuple):
    """A row of the table: fields that must be there, those that may be missing or null, and whether it is answered."""

    needed: dict[str, str]
    optional: dict[str, str]
    answered: bool


def _spec(needed: str, optional: str = "", *, answered: bool = True) -> Spec:
    def fields(listed: str) -> dict[str, str]:
        return dict(each.split(":") for each in listed.split())

    return Spec(fields(f"id:count {needed}" if answered else needed), fields(optional), answered)


COMMANDS: dict[str, Spec] = {
    "hello": _spec("version:count", "user:text token:text session:text"),
    "join": _spec("room:name", "after:position history:rows watch:flag create:flag"),
    "leave": _spec("room:name"),
    "send": _spec("room:name body:body key:key"),
    "history": _spec("room:name", "after:count before:count limit:rows"),
    "rooms": _spec("", "after:name"),
    "members": _spec("room:name", "after:name"),
    "ack": _spec("room:name taken:count", answered=False),
    "typing": _spec("room:name active:flag", answered=False),
    "mark": _spec("room:name seq:count", answered=False),
}
"""Every command by its word (docs/web.md, *What a page sends*)."""


class Command(NamedTuple):
    """A command: its word, the number to answer to (None: it isn't answered), its fields; None for what is missing."""

    op: str
    id: int | None
    fields: dict[str, Any]


class NoCommand(Turned):
    """What came is no command: `id` is the number to answer to, if it can be seen; `legible`: it is an object."""

    def __init__(self, text: str, number: int | None = None, *, legible: bool = True) -> None:
        super().__init__(malformed(text).code, text)
        self.id = number
        self.legible = legible


def check_name(command: Command) -> None:
    """Raise a `Turned` if a command names a room by what is too long for a name, as somebody may have typed it."""
    name = command.fields.get("room")
    if name is not None and len(name) > MAX_CHARACTERS + name.startswith(DIRECT):
        raise Turned(BadName.code, f"a room's name has at most {MAX_CHARACTERS} characters, this one has {len(name)}")


def decode(data: bytes) -> Command:
    """Return the command in a text frame.

    Raises:
        NoCommand: it is none.
    """
    found = _object(data)
    number = found.get("id") if KINDS["count"].right(found.get("id")) else None
    if b"\\u" in data and not _is_text(found):  # escapes can make half of a surrogate pair, and nothing else can
        raise NoCommand("half of a surrogate pair is no text", number)
    op = found.get("op")
    spec = COMMANDS.get(op) if type(op) is str else None
    if spec is None or type(op) is not str:
        raise NoCommand("op is the name of a command", number)
    fields: dict[str, Any] = {}
    for name, kind in spec.needed.items():
        if name not in found or not KINDS[kind].right(found[name]):
            raise NoCommand(f"{op}: {name} is not {KINDS[kind].what}", number)
        fields[name] = found[name]
    for name, kind in spec.optional.items():
        value = fields[name] = found.get(name)
        if value is not None and not KINDS[kind].right(value):
            raise NoCommand(f"{op}: {name} is not {KINDS[kind].what}", number)
    if op == "send":
        try:
            encode_body(fields["body"])
        except UsageError as error:
            raise NoCommand(f"send: {error}", number) from None
    return Command(op, number if spec.answered else None, fields)


def _position(text: str) -> Position | None:
    return START if text == "start" else position_of(text)


def position(text: str) -> Position:
    """Return the position in a field of that kind."""
    found = _position(text)
    assert found is not None, "it was checked"
    return found


def _object(data: bytes) -> dict[str, Any]:
    if is_too_deep(data):  # to go down into it costs more than it is worth: the number is found where zchat.js has it
        first = _ID_FIRST.match(data)
        number = None if first is None else int(first[1])
        raise NoCommand(f"a command nests {LEVELS} levels deep at most", number, legible=first is not None)
    found = None
    with suppress(ValueError):
        found = _loads(data.decode())
    if type(found) is not dict:
        raise NoCommand("a command is one JSON object, in UTF-8", legible=False)
    return found


def _is_text(found: dict[str, Any]) -> bool:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(text)  # infinite
    return value


def _int(text: str) -> int:
    return int(text) if len(text) <= len(str(-_BEYOND)) else _BEYOND  # to read a long one takes long


_loads = json.JSONDecoder(parse_constant=_refuse, parse_float=_float, parse_int=_int).decode
