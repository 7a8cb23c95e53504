"""Frames to pages: JSON, made once for all who receive it, and positions as text.

A frame of WebSocket from a server has no mask, so that the same bytes go to everybody (RFC 6455, section 5.2).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import fields
from math import isfinite
from typing import Any

from zchat.events import Crowd, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.messages import Batch, Position
from zchat.wire.limits import MAX_INT
from zchat.wire.values import pack

SAFE = 1 << 53
"""Whole numbers from here on are not all exact in JavaScript."""

_POSITION = re.compile(r"([0-9]{1,19}):([0-9]{1,16})", re.ASCII)

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

Shown = MemberJoined | MemberLeft | Typing | ReadMark | Crowd
EVENTS = (MemberJoined, MemberLeft, Typing, ReadMark, Crowd)
"""The events of a room that pages receive."""

_FIELDS: dict[type, list[str]] = {
    kind: [field.name for field in fields(kind) if field.name != "room"] for kind in EVENTS
}


def frame(value: dict[str, Any]) -> bytes:
    """Return an object as one text frame of WebSocket."""
    return text_frame(_dumps(value).encode("utf-8", "replace"))


def text_frame(text: bytes) -> bytes:
    """Return a text as one frame of WebSocket."""
    length = len(text)
    if length < 126:
        return bytes((0x81, length)) + text
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big") + text
    return b"\x81\x7f" + length.to_bytes(8, "big") + text


def text_of(frame: bytes) -> bytes:
    """Return the text of a frame."""
    return frame[{0x7E: 4, 0x7F: 10}.get(frame[1], 2) :]


def server_event(frame: bytes) -> bytes:
    """Return a frame of messages or a gap, whose last field is its position, as a server-sent event with that as id."""
    text = text_of(frame)
    position = text[text.rindex(b'"', 0, -2) + 1 : -2]
    return b"id: " + position + b"\ndata: " + text + b"\n\n"


def row(seq: int, time: int, user: str, body: Any) -> list[Any]:
    """Return a message as pages receive it (docs/web.md, *Rows*)."""
    if type(body) is str or _exact(body):
        return [seq, time, user, body]
    return [seq, time, user, b64encode(pack(body)).decode(), 1]


def rows(batch: Batch) -> list[list[Any]]:
    """Return the messages of a batch as pages receive them."""
    return [*map(row, batch.seqs, batch.timestamps, batch.users, batch.bodies)]


def messages(room: str, found: list[list[Any]], position: Position) -> bytes:
    """Return a frame of messages, which ends at a position."""
    return frame({"op": "messages", "room": room, "rows": found, "position": position_text(position)})


def gap(room: str, after: int, upto: int, reason: str, position: Position) -> bytes:
    """Return a frame that says what can't be had."""
    place = position_text(position)
    return frame({"op": "gap", "room": room, "after": after, "upto": upto, "reason": reason, "position": place})


def event(room: str, happened: Shown) -> bytes:
    """Return a frame that says what happens in a room, one of `EVENTS`."""
    found = {name: getattr(happened, name) for name in _FIELDS[type(happened)]}
    return frame({"op": "event", "room": room, "kind": type(happened).__name__, **found})


def link(up: bool) -> bytes:
    """Return a frame that says whether what is said in rooms comes to a page."""
    return frame({"op": "link", "up": up})


def position_text(position: Position) -> str:
    """Return a position as pages keep it."""
    return f"{position.epoch}:{position.seq}"


def position_of(text: str) -> Position | None:
    """Return the position that a page has kept, None if it is none."""
    found = _POSITION.fullmatch(text)
    if found is None:
        return None
    position = Position(int(found[1]), int(found[2]))
    return position if position.epoch <= MAX_INT and position.seq < SAFE else None


def _exact(value: Any) -> bool:
    """Return whether JSON, and JavaScript, hold a value exactly."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-SAFE < value < SAFE)
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(_exact, value))
    if kind is not dict:
        return False
    return all(type(key) is str and _exact(each) for key, each in value.items())
