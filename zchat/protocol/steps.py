"""What takes several waits, written once for every face: a generator that yields what to wait by.

A face carries the steps out (`zchat.client.waiting.finish` in a thread): it calls what is yielded,
which blocks, or awaits what that call returns, and sends the result in. Whatever ends a wait, a
deadline, Ctrl-C or the cancelling of a task, is thrown in at the `yield`. What the steps clean up
then must not wait: they never yield again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from zchat.errors import ProtocolError, UsageError, ZchatError
from zchat.messages import Member, Message, Position, RoomInfo
from zchat.names import fold, shown_name
from zchat.protocol.arguments import check_number, check_position, check_room
from zchat.protocol.core import ClientCore
from zchat.protocol.face import Coming, FaceLink, Feeding, Turn
from zchat.protocol.invitations import Invitations
from zchat.protocol.membership import Feed, Membership
from zchat.protocol.outcomes import Limit
from zchat.protocol.requests import Nobody
from zchat.stats import BusyRoom, Histogram, Stats
from zchat.wire.blocks import messages_of
from zchat.wire.replies import Figures, HistoryPage, Marked, MembersPage, RoomRow, RoomsPage

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Feed)

Steps: TypeAlias = Generator[Callable[[], Any], Any, T]

ROOMS_PAGE = 500
"""Rooms asked for at a time."""

MEMBERS_PAGE = 500
"""Members of a room asked for at a time."""


# -- questions -----------------------------------------------------------------------------------------


def rooms(link: FaceLink, limit: Limit) -> Steps[list[RoomInfo]]:
    """Return the broker's rooms, page by page."""
    link.check()
    found: list[RoomInfo] = []
    last: str | None = None
    while True:
        page: RoomsPage = yield from _ask(link, "rooms", (last, ROOMS_PAGE), None, limit, "the list of rooms")
        found += [_room(link.user, row) for row in page.rooms]
        if not page.more or not page.rooms:
            return found
        last = page.rooms[-1].name


def members(link: FaceLink, name: str, limit: Limit) -> Steps[list[Member]]:
    """Return a room's members, page by page."""
    link.check()
    room = check_room(link.user, name)
    found: list[Member] = []
    while True:
        fields = (room, found[-1].user if found else None, MEMBERS_PAGE)
        page: MembersPage = yield from _ask(link, "members", fields, None, limit, f"the members of {name}")
        found += [Member(each.user, each.since, each.read_mark, each.typing) for each in page.people]
        if not page.more or not page.people:
            return found


def stats(link: FaceLink, limit: Limit) -> Steps[Stats]:
    """Return the broker's figures."""
    link.check()
    found: Stats = yield from _ask(link, "stats", (), stats_of, limit, "the broker's figures")
    return found


def mark_read(link: FaceLink, name: str, seq: int, limit: Limit) -> Steps[int]:
    """Return the read mark that stands once it is stored."""
    link.check()
    check_number("seq", seq)
    fields = (check_room(link.user, name), seq)
    marked: Marked = yield from _ask(link, "mark", fields, None, limit, f"marking {name} as read")
    return marked.seq


def history(
    link: FaceLink, name: str, after: int | None, before: int | None, most: int, limit: Limit
) -> Steps[list[Message]]:
    """Return at most `most` messages of a room's log, page by page, all of one connection and so of one log."""
    link.check()
    room = check_room(link.user, name)
    for bound, value in (("after", after), ("before", before)):
        if value is not None:
            check_number(bound, value)
    check_number("limit", most)
    found: list[Message] = []
    begin, connection = after, 0
    more = most > 0
    while more:
        fields = (room, after, before, most - len(found))
        answer = yield from _ask(
            link, "history", fields, partial(_with_connection, link.core), limit, f"the history of {name}"
        )
        answered: int = answer[0]
        page: HistoryPage = answer[1]
        if found and answered != connection:
            found.clear()
            after = begin
            continue
        connection = answered
        found += messages_of(shown_name(link.user, page.room), page.blocks, page.after, page.upto)
        after = page.upto
        more = page.more and bool(page.blocks) and len(found) < most
    return found


def _ask(
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
    """Return the broker's figures by their names; raises ProtocolError if they are malformed."""
    try:
        return Stats(
            _numbers(figures.counts),
            _numbers(figures.refused),
            [(str(room), str(user), int(messages)) for room, user, messages, *_ in figures.lagging],
            {str(name): _histogram(*histogram[:3]) for name, histogram in figures.times.items()},
            [BusyRoom(str(name), *map(int, numbers[:3])) for name, *numbers in figures.busiest],
        )
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"the broker sent malformed figures: {error}") from error


def _histogram(bounds: list[int], counts: list[int], total: int) -> Histogram:
    return Histogram(list(map(int, bounds)), list(map(int, counts)), int(total))


def _numbers(counted: dict[str, int]) -> dict[str, int]:
    return {str(name): int(number) for name, number in counted.items()}


# -- rooms ---------------------------------------------------------------------------------------------


class JoinedRooms(Protocol[R, F]):
    """The rooms that a client is in, as a face keeps them; they go by their folded names."""

    @property
    def invitations(self) -> Invitations:
        """The invitations that wait."""

    @property
    def turn(self) -> Callable[[], Turn]:
        """What makes a turn among the application's joins and leaves, yet to be taken."""

    def begin(self, key: str) -> bool:
        """Begin to join a room; False if it is joined, or somebody else is joining it."""

    def end(self, key: str) -> None:
        """End what `begin` began, whether the room is joined or not."""

    def get(self, key: str) -> R | None:
        """Return a room that is joined."""

    def coming(self, key: str) -> Coming | None:
        """Return the end of the join that somebody else has begun, None if it has ended."""

    def inbox(self, *, invited: bool) -> F:
        """Return what takes a room's notifications; `invited`: it keeps the room's read mark by itself."""

    def joined(self, key: str, membership: Membership, inbox: F) -> R:
        """Return the room of a membership, and keep it."""

    def abandon(self, key: str, inbox: F) -> None:
        """Forget a room that could not be joined."""

    def remove(self, room: R) -> Membership | None:
        """Forget a room that is left, and return its membership; None if it was left before."""

    def accept(self) -> None:
        """Have the invitations that are due taken up."""


def join(
    link: FaceLink, joined: JoinedRooms[R, F], name: str, after: Position | None, create: bool, limit: Limit
) -> Steps[R]:
    """Join a room and return it, the one that there is if it is joined already."""
    link.check()
    if after is not None:
        check_position(after)
    wire = check_room(link.user, name)
    what = f"joining {name}"
    key = fold(wire)
    turn = joined.turn()
    try:
        yield partial(turn.take, limit, what)
        while not joined.begin(key):
            room = joined.get(key)
            if room is not None:
                if after is not None:
                    raise UsageError(f"you are in {name} already: leave it before you join at a position")
                return room
            coming = joined.coming(key)
            if coming is not None:
                yield partial(coming.wait, limit, what)
        return (yield from _join(link, joined, key, wire, after, create, limit, what))
    finally:
        turn.end()


def _join(
    link: FaceLink, joined: JoinedRooms[R, F], key: str, wire: str, after: Position | None, create: bool, limit: Limit,
    what: str,
) -> Steps[R]:  # fmt: skip
    """Join a room that was begun to be joined. Of what is interrupted nothing is left: nobody would have the room."""
    invitation = None if after is not None else joined.invitations.take(key)
    inbox = joined.inbox(invited=invitation is not None)
    position = after if invitation is None else invitation.position
    answer = link.waits.answer()
    try:
        link.do(link.core.join, wire, position, create, answer, inbox)
        membership: Membership = yield partial(answer.wait, limit, what)
        return joined.joined(key, membership, inbox)
    except BaseException:
        joined.abandon(key, inbox)
        if not answer.withdraw() and answer.result is not None:
            link.do(link.core.leave, answer.result, Nobody())
        if invitation is not None:
            joined.invitations.put_back(key, invitation)
        raise
    finally:
        joined.end(key)
        joined.accept()


def leave(link: FaceLink, joined: JoinedRooms[R, F], room: R, name: str, limit: Limit) -> Steps[None]:
    """Leave a room; it is left all the same if the broker doesn't confirm it in time."""
    link.check()
    what = f"leaving {name}"
    turn = joined.turn()
    try:
        yield partial(turn.take, limit, what)
        membership = joined.remove(room)
        if membership is not None:
            answer = link.waits.answer()
            link.do(link.core.leave, membership, answer)
            yield partial(answer.wait, limit, what)
    finally:
        turn.end()
        joined.accept()  # an invitation that waits has a place now


# -- sending many --------------------------------------------------------------------------------------


def send_many(feeding: Feeding, timeout: float | None) -> Steps[int]:
    """Send what `feeding` hands over, and return how many messages are stored, once all are.

    Each wait is for more than the count that was seen before the check: an answer that comes
    between the two ends it.
    """
    stream = feeding.stream
    try:
        more = True
        while more:
            more = feeding.fill()
            seen = stream.stored_count
            while feeding.full if more else stream.unanswered:
                yield partial(stream.wait, seen, timeout)
                seen = stream.stored_count
        feeding.verdict()
    except ZchatError as error:
        stream.withdraw()
        if not feeding.complete:  # else the last answer came just now
            raise feeding.undelivered(error) from error.__cause__
    finally:
        stream.withdraw()
    return stream.stored_count
