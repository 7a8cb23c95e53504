"""What the broker does for each command of the protocol: one handler a command, in one table.

A handler is given the core, the ticket to answer to, and the command's fields as
`zchat.wire.commands.COMMANDS` lists them (without the request's number). It answers through the core,
now or later, or raises a `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from zchat import errors
from zchat.broker import limits
from zchat.broker.core.replies import Ticket, member_of, refuse_if_overloaded, session_of
from zchat.broker.figures.stats import stats
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store import contract
from zchat.events import Gap
from zchat.messages import GapReason, Position
from zchat.names import check_name, fold
from zchat.wire.blocks import check_bodies
from zchat.wire.limits import ID_BYTES, MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, VERSION
from zchat.wire.notices import encode_pong
from zchat.wire.replies import (
    Goodbye,
    HistoryPage,
    Joined,
    Left,
    Marked,
    MembersPage,
    RoomRow,
    RoomsPage,
    Stored,
    Welcome,
    encode_history,
)

if TYPE_CHECKING:
    from zchat.broker.core.core import Core


def hello(
    core: Core,
    ticket: Ticket,
    oldest: int,
    newest: int,
    user: str,
    producer: bytes,
    token: bytes,
    window: int,
    connection: int,
) -> None:
    """Begin a session, or go on with one by its token; answers with what is agreed."""
    if ticket.session is not None:
        raise errors.Malformed("this connection has greeted already; greet once")
    if core.closing:
        raise errors.Closing("the broker is going down; try again later")
    if not oldest <= VERSION <= newest:
        raise errors.VersionRefused(
            f"this broker speaks version {VERSION} of the protocol, the client {oldest} to {newest}; update the older"
        )
    check_name("user", user)
    window = min(window, core.settings.high_water_mark) or core.settings.high_water_mark
    # Others see the producer in blocks: without the token none of them can number on in its name.
    producer = blake2b(producer + token, digest_size=ID_BYTES).digest()
    session = core.tokens.get(token)
    if session is not None:
        if connection <= session.connection:  # it was overtaken on its way
            raise errors.Superseded("this session goes on over a later connection")
        core.fence(session)
        if fold(user) != session.folded:
            core.presence.away(session)
        session.producer, session.user, session.folded = producer, user, fold(user)
        session.connect(ticket.routing_id, connection, window, core.now)
    elif len(core.sessions) >= limits.MAX_SESSIONS:
        raise errors.Busy(f"the broker has {limits.MAX_SESSIONS} sessions, as many as it may; try again later")
    else:
        session = Session(ticket.routing_id, connection, user, producer, token, window, core.now)
    core.enter(session)
    core.presence.back(session, core.now)
    session.unanswered += 1
    welcome = Welcome(
        version=VERSION,
        user=user,
        window=window,
        max_message=core.settings.max_message,
        max_block_bytes=MAX_BLOCK_BYTES,
        max_block_messages=MAX_BLOCK_MESSAGES,
        max_requests=limits.MAX_REQUESTS,
        ping_ms=int(limits.PING_AFTER * 1000),
        lost_ms=int(limits.LOST_AFTER * 1000),
        expire_ms=int(limits.EXPIRE_AFTER * 1000),
    )
    core.answer(ticket._replace(session=session), welcome)
    core.state_frames.greeted(session, core.directory.directs_of(session.folded))


def join(
    core: Core, ticket: Ticket, name: str, number: int, position: list[int] | None, held: int, create: bool
) -> None:
    """Make the session a member of a room, from now on or from a position on."""
    session = session_of(ticket)
    if held > session.window:
        raise errors.Malformed(f"join: {held} notifications held, the window is {session.window}")
    directory = core.directory
    room = directory.make(name, session.folded) if create else directory.find(name, session.folded)
    start = None if position is None else Position(*position)
    if start is None or room.reaches(start):
        _enter(core, ticket, room, number, start, held)
        return
    core.pending += 1
    room.pending += 1
    core.store.locate(room.name, partial(_located, core, ticket, room, number, start, held))


def _located(core: Core, ticket: Ticket, room: Room, number: int, start: Position, held: int) -> None:
    """Go on with a join once everything about the room's log is known."""
    core.pending -= 1
    room.pending -= 1
    if core.holds(ticket):
        try:
            _enter(core, ticket, room, number, start, held)
        except errors.Refused as error:
            core.refuse(ticket, error)
    core.directory.vacate(room)


def _enter(core: Core, ticket: Ticket, room: Room, number: int, start: Position | None, held: int) -> None:
    session = session_of(ticket)
    old = session.members.get(room)
    if old is None and len(session.members) >= limits.MAX_MEMBERSHIPS:
        core.directory.vacate(room)
        raise errors.LimitReached(f"a session is in {limits.MAX_MEMBERSHIPS} rooms at most; leave one")
    if old is not None and number <= old.join:
        raise errors.Malformed(f"join: number {number} is not above {old.join}, that of the join before")
    if start is None:
        start = Position(room.epochs.at(room.last), room.last)
    gap = _gap(room, start)
    member = Member(session, room, number, start.seq if gap is None else gap.upto, held)
    member.covered = start.seq
    member.gap = gap
    session.members[room] = member
    core.pusher.joined(member, old)
    core.presence.arrive(session, room)
    core.answer(
        ticket, Joined(room.name, start.epoch, start.seq, room.first, room.last, session.window, gap is not None)
    )
    core.state_frames.joined(member)


def _gap(room: Room, start: Position) -> Gap | None:
    parted = room.epochs.parted(start, room.last)
    if parted is not None:
        reason, upto = parted
        return Gap(room.name, start.seq, max(upto, room.first - 1), reason)
    if start.seq < room.first - 1:
        return Gap(room.name, start.seq, room.first - 1, GapReason.TRIMMED)
    return None


def leave(core: Core, ticket: Ticket, name: str, number: int) -> None:
    """End a membership; a leave of an earlier join changes nothing."""
    member = member_of(core, ticket, name)
    if member.join == number:
        core.pusher.left(member)
        del member.session.members[member.room]
        core.presence.depart(member.session, member.room)
    core.answer(ticket, Left())


def send(core: Core, ticket: Ticket, name: str, number: int, bodies: bytes) -> None:
    """Store a block; the answer goes out when it is safe, then the members are served."""
    member = member_of(core, ticket, name)
    if core.closing:
        raise errors.Closing("the broker is going down; try again later")
    count = check_bodies(bodies, core.settings.max_message)
    if not number:
        raise errors.Malformed("send: blocks are numbered from 1")
    session, room = member.session, member.room
    core.pending += 1
    room.pending += 1
    core.store.append(
        contract.Append(room.name, session.producer, number, session.user, bodies, count, session.connection),
        partial(_appended, core, ticket, room, number),
    )


def _appended(core: Core, ticket: Ticket, room: Room, number: int, outcome: contract.Appended) -> None:
    core.pending -= 1
    room.pending -= 1
    answer: Stored | errors.Refused
    match outcome:
        case contract.Stored(block, epoch):
            core.log_lines.well("storing")
            core.counters.blocks += 1
            core.counters.messages += block.last - block.first + 1
            answer = Stored(block.first, block.timestamp, epoch)
        case contract.Duplicate(first, _, timestamp, epoch):
            core.counters.duplicates += 1
            answer = Stored(first, timestamp, epoch)
        case contract.OutOfSequence(expected):
            answer = errors.OutOfOrder(f"block {number} is out of order: go back to {expected}", detail=expected)
        case contract.ForgottenProducer():
            answer = errors.Forgotten(f"block {number} is of a producer not known here: begin again at 1")
        case contract.Full(reason):
            answer = errors.Busy(f"{reason}; try again later")
        case contract.Failed(reason):
            core.log_lines.trouble("storing", reason)
            answer = errors.StoreFailed(f"the broker could not store it: {reason}; try again later")
    core.answers.append((ticket, answer))  # all of them, so that they go out in the order of the blocks
    core.directory.vacate(room)


def history(core: Core, ticket: Ticket, name: str, after: int | None, before: int | None, limit: int) -> None:
    """Read a part of a room's log: the oldest after `after`, else the newest before `before`."""
    refuse_if_overloaded(core)
    room = core.directory.find(name, session_of(ticket).folded)
    end = room.last if before is None else min(before - 1, room.last)
    if after is None:
        after = end - limit
    after = max(after, room.first - 1)
    upto = min(end, after + min(limit, limits.HISTORY_MESSAGES))
    if upto <= after:
        core.answer_frame(ticket, encode_history(ticket.request, HistoryPage(room.name, 0, after, after, False, [])))
        return
    core.pending += 1
    core.store.read(
        room.name, after, upto, limits.HISTORY_BYTES, partial(_page, core, ticket, room, after, upto, end, limit)
    )


def _page(
    core: Core,
    ticket: Ticket,
    room: Room,
    after: int,
    upto: int,
    end: int,
    limit: int,
    page: contract.LogPage | contract.Full | contract.Failed,
) -> None:
    core.pending -= 1
    if core.pipes.overloaded and not isinstance(page, contract.Failed):
        page = contract.Full("too many answers wait to be sent")
    match page:
        case contract.LogPage(blocks):
            core.log_lines.well("reading history")
            if not blocks and upto < end:  # trimmed meanwhile: what is kept begins further on
                core.pending += 1
                going_on = partial(_page, core, ticket, room, upto, end, end, limit)
                core.store.read(room.name, upto, end, 1, going_on)
                return
            if blocks:
                after = max(after, blocks[0].first - 1)
                upto = max(after, min(upto, blocks[-1].last, after + limit))
            more = upto < end and upto - after < limit and bool(blocks)
            found = [block.data for block in blocks]
            page_found = HistoryPage(room.name, room.epochs.at(upto), after, upto, more, found)
            core.answer_frame(ticket, encode_history(ticket.request, page_found))
        case contract.Full(reason):
            core.refuse(ticket, errors.Busy(f"{reason}; try again later"))
        case contract.Failed(reason):
            core.log_lines.trouble("reading history", reason)
            core.refuse(ticket, errors.StoreFailed(f"the broker could not read it: {reason}; try again later"))


def rooms(core: Core, ticket: Ticket, after: str | None, limit: int) -> None:
    """List rooms by name, from the one behind `after` on."""
    refuse_if_overloaded(core)
    user = session_of(ticket).folded
    behind = None if after is None else fold(after)
    found, more = core.directory.page(user, behind, max(1, min(limit, limits.ROOMS_PAGE)))
    rows = [RoomRow(room.name, room.users, room.first, room.last, room.read_marks.get(user)) for room in found]
    core.answer(ticket, RoomsPage(rows, more))


def credit(core: Core, ticket: Ticket, name: str, number: int, taken: int) -> None:
    """Count what a member has taken; credit of an earlier join, or of no member, changes nothing."""
    session = session_of(ticket)
    room = core.rooms.get(fold(name))
    member = session.members.get(room) if room is not None else None
    if member is None or member.join != number:
        core.counters.stale_credit += 1
    elif not core.pusher.credited(member, taken):
        raise errors.Malformed(f"credit for {taken} notifications of {member.room.name}, {member.sent} were sent")


def typing(core: Core, ticket: Ticket, name: str, active: bool) -> None:
    """Tell the others of a room that the user is typing, or has ended; of another room it changes nothing."""
    session = session_of(ticket)
    room = core.rooms.get(fold(name))
    if room is not None and room in session.members:
        core.presence.type(session, room, active, core.now)


def set_read_mark(core: Core, ticket: Ticket, name: str, seq: int) -> None:
    """Store how far the user has read a room; answers with the read mark that stands."""
    user = session_of(ticket).folded
    room = core.directory.find(name, user)
    stands = room.read_marks.get(user, 0)
    if seq <= stands or not (room.last or room.pending):
        core.answer(ticket, Marked(stands))
        return
    core.pending += 1
    core.store.set_read_mark(room.name, user, seq, partial(_marked, core, ticket))


def _marked(core: Core, ticket: Ticket, outcome: contract.Marked | contract.Full | contract.Failed) -> None:
    core.pending -= 1
    match outcome:
        case contract.Marked(seq):
            core.log_lines.well("storing read marks")
            core.counters.marks += 1
            core.answer(ticket, Marked(seq))
        case contract.Full(reason):
            core.refuse(ticket, errors.Busy(f"{reason}; try again later"))
        case contract.Failed(reason):
            core.log_lines.trouble("storing read marks", reason)
            core.refuse(ticket, errors.StoreFailed(f"the broker could not store it: {reason}; try again later"))


def members(core: Core, ticket: Ticket, name: str, after: str | None, limit: int) -> None:
    """List the users who are in a room by name, from the one behind `after` on."""
    refuse_if_overloaded(core)
    room = core.directory.find(name, session_of(ticket).folded)
    behind = None if after is None else fold(after)
    if room.roster is None:
        core.answer(ticket, MembersPage([], False))
    else:
        core.answer(ticket, MembersPage(*room.roster.page(behind, max(1, min(limit, limits.MEMBERS_PAGE)))))


def seen(core: Core, ticket: Ticket, number: int) -> None:
    """Take note that the client has a state frame; another number than that of the one out changes nothing."""
    core.state_frames.seen(session_of(ticket), number)


def ping(core: Core, ticket: Ticket) -> None:
    """Answer that the broker is there, and when to ping again if nothing else is said.

    Silent sessions are led to ping in the same moments, up to 200 in one: a broker that is woken
    for each ping alone pays five times as much for it.
    """
    moments = len(core.sessions) // limits.PINGS_A_MOMENT + 1
    every = limits.PING_EVERY / moments
    wait = -core.now % every
    while wait < limits.PING_AFTER / 2:
        wait += every
    core.pipes.tell(ticket.routing_id, encode_pong(int(wait * 1000)))


def bye(core: Core, ticket: Ticket) -> None:
    """End the session; its producer is forgotten."""
    session = session_of(ticket)
    core.answer(ticket, Goodbye())
    core.end(session, None)
    core.store.forget(session.producer)


HANDLERS: dict[str, Callable[..., Any]] = {
    "hello": hello,
    "join": join,
    "leave": leave,
    "send": send,
    "history": history,
    "rooms": rooms,
    "credit": credit,
    "typing": typing,
    "mark": set_read_mark,
    "members": members,
    "stats": stats,
    "seen": seen,
    "ping": ping,
    "bye": bye,
}
