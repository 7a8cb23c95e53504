"""What a broker sends without being asked for it in the same breath: notifications, state, ends; and the two frames
that replies come in. Encoded by a broker and decoded by a client, in the shapes of docs/protocol.md, section *What
the broker sends*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from msgpack import Packer

from zchat.errors import ProtocolError, Refused, VersionRefused
from zchat.names import MAX_CHARACTERS
from zchat.wire.hostile import EXHAUSTED, LARGE, MAX_WORD, fails, harmless, reason, unpack_large
from zchat.wire.limits import OLDEST_VERSION
from zchat.wire.values import PACKED_BYTES, SHORT_ARRAYS, Shape, array_header, join_arrays, pack, unpack

OK = "ok"
ERROR = "error"
PUSH = "push"
GAP = "gap"
STATE = "state"
PONG = "pong"
END = "end"
REMOVED = "removed"


class Ok(NamedTuple):
    """The answer to a request; `zchat.wire.replies` says what is in `result`."""

    request: int
    result: list[Any]


class Error(NamedTuple):
    """The refusal of a request, or of a frame that was none (`request` is None); the rest as in `errors.Refused`.

    `code` and `text` are harmless, as `zchat.wire.hostile.harmless` says. `oldest` and `newest`: the versions of the
    protocol that the broker speaks, where that was refused.
    """

    request: int | None
    code: str
    text: str
    retryable: bool
    detail: int | None
    oldest: int | None = None
    newest: int | None = None


class Push(NamedTuple):
    """A notification: the blocks of a room's log that lie after `after` up to `upto`, of one epoch.

    `blocks` are the decoded arrays that `zchat.wire.blocks.run_of` takes.
    """

    room: str
    epoch: int
    after: int
    upto: int
    blocks: list[Any]


class GapNotice(NamedTuple):
    """A notification that nothing after `after` up to `upto` can be had; `reason` is one of `messages.GapReason`."""

    room: str
    epoch: int
    after: int
    upto: int
    reason: str


class PersonEntry(NamedTuple):
    """What is true of a user in a room: here since when (microseconds since 1970, 0: not any more), typing, read up
    to which seq."""

    user: str
    since: int
    typing: bool
    read_mark: int


class RoomUpdate(NamedTuple):
    """What brings a member's picture of a room up to date.

    `whole`: it replaces what was known. `members`: how many users are here. `people`: those that have changed, or
    everyone if `whole`; None in a crowd, which has counts alone: `typing` and `caught_up`.
    """

    room: str
    whole: bool
    members: int
    people: list[PersonEntry] | None
    typing: int
    caught_up: int


class Invitation(NamedTuple):
    """Something was said in a direct room that the session has not joined: by whom, and the position to read after."""

    room: str
    user: str
    epoch: int
    seq: int


class State(NamedTuple):
    """A state frame: its number, which is to be answered by `seen`, the rooms' updates, and invitations."""

    number: int
    rooms: list[RoomUpdate]
    invitations: list[Invitation]


class Pong(NamedTuple):
    """The answer to a ping: in how many milliseconds to ping again if nothing else is said."""

    next_ms: int


class End(NamedTuple):
    """The end of the session, and why; the fields as in `errors.Refused`, harmless as those of `Error`.

    `detail` comes from version 2 of the protocol on, where there is one.
    """

    code: str
    text: str
    retryable: bool
    detail: int | None = None


class Removed(NamedTuple):
    """The end of one membership, that of the join with that number: from version 2 of the protocol on.

    `code`: `kicked`, `banned` or `not_allowed`. `text`: the moderator's reason, or why the rules say so; `by`: the
    moderator, "" for the rules. `until`: when a ban ends (microseconds since 1970), 0 if it doesn't or there is none.
    All texts are harmless, as those of `Error`.
    """

    room: str
    join: int
    code: str
    text: str
    by: str
    until: int


Notice: TypeAlias = Ok | Error | Push | GapNotice | State | Pong | End | Removed

SHAPES: dict[str, Shape] = {
    OK: Shape("uint"),
    ERROR: Shape("uint or nil", "str", "str", "bool", "uint or nil", additions=("uint or nil", "uint or nil")),
    PUSH: Shape("str", "uint", "uint", "uint", "array"),
    GAP: Shape("str", "uint", "uint", "uint", "str"),
    STATE: Shape("uint", "array", "array"),
    PONG: Shape("uint"),
    END: Shape("str", "str", "bool", additions=("uint or nil",)),
    REMOVED: Shape("str", "uint", "str", "str", "str", "uint"),
}
"""The elements after the word, by the word."""

_ROOM_UPDATE = Shape("str", "bool", "uint", "array or nil", "uint", "uint")
_PERSON = Shape("str", "uint", "bool", "uint")
_INVITATION = Shape("str", "str", "uint", "uint")


def _state(fields: list[Any]) -> State:
    number, rooms, invitations = fields
    return State(number, list(map(_room_update, rooms)), list(map(_invitation, invitations)))


def _room_update(fields: list[Any]) -> RoomUpdate:
    update: RoomUpdate = row(RoomUpdate, _ROOM_UPDATE, fields)
    if update.people is None:
        return update
    return update._replace(people=[person_entry(each) for each in update.people])


def _invitation(fields: list[Any]) -> Invitation:
    invitation: Invitation = row(Invitation, _INVITATION, fields)
    return invitation


def _error(fields: list[Any]) -> Error:
    request, code, text, *rest = fields
    return Error(request, harmless(code, MAX_WORD), harmless(text), *rest)


def _gap(fields: list[Any]) -> GapNotice:
    return GapNotice(*fields)._replace(reason=harmless(fields[-1], MAX_WORD))


def _end(fields: list[Any]) -> End:
    code, text, *rest = fields
    return End(harmless(code, MAX_WORD), harmless(text), *rest)


def _removed(fields: list[Any]) -> Removed:
    room, join, code, text, by, until = fields
    return Removed(room, join, harmless(code, MAX_WORD), harmless(text), harmless(by, MAX_CHARACTERS), until)


def person_entry(fields: Any) -> PersonEntry:
    """Return one decoded array as a user's entry; raises ProtocolError if it is none. Any thread."""
    person: PersonEntry = row(PersonEntry, _PERSON, fields)
    if len(person.user) > MAX_CHARACTERS:
        raise ProtocolError(f"the broker sent a user's name of {len(person.user)} characters")
    return person


def row(kind: type[Any], shape: Shape, fields: Any) -> Any:
    """Return a decoded array as the tuple `kind`; elements after the shape's last are dropped. Any thread.

    Raises:
        ProtocolError: it is no array, or not of that shape.
    """
    if type(fields) is not list or shape.wrong(fields) is not None:
        raise ProtocolError(f"the broker sent a malformed {kind.__name__}")
    made = fields[: shape.count]
    if len(made) < len(kind._fields):
        return kind(*made)
    return tuple.__new__(kind, made)  # as `_make`, without a call of Python's


_ok_of: Callable[[tuple[int, list[Any]]], Ok] = partial(tuple.__new__, Ok)  # as `_make`, without a call of Python's

_PUSHED = SHORT_ARRAYS[1 + SHAPES[PUSH].count]

_MADE: dict[str, Callable[[list[Any]], Any]] = {
    ERROR: _error,
    PUSH: partial(tuple.__new__, Push),  # as `_make`, without a call of Python's
    GAP: _gap,
    STATE: _state,
    PONG: Pong._make,
    END: _end,
    REMOVED: _removed,
}


def decode_notice(frame: bytes, *, again: bool = False) -> Notice:
    """Return what a broker sent; `again`: it has failed before. Any thread.

    Raises:
        ProtocolError: it is not one MessagePack array of a known shape.
    """
    try:
        fields: list[Any] = unpack(frame) if len(frame) <= LARGE else unpack_large(frame)
        word = fields.pop(0)
        shape = SHAPES[word]
        wrong = shape.wrong(fields)
    except Exception as error:  # msgpack raises many kinds over bytes that are no frame; all mean the same
        if isinstance(error, EXHAUSTED) or (not again and not fails(decode_notice, frame, again=True)):
            raise  # the client's, or from elsewhere
        what = harmless(reason(error), MAX_WORD)
        raise ProtocolError(f"the broker sent something other than a frame of this protocol: {what}") from error
    if wrong is not None:
        raise ProtocolError(f"the broker sent a malformed {word} frame")
    if word == OK:
        return _ok_of((fields[0], fields[1:]))
    if len(frame) > LARGE and word == PUSH and len(fields[4]) > 1:
        raise ProtocolError(f"the broker sent a notification of {len(frame)} bytes with several blocks")
    notice: Notice = _MADE[word](fields[: shape.count])
    return notice


def encode_push(room: str, epoch: int, after: int, upto: int, blocks: Sequence[bytes]) -> bytes:
    """Return a notification: the blocks, as they came, that lie after `after` up to `upto`."""
    head = Packer(buf_size=PACKED_BYTES).pack((PUSH, room, epoch, after, upto))  # `join_arrays`, inline: once a member
    count = len(blocks)
    return b"".join((_PUSHED, head[1:], SHORT_ARRAYS[count] if count < 16 else array_header(count), *blocks))


def encode_gap(gap: GapNotice) -> bytes:
    """Return the notification of a gap."""
    frame: bytes = pack((GAP, *gap))
    return frame


def encode_update(update: RoomUpdate) -> bytes:
    """Return a room's update, one element of a state frame."""
    packed: bytes = pack(update)
    return packed


def encode_invitation(invitation: Invitation) -> bytes:
    """Return an invitation, one element of a state frame."""
    packed: bytes = pack(invitation)
    return packed


def encode_state(number: int, rooms: list[bytes], invitations: list[bytes]) -> bytes:
    """Return a state frame: packed updates of rooms, and packed invitations."""
    return join_arrays((STATE, number), rooms, invitations)


def encode_pong(next_ms: int) -> bytes:
    """Return the answer to a ping: in how many milliseconds to ping again."""
    frame: bytes = pack((PONG, next_ms))
    return frame


def encode_end(error: Refused, version: int) -> bytes:
    """Return the end of a session of that version of the protocol, with its reason."""
    detail = () if error.detail is None or version == OLDEST_VERSION else (error.detail,)
    frame: bytes = pack((END, error.code, error.text, error.retryable, *detail))
    return frame


def encode_removed(removed: Removed) -> bytes:
    """Return the end of a membership."""
    frame: bytes = pack((REMOVED, *removed))
    return frame


def encode_error(request: int | None, error: Refused) -> bytes:
    """Return the refusal of a request; None: of a frame that was none."""
    versions = (error.versions or ()) if isinstance(error, VersionRefused) else ()
    frame: bytes = pack((ERROR, request, error.code, error.text, error.retryable, error.detail, *versions))
    return frame


def encode_ok(request: int | None, result: Sequence[Any]) -> bytes:
    """Return the answer to a request: one of `zchat.wire.replies`."""
    frame: bytes = Packer(buf_size=PACKED_BYTES).pack((OK, request, *result))  # `pack`, inline: once a request
    return frame
