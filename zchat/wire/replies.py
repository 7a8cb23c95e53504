"""The answers to commands: one tuple with names a command, encoded by a broker and decoded by a client.

The shapes are those of docs/protocol.md, section *Commands*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from zchat.errors import BadName, ProtocolError
from zchat.names import MAX_CHARACTERS, fold
from zchat.wire.hostile import MAX_WORD, harmless
from zchat.wire.notices import OK, PersonEntry, encode_ok, person_entry, row
from zchat.wire.values import Shape, is_uint, join_arrays


class Welcome(NamedTuple):
    """The answer to the greeting: what is agreed. Sizes in bytes, times in milliseconds.

    `digest`: the producer as others see it in blocks; None: it wasn't asked for, or the broker is of an older version.
    """

    version: int
    user: str
    window: int
    max_message: int
    max_block_bytes: int
    max_block_messages: int
    max_requests: int
    ping_ms: int
    lost_ms: int
    expire_ms: int
    digest: bytes | None = None


class Joined(NamedTuple):
    """The answer to `join`: the room as the broker writes it, the position where the membership begins, the first and
    last seq of the log, the window, whether a gap comes first, and the flags that were honoured.

    `flags` is None if the join had none, or the broker is of an older version.
    """

    room: str
    epoch: int
    seq: int
    first: int
    last: int
    window: int
    gap: bool
    flags: int | None = None


class Left(NamedTuple):
    """The answer to `leave`."""


class Stored(NamedTuple):
    """The answer to `send`: the seq of the block's first message, when it was stored (microseconds since 1970), and
    the epoch that it lies in."""

    seq: int
    timestamp: int
    epoch: int


class HistoryPage(NamedTuple):
    """The answer to `history`: the blocks after `after` up to `upto`, and whether more was asked for.

    `blocks` are the decoded arrays that `zchat.wire.blocks.run_of` takes.
    """

    room: str
    epoch: int
    after: int
    upto: int
    more: bool
    blocks: list[Any]


class RoomRow(NamedTuple):
    """One room of a list: the users in it, the first and last seq of its log, and the own user's read mark (None: the
    user has marked nothing there)."""

    name: str
    members: int
    first: int
    last: int
    read_mark: int | None


class RoomsPage(NamedTuple):
    """The answer to `rooms`: some rooms by name, and whether more follow."""

    rooms: list[RoomRow]
    more: bool


class Marked(NamedTuple):
    """The answer to `mark`: the read mark that stands."""

    seq: int


class MembersPage(NamedTuple):
    """The answer to `members`: some users of a room by name, and whether more follow."""

    people: list[PersonEntry]
    more: bool


class BrokerRow(NamedTuple):
    """One of the brokers that share a store: what it is told apart by, how many microseconds ago it has told its
    figures, and these, numbers by name."""

    id: str
    age: int
    counts: dict[str, int]


class Figures(NamedTuple):
    """The answer to `stats`: all that a broker reports of itself.

    `counts` and `refused`: numbers by name. `lagging`: arrays of room, user and number of messages. `times`: by name
    the buckets' upper bounds, the counts in them, and the sum. `busiest`: arrays of room, members, messages and
    deliveries. A broker of an older version has no times and no busiest rooms: they are empty. `overall`: numbers by
    name over all brokers that share the store, and `brokers` what each of them has, the one that was asked first; both
    are None if they weren't asked for, or the broker is of an older version.
    """

    counts: dict[str, int]
    refused: dict[str, int]
    lagging: list[Any]
    times: dict[str, Any]
    busiest: list[Any]
    overall: dict[str, int] | None = None
    brokers: list[BrokerRow] | None = None


class Goodbye(NamedTuple):
    """The answer to `bye`."""


class KickedOut(NamedTuple):
    """The answer to `kick`: how many of the user's sessions were in the room, those at another broker as one."""

    sessions: int


class Sanctioned(NamedTuple):
    """The answer to `ban` and `mute`: when it ends (microseconds since 1970), 0 if never."""

    until: int


class Changed(NamedTuple):
    """The answer to `unban`, `unmute`, `close` and `open`: False if it was so already."""

    changed: bool


class SanctionRow(NamedTuple):
    """One sanction of a list: a number that rises with each, the room (None: the broker as a whole), the user ("" if
    the room is closed), the kind, when it ends (0: never), by whom, when it was made, and why.

    `kind`: `ban`, `mute` or `closed`. Times are microseconds since 1970. `kind`, `by` and `reason` are harmless, as
    `zchat.wire.hostile.harmless` says.
    """

    number: int
    room: str | None
    user: str
    kind: str
    until: int
    by: str
    at: int
    reason: str


class SanctionsPage(NamedTuple):
    """The answer to `sanctions`: some sanctions by number, and whether more follow."""

    sanctions: list[SanctionRow]
    more: bool


Reply: TypeAlias = (
    Welcome
    | Joined
    | Left
    | Stored
    | HistoryPage
    | RoomsPage
    | Marked
    | MembersPage
    | Figures
    | Goodbye
    | KickedOut
    | Sanctioned
    | Changed
    | SanctionsPage
)

_ROOM_ROW = Shape("str", "uint", "uint", "uint", "uint or nil")
_SANCTION_ROW = Shape("uint", "str or nil", "str", "str", "uint", "str", "uint", "str")
_FIGURES = Shape("map", "map", "array", "map", "array")
_LAGGING = Shape("str", "str", "uint")
_HISTOGRAM = Shape("array", "array", "uint")
_BUSY_ROOM = Shape("str", "uint", "uint", "uint")
_BROKER = Shape("str", "uint", "map")

SHAPES: dict[str, tuple[type[Any], Shape]] = {
    "hello": (Welcome, Shape("uint", "str", *["uint"] * 8)),
    "join": (Joined, Shape("str", *["uint"] * 5, "bool")),
    "leave": (Left, Shape()),
    "send": (Stored, Shape("uint", "uint", "uint")),
    "history": (HistoryPage, Shape("str", "uint", "uint", "uint", "bool", "array")),
    "rooms": (RoomsPage, Shape("array", "bool")),
    "mark": (Marked, Shape("uint")),
    "members": (MembersPage, Shape("array", "bool")),
    "stats": (Figures, _FIGURES),
    "bye": (Goodbye, Shape()),
    "kick": (KickedOut, Shape("uint")),
    "ban": (Sanctioned, Shape("uint")),
    "unban": (Changed, Shape("bool")),
    "mute": (Sanctioned, Shape("uint")),
    "unmute": (Changed, Shape("bool")),
    "close": (Changed, Shape("bool")),
    "open": (Changed, Shape("bool")),
    "sanctions": (SanctionsPage, Shape("array", "bool")),
}
"""Each answered command's reply, and the kinds of its elements, without the additions that a client may ask for."""


def _welcome(result: list[Any]) -> Welcome:
    welcome: Welcome = row(*SHAPES["hello"], result)
    digest = result[10] if len(result) > 10 else None  # of any kind, if it wasn't asked for
    return welcome._replace(digest=digest) if type(digest) is bytes else welcome


def _joined(result: list[Any]) -> Joined:
    joined: Joined = row(*SHAPES["join"], result)
    flags = result[7] if len(result) > 7 else None
    return joined._replace(flags=flags) if is_uint(flags) else joined


def _rooms(result: list[Any]) -> RoomsPage:
    page: RoomsPage = row(RoomsPage, SHAPES["rooms"][1], result)
    rows: list[RoomRow] = [row(RoomRow, _ROOM_ROW, each) for each in page.rooms]
    if not all(_is_short(each.name) for each in rows):
        raise ProtocolError("the broker sent a room's name that is too long")
    return page._replace(rooms=rows)


def _members(result: list[Any]) -> MembersPage:
    page: MembersPage = row(MembersPage, SHAPES["members"][1], result)
    return page._replace(people=list(map(person_entry, page.people)))


def _sanctions(result: list[Any]) -> SanctionsPage:
    page: SanctionsPage = row(SanctionsPage, SHAPES["sanctions"][1], result)
    return page._replace(sanctions=list(map(_sanction, page.sanctions)))


def _sanction(fields: Any) -> SanctionRow:
    found: SanctionRow = row(SanctionRow, _SANCTION_ROW, fields)
    if len(found.user) > MAX_CHARACTERS or not (found.room is None or _is_short(found.room)):
        raise ProtocolError("the broker sent a sanction with a name that is too long")
    return found._replace(
        kind=harmless(found.kind, MAX_WORD), by=harmless(found.by, MAX_CHARACTERS), reason=harmless(found.reason)
    )


def _figures(result: list[Any]) -> Figures:
    missing: list[Any] = [{}, [], {}, []]
    figures: Figures = row(Figures, _FIGURES, [*result, *missing[len(result) - 1 :]] if len(result) < 5 else result)
    if not _are_figures(figures):
        raise ProtocolError("the broker sent malformed figures")
    overall, brokers = result[5:7] if len(result) > 6 else (None, None)
    if type(overall) is not dict or type(brokers) is not list:  # of any kind, if they weren't asked for
        return figures
    rows: list[BrokerRow] = [row(BrokerRow, _BROKER, each) for each in brokers]
    if not all(map(_are_counts, (overall, *(each.counts for each in rows)))):
        raise ProtocolError("the broker sent malformed figures of several brokers")
    return figures._replace(overall=overall, brokers=[each._replace(id=harmless(each.id, MAX_WORD)) for each in rows])


def _are_figures(figures: Figures) -> bool:
    """Return whether all in them is of the kinds that it should be, and names are no longer than names are."""
    counts, refused, lagging, times, busiest, _, _ = figures
    return (
        _are_counts(counts)
        and _are_counts(refused)
        and all(type(name) is str and len(name) <= MAX_CHARACTERS for name in times)
        and all(_fits(_LAGGING, each) and len(each[1]) <= MAX_CHARACTERS for each in lagging)
        and all(_fits(_BUSY_ROOM, each) for each in busiest)
        and all(_is_short(each[0]) for each in (*lagging, *busiest))
        and all(_fits(_HISTOGRAM, each) and all(map(is_uint, (*each[0], *each[1]))) for each in times.values())
    )


def _are_counts(counts: dict[Any, Any]) -> bool:
    """Return whether they are numbers by names that are no longer than names are."""
    return all(type(name) is str and len(name) <= MAX_CHARACTERS for name in counts) and all(
        map(is_uint, counts.values())
    )


def _is_short(room: str) -> bool:
    """Return whether a room's name is no longer than names are; that of a direct room has two users."""
    try:
        fold(room)
    except BadName:
        return False
    return True


def _fits(shape: Shape, fields: Any) -> bool:
    return type(fields) is list and shape.wrong(fields) is None


_DECODED: dict[str, Callable[[list[Any]], Any]] = {
    "hello": _welcome,
    "join": _joined,
    "rooms": _rooms,
    "members": _members,
    "stats": _figures,
    "sanctions": _sanctions,
}


def decode_reply(word: str, result: list[Any]) -> Any:
    """Return the answer to a command of that word, one of `Reply`. Any thread.

    `result` is that of `zchat.wire.notices.Ok`. Elements after the last of a shape are dropped: a later version may
    add some.

    Raises:
        ProtocolError: it is not what the protocol says.
    """
    decoded = _DECODED.get(word)
    return row(*SHAPES[word], result) if decoded is None else decoded(result)


def encode_welcome(request: int | None, welcome: Welcome) -> bytes:
    """Return the answer to `hello`, which ends before the digest if that is None."""
    return encode_ok(request, welcome if welcome.digest is not None else welcome[:-1])


def encode_joined(request: int | None, joined: Joined) -> bytes:
    """Return the answer to `join`, which ends before the flags if they are None."""
    return encode_ok(request, joined if joined.flags is not None else joined[:-1])


def encode_figures(request: int | None, figures: Figures) -> bytes:
    """Return the answer to `stats`, which ends before the figures over all brokers if they are None."""
    return encode_ok(request, figures if figures.brokers is not None else figures[:5])


def encode_history(request: int | None, page: HistoryPage) -> bytes:
    """Return the answer to `history`, whose blocks are packed already."""
    return join_arrays((OK, request, *page[:-1]), page.blocks)
