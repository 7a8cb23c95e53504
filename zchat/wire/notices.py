"""What a broker sends: replies and notifications."""

from __future__ import annotations

from typing import Any

from zchat.errors import ProtocolError
from zchat.wire.values import KINDS, array_header, pack, unpack

OK = "ok"

ERROR = "error"

PUSH = "push"

GAP = "gap"

STATE = "state"

PONG = "pong"

END = "end"

NOTICE_SHAPES: dict[str, tuple[str, ...]] = {
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
        shape = NOTICE_SHAPES[notice[0]]
        right = len(notice) > len(shape) and all(
            KINDS[kind](value) for kind, value in zip(shape, notice[1:], strict=False)
        )
    except Exception as error:  # as above: whatever it is, the frame is not a notice
        raise ProtocolError(f"the broker sent what is no frame of this protocol: {error}") from error
    if not right:
        raise ProtocolError(f"the broker sent a malformed {notice[0]} frame")
    return notice


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
