"""What takes several waits, written once for every face: a generator that yields what to wait by.

A face carries the steps out (`zchat.client.waiting.finish` in a thread): it calls what is yielded,
which blocks, or awaits what that call returns, and sends the result in. Whatever ends a wait, a
deadline, Ctrl-C or the cancelling of a task, is thrown in at the `yield`. What the steps clean up
then must not wait: they never yield again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias, TypeVar

from zchat.checks import check_flag
from zchat.errors import ProtocolError, VersionRefused
from zchat.messages import Batch, Member, Message, Position, RoomInfo
from zchat.names import is_same, shown_name
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.arguments import check_number, check_position, check_room, check_user
from zchat.protocol.faces.face import FaceLink, Feeding
from zchat.protocol.faces.joined_rooms import Joined, JoinedRooms
from zchat.protocol.faces.outcomes import Limit
from zchat.stats import BrokerStats, BusyRoom, Histogram, OverallStats, Stats
from zchat.wire.blocks import messages_of, run_of
from zchat.wire.limits import OVERALL
from zchat.wire.replies import Figures, HistoryPage, Marked, MembersPage, RoomRow, RoomsPage

T = TypeVar("T")
R = TypeVar("R")

Steps: TypeAlias = Generator[Callable[[], Any], Any, T]

ROOMS_PAGE = 500
"""Rooms asked for at a time."""

MEMBERS_PAGE = 500
"""Members of a room asked for at a time."""

MAX_LISTED = 200_000
"""Rooms, or members of a room, that one question lists: twice what a broker can have."""


# -- questions -----------------------------------------------------------------------------------------


def rooms(link: FaceLink, limit: Limit, after: str | None = None, most: int | None = None) -> Steps[list[RoomInfo]]:
    """Return the broker's rooms, those after a name if one is given, `most` of them at most, page by page."""
    link.check()
    last = None if after is None else check_room(link.user, after)
    _check_most(most)
    found: list[RoomInfo] = []
    while (left := _left(most, len(found), ROOMS_PAGE)) > 0:
        page: RoomsPage = yield from ask(link, "rooms", (last, left), None, limit, "the list of rooms")
        check_page(len(page.rooms), left, len(found), "rooms")
        found += [_room(link.user, row) for row in page.rooms]
        if not page.more or not page.rooms:
            break
        last = page.rooms[-1].name
        link.check()  # once the client is closed nothing more is asked
    return found


def members(
    link: FaceLink, name: str, limit: Limit, after: str | None = None, most: int | None = None
) -> Steps[list[Member]]:
    """Return a room's members, those after a name if one is given, `most` of them at most, page by page."""
    link.check()
    room = check_room(link.user, name)
    last = None if after is None else check_user(after)
    _check_most(most)
    found: list[Member] = []
    while (left := _left(most, len(found), MEMBERS_PAGE)) > 0:
        fields = (room, last, left)
        page: MembersPage = yield from ask(link, "members", fields, None, limit, f"the members of {name!r}")
        check_page(len(page.people), left, len(found), "members")
        found += [Member(each.user, each.since, each.read_mark, each.typing) for each in page.people]
        if not page.more or not page.people:
            break
        last = found[-1].user
        link.check()
    return found


def _check_most(most: int | None) -> None:
    if most is not None:
        check_number("limit", most)


def _left(most: int | None, found: int, page: int) -> int:
    """Return how many rows to ask for: a page's, or what is left of `most`."""
    return page if most is None else min(page, most - found)


def stats(link: FaceLink, limit: Limit) -> Steps[Stats]:
    """Return the broker's figures."""
    link.check()
    found: Stats = yield from ask(link, "stats", (), stats_of, limit, "the broker's figures")
    return found


def overall_stats(link: FaceLink, limit: Limit) -> Steps[OverallStats]:
    """Return the figures of all brokers that share the store."""
    link.check()
    found: OverallStats | None = yield from ask(
        link, "stats", (OVERALL,), overall_of, limit, "the figures of all brokers"
    )
    if found is None:
        raise VersionRefused("the broker is of an older version and has no figures of all brokers; update it")
    return found


def mark_read(link: FaceLink, name: str, seq: int, limit: Limit) -> Steps[int]:
    """Return the read mark that stands once it is stored."""
    link.check()
    check_number("seq", seq)
    fields = (check_room(link.user, name), seq)
    marked: Marked = yield from ask(link, "mark", fields, None, limit, f"marking {name!r} as read")
    return marked.seq


def history(
    link: FaceLink, name: str, after: int | None, before: int | None, most: int, limit: Limit
) -> Steps[list[Message]]:
    """Return at most `most` messages of a room's log, page by page, all of one connection and so of one log."""
    room = _check_history(link, name, after, before, most)
    found: list[Message] = []
    begin, connection = after, 0
    more = most > 0
    while more:
        left = most - len(found)
        answered, page = yield from _history_page(link, room, name, after, before, left, limit)
        if found and answered != connection:
            found.clear()
            after = begin
            continue
        connection = answered
        messages = messages_of(shown_name(link.user, page.room), page.blocks, page.after, page.upto)
        _check_count(len(messages), left, name)
        found += messages
        after = page.upto
        more = page.more and bool(messages) and len(found) < most
        if more:
            link.check()
    return found


def history_batch(
    link: FaceLink, name: str, after: int | None, before: int | None, most: int, limit: Limit
) -> Steps[Batch | None]:
    """Return those messages of a room's log that one answer has, None if there are none."""
    room = _check_history(link, name, after, before, most)
    if not most:
        return None
    _, page = yield from _history_page(link, room, name, after, before, most, limit)
    run = run_of(shown_name(link.user, page.room), page.blocks, page.after, page.upto)
    _check_count(len(run.seqs), most, name)
    return next(run.batches(Position(page.epoch, page.upto)), None) if len(run.seqs) else None


def _check_history(link: FaceLink, name: str, after: int | None, before: int | None, most: int) -> str:
    """Return what the protocol calls the room, after a check of all that its history is asked for with."""
    link.check()
    room = check_room(link.user, name)
    for bound, value in (("after", after), ("before", before)):
        if value is not None:
            check_number(bound, value)
    check_number("limit", most)
    return room


def _history_page(
    link: FaceLink, room: str, name: str, after: int | None, before: int | None, most: int, limit: Limit
) -> Steps[tuple[int, HistoryPage]]:
    """Return the number of the connection that an answer came over, and the answer."""
    fields = (room, after, before, most)
    found: tuple[int, HistoryPage] = yield from ask(
        link, "history", fields, partial(_with_connection, link.core), limit, f"the history of {name!r}"
    )
    page = found[1]
    if not is_same(page.room, room):
        raise ProtocolError(f"the broker sent the history of another room than {name!r}")
    if page.blocks and (page.after < (after or 0) or (before is not None and page.upto >= before)):
        raise ProtocolError(f"the broker sent history of {name!r} from {page.after} to {page.upto}: not as asked")
    return found


def _check_count(count: int, most: int, name: str) -> None:
    if count > most:
        raise ProtocolError(f"the broker sent {count} messages of {name!r}, {most} were asked for")


def check_page(rows: int, most: int, found: int, what: str) -> None:
    """Raise ProtocolError if a page of a list has more than `most` rows, or the list no end: so much is `found`."""
    if rows > most:
        raise ProtocolError(f"the broker sent a page of {rows} {what}, {most} were asked for")
    if found > MAX_LISTED:
        raise ProtocolError(f"the broker's list of {what} has no end: {found} have come")


def ask(
    link: FaceLink, word: str, fields: tuple[Any, ...], done: Callable[[Any], Any] | None, limit: Limit, what: str
) -> Steps[Any]:
    """Return the answer to one question; `done` makes it of the broker's reply, in the core's thread."""
    answer = link.waits.answer()
    try:
        link.do(link.core.ask, word, fields, answer, done)
        return (yield partial(answer.wait, limit, what))
    except BaseException:
        answer.withdraw()
        raise


def _with_connection(core: ClientCore, page: HistoryPage) -> tuple[int, HistoryPage]:
    """Return a page with the number of the connection that it came over. The core's thread."""
    return core.connections, page


def _room(user: str, row: RoomRow) -> RoomInfo:
    unread = None if row.read_mark is None else max(0, row.last - max(row.read_mark, row.first - 1))
    return RoomInfo(shown_name(user, row.name), row.members, row.first, row.last, unread)


def stats_of(figures: Figures) -> Stats:
    """Return the broker's figures by their names."""
    return Stats(
        figures.counts,
        figures.refused,
        [(room, user, messages) for room, user, messages, *_ in figures.lagging],
        {name: Histogram(*histogram[:3]) for name, histogram in figures.times.items()},
        [BusyRoom(*busy[:4]) for busy in figures.busiest],
    )


def overall_of(figures: Figures) -> OverallStats | None:
    """Return the figures of all brokers by their names; None if the broker is of an older version."""
    overall, brokers = figures.overall, figures.brokers
    if overall is None or brokers is None:
        return None
    return OverallStats(overall, [BrokerStats(each.id, each.age / 1_000_000, each.counts) for each in brokers])


# -- rooms ---------------------------------------------------------------------------------------------


def join(
    link: FaceLink, rooms: JoinedRooms[R], name: str, after: Position | None, create: bool, flags: int, limit: Limit
) -> Steps[R]:
    """Join a room and return it, the one that there is if it is joined already; `flags`: as in `zchat.wire.limits`.

    Of what is interrupted nothing is left: nobody would have the room.
    """
    check_flag("create", create)
    link.check()
    if after is not None:
        check_position(after)
    wire = check_room(link.user, name)
    answer = link.waits.answer()
    try:
        link.do(rooms.join, wire, name, after, create, answer, flags)
        found: tuple[R, Joined[R]] = yield partial(answer.wait, limit, f"joining {name!r}")
        return found[0]
    except BaseException:
        if not answer.withdraw() and answer.result is not None:
            link.do(rooms.give_back, answer.result[1])
        raise


def leave(link: FaceLink, rooms: JoinedRooms[R], room: R, name: str, limit: Limit) -> Steps[None]:
    """Leave a room; it is left all the same if the broker doesn't confirm it in time."""
    link.check()
    answer = link.waits.answer()
    link.do(rooms.leave, room, answer)
    yield partial(answer.wait, limit, f"leaving {name!r}")


# -- sending many --------------------------------------------------------------------------------------


def send_many(feeding: Feeding, timeout: float | None, fetch: Callable[[], Any] | None = None) -> Steps[int]:
    """Send what `feeding` hands over, and return how many messages are stored, once all are.

    `fetch`: what is waited by for the next bodies, none at the end, if `feeding` isn't made with all of them. Each wait
    for answers is for more than the count that was seen before the check: an answer that comes between the two ends it.
    Of what is raised within nothing is ours: it is of the bodies, or breaks a wait off.
    """
    stream = feeding.stream
    error: Exception | None = None
    try:
        more = True
        while more and error is None:
            if fetch is not None:
                feeding.give((yield fetch))
            more = feeding.fill()
            if feeding.turn_due:
                yield stream.give_way
            seen = stream.stored_count
            while error is None and (feeding.full if more else stream.unanswered):
                error = yield partial(stream.wait, seen, timeout)
                seen = stream.stored_count
    finally:
        stream.withdraw()
    if not feeding.complete and (error := error or feeding.trouble) is not None:  # else the last answer came just now
        raise feeding.undelivered(error)
    return stream.stored_count
