"""What the broker does for each command of the protocol: one handler a command, in one table.

A handler is given the context, the request to answer, what the command is about (the room or the
membership that its field `room` stands for, if it has one), and the other fields, as
`zchat.wire.commands.COMMANDS` lists them. It answers through `context.replies`, now or later, or
raises a `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b

from zchat import errors
from zchat.broker import limits
from zchat.broker.core.access import refusal_of
from zchat.broker.core.acknowledging import not_done, send
from zchat.broker.core.context import Context
from zchat.broker.core.identity import name_for
from zchat.broker.core.replies import Request, Rest
from zchat.broker.port import Peer
from zchat.broker.rooms.member import Member, withheld
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store import contract
from zchat.broker.store.news import Greeted
from zchat.events import Gap
from zchat.messages import GapReason, Position
from zchat.names import fold
from zchat.wire.commands import Right
from zchat.wire.limits import (
    DIGEST,
    ID_BYTES,
    JOIN_FLAGS,
    LOG,
    MAX_BLOCK_BYTES,
    MAX_BLOCK_MESSAGES,
    OLDEST_VERSION,
    OVERALL,
    OWN,
    PRESENT,
    VERSION,
)
from zchat.wire.notices import encode_pong
from zchat.wire.replies import (
    Goodbye,
    HistoryPage,
    Joined,
    Left,
    Marked,
    MembersPage,
    Welcome,
    encode_figures,
    encode_history,
    encode_joined,
    encode_welcome,
)


def hello(
    context: Context,
    request: Request,
    oldest: int,
    newest: int,
    user: str,
    producer: bytes,
    token: bytes,
    window: int,
    connection: int,
    flags: int = 0,
) -> None:
    """Begin a session, or go on with one by its token; answers with what is agreed."""
    sessions = context.sessions
    settings = context.settings
    if request.session is not None:
        raise errors.Malformed("this connection has greeted already; greet once")
    if sessions.closing:
        raise errors.Closing("the broker is going down; try again later")
    version = min(newest, VERSION)
    if version < max(oldest, OLDEST_VERSION):
        refusal = errors.VersionRefused(
            f"this broker speaks versions {OLDEST_VERSION} to {VERSION} of the protocol, "
            f"the client {oldest} to {newest}; update the older"
        )
        refusal.versions = (OLDEST_VERSION, VERSION)
        raise refusal
    context.directory.check_user(user)
    user = _own_name(context, request.peer, user)
    peer = request.peer._replace(user=fold(user))
    if (ban := context.access.ban_at_broker(peer.user)) is not None:
        _record_turned_away(context, peer, "banned", user)
        raise refusal_of(ban)
    window = min(window, settings.high_water_mark) or settings.high_water_mark
    # Others see the producer in blocks: without the token none of them can number on in its name.
    producer = blake2b(producer + token, digest_size=ID_BYTES).digest()
    session = sessions.table.by_token.get(token)
    if session is not None:
        if peer.name and (peer.user, request.peer.user) != (session.peer.user, fold(session.peer.name)):
            context.audit.add("wrong_name", request.peer, by=request.peer.name, user=session.user)
            raise errors.WrongName("this session is another user's: take a token of your own")
        if connection <= session.connection:  # it was overtaken on its way
            raise errors.Superseded("this session continues over a later connection")
        sessions.fence(session)
        if peer.user != session.peer.user:
            context.presence.away(session)
        session.producer, session.user = producer, user
        session.connect(peer, connection, window, context.now, version)
    elif len(sessions.table.by_routing_id) >= limits.MAX_SESSIONS:
        raise errors.Busy(f"the broker has {limits.MAX_SESSIONS} sessions, the most it may have; try again later")
    elif context.gate.binds_names and len(sessions.table.by_user.get(peer.user, ())) >= limits.USER_SESSIONS:
        raise errors.LimitReached(f"{user} has {limits.USER_SESSIONS} sessions, the most that one user may have")
    else:
        account = context.shares.account(peer.user)
        session = Session(peer, connection, user, producer, token, window, context.now, account, version)
    sessions.enter(session)
    context.presence.back(session, context.now)
    context.store.tell(Greeted(peer.user, producer, connection))
    session.unanswered += 1
    welcome = Welcome(
        version=version,
        user=user,
        window=window,
        max_message=settings.max_message,
        max_block_bytes=MAX_BLOCK_BYTES,
        max_block_messages=MAX_BLOCK_MESSAGES,
        max_requests=limits.MAX_REQUESTS,
        ping_ms=int(limits.PING_AFTER * 1000),
        lost_ms=int(limits.LOST_AFTER * 1000),
        expire_ms=int(limits.EXPIRE_AFTER * 1000),
        digest=producer if flags & DIGEST else None,
    )
    context.replies.answer_frame(Request(peer, session, request.number), encode_welcome(request.number, welcome))
    context.state_frames.greeted(session, context.directory.directs_of(peer.user))


def _own_name(context: Context, peer: Peer, user: str) -> str:
    """Return the name that a connection has, as it is to be spelt; what it can't have is recorded."""
    try:
        return name_for(context.gate, context.access, peer, user)
    except errors.KeyRemoved:
        _record_turned_away(context, peer, "key_removed", peer.name)
        raise
    except errors.WrongName:
        context.audit.add("wrong_name", peer, by=peer.name, user=user)
        raise


def _record_turned_away(context: Context, peer: Peer, reason: str, user: str) -> None:
    address, key = peer.address or "", peer.key or ""
    context.audit.gather("turned_away", reason, address=address, key=key, user=user, via=peer.via)


def join(
    context: Context,
    request: Request,
    room: Room,
    number: int,
    position: tuple[int, int] | None,
    held: int,
    create: bool,
    flags: int | None = None,
) -> None:
    """Make the session a member of a room, from now on or from a position on; `flags` are None if it sent none."""
    session = _session(request)
    if held > session.window:
        context.directory.vacate(room)
        raise errors.Malformed(f"join: {held} notifications held, the window is {session.window}")
    start = None if position is None else Position(*position)
    if start is None or room.reaches(start):
        _enter(context, request, room, number, start, held, flags)
        return
    context.replies.owed += 1
    room.pending += 1
    context.joins.begin(session, room.folded)
    context.store.locate(room.name, partial(_located, context, request, room, number, start, held, flags))


def _located(
    context: Context, request: Request, room: Room, number: int, start: Position, held: int, flags: int | None
) -> None:
    """Go on with a join once everything about the room's log is known."""
    context.replies.owed -= 1
    room.pending -= 1
    context.joins.end(_session(request), room.folded)
    if context.replies.waits(request):
        try:
            context.access.check(request.peer, Right.JOIN, room, room.name)  # the rules may have changed meanwhile
            _enter(context, request, room, number, start, held, flags)
        except errors.Refused as error:
            context.replies.refuse(request, error)
    context.directory.vacate(room)


def _enter(
    context: Context, request: Request, room: Room, number: int, start: Position | None, held: int, flags: int | None
) -> None:
    session = _session(request)
    old = session.members.get(room)
    if old is None:
        if len(session.members) >= limits.MAX_MEMBERSHIPS:
            context.directory.vacate(room)
            raise errors.LimitReached(f"a session is in {limits.MAX_MEMBERSHIPS} rooms at most; leave one")
        context.access.check_place(session, room, start)
    if old is not None and number <= old.join:
        raise errors.Malformed(f"join: number {number} is not above {old.join}, that of the join before")
    if start is None:
        start = Position(room.epochs.at(room.last), room.last)
    gap = _gap(room, start)
    floor = context.access.floor(session, room)
    if floor > (start.seq if gap is None else gap.upto):
        gap = withheld(room, start.seq, floor, gap)
    honoured = None if flags is None else flags & (LOG | PRESENT | OWN)
    asked = JOIN_FLAGS if honoured is None else honoured
    member = Member(session, room, number, start.seq if gap is None else gap.upto, held, asked)
    member.covered = start.seq
    member.gap = gap
    session.members[room] = member
    context.pusher.joined(member, old)
    if asked & PRESENT:
        context.presence.arrive(session, room)
    else:
        context.presence.watch(session, room)
    joined = Joined(room.name, start.epoch, start.seq, room.first, room.last, session.window, gap is not None, honoured)
    context.replies.answer_frame(request, encode_joined(request.number, joined))
    context.state_frames.joined(member)


def _gap(room: Room, start: Position) -> Gap | None:
    parted = room.epochs.parted(start, room.last)
    if parted is not None:
        reason, upto = parted
        return Gap(room.name, start.seq, max(upto, room.first - 1), reason)
    if start.seq < room.first - 1:
        return Gap(room.name, start.seq, room.first - 1, GapReason.TRIMMED)
    return None


def leave(context: Context, request: Request, member: Member, number: int) -> None:
    """End a membership; a leave of an earlier join changes nothing."""
    if member.join == number:
        context.sessions.leave(member.session, member.room)
    context.replies.answer(request, Left())


def history(context: Context, request: Request, room: Room, after: int | None, before: int | None, limit: int) -> None:
    """Read a part of a room's log: the oldest after `after`, else the newest before `before`."""
    context.replies.refuse_if_overloaded()
    end = room.last if before is None else min(before - 1, room.last)
    if after is None:
        after = end - limit
    after = max(after, room.first - 1)
    upto = min(end, after + min(limit, limits.HISTORY_MESSAGES))
    if upto <= after:
        context.replies.answer_frame(
            request, encode_history(request.number, HistoryPage(room.name, 0, after, after, False, []))
        )
        return
    context.replies.owed += 1
    session = _session(request)
    session.reading += 1
    size = limits.HISTORY_BYTES
    if context.shares.is_over(session.account, context.now):
        size = min(size, limits.SHORT_PAGE_BYTES)
    context.store.read(room.name, after, upto, size, partial(_page, context, request, room, after, upto, end, limit))


def _page(
    context: Context,
    request: Request,
    room: Room,
    after: int,
    upto: int,
    end: int,
    limit: int,
    page: contract.LogPage | contract.Full | contract.Failed,
) -> None:
    session = _session(request)
    context.replies.owed -= 1
    session.reading -= 1
    if session.asked:  # they wait until the client has read what was sent, of which this may be the last
        context.state_frames.prove(session)
    try:
        context.access.check(request.peer, Right.READ, room, room.name)  # that may have been taken meanwhile
    except errors.Refused as error:
        context.replies.refuse(request, error)
        return
    if context.pipes.overloaded and not isinstance(page, contract.Failed):
        page = contract.Full("too many answers wait to be sent")
    match page:
        case contract.LogPage(blocks):
            context.log_lines.well("reading history")
            if not blocks and upto < end:  # trimmed meanwhile: what is kept begins further on
                context.replies.owed += 1
                session.reading += 1
                going_on = partial(_page, context, request, room, upto, end, end, limit)
                context.store.read(room.name, upto, end, 1, going_on)
                return
            if blocks:
                after = max(after, blocks[0].first - 1)
                upto = max(after, min(upto, blocks[-1].last, after + limit))
            more = upto < end and upto - after < limit and bool(blocks)
            found = [block.data for block in blocks]
            page_found = HistoryPage(room.name, room.epochs.at(upto), after, upto, more, found)
            frame = encode_history(request.number, page_found)
            seconds = limits.PAGE_SECONDS_A_BYTE + (limits.SENT_SECONDS_A_BYTE if request.peer.key is not None else 0.0)
            context.shares.used(session.account, len(frame) * seconds, context.now)
            context.replies.answer_frame(request, frame)
        case _:
            context.replies.refuse(request, not_done(context, page, "reading history", "read"))


def rooms(context: Context, request: Request, after: str | None, limit: int) -> None:
    """List rooms by name, from the one after `after` on."""
    context.replies.refuse_if_overloaded()
    folded = None if after is None else fold(after)
    context.listing.begin(request, folded, max(1, min(limit, limits.ROOMS_PAGE)))


def credit(context: Context, request: Request, member: Member | None, number: int, taken: int) -> None:
    """Count what a member has taken; credit of an earlier join, or of no member, changes nothing."""
    if member is None or member.join != number:
        context.counters.stale_credit += 1
    elif not context.pusher.credited(member, taken):
        raise errors.Malformed(f"credit for {taken} notifications of {member.room.name}, {member.sent} were sent")


def typing(context: Context, request: Request, member: Member | None, active: bool) -> None:
    """Show the others of a room that the user is typing, or has ended; of another room it changes nothing."""
    if member is not None:
        context.presence.type(member.session, member.room, active, context.now)


def set_read_mark(context: Context, request: Request, room: Room, seq: int) -> None:
    """Store how far the user has read a room; answers with the read mark that stands."""
    user = request.peer.user
    stands = room.read_marks.get(user, 0)
    if seq <= stands or not (room.last or room.pending):
        context.replies.answer(request, Marked(stands))
        return
    context.replies.owed += 1
    context.store.set_read_mark(room.name, user, seq, partial(_marked, context, request))


def _marked(context: Context, request: Request, outcome: contract.Marked | contract.Full | contract.Failed) -> None:
    context.replies.owed -= 1
    match outcome:
        case contract.Marked(seq):
            context.log_lines.well("storing read marks")
            context.counters.marks += 1
            context.replies.answer(request, Marked(seq))
        case _:
            context.replies.refuse(request, not_done(context, outcome, "storing read marks", "store"))


def members(context: Context, request: Request, room: Room, after: str | None, limit: int) -> None:
    """List the users in a room by name, from the one after `after` on."""
    context.replies.refuse_if_overloaded()
    folded = None if after is None else fold(after)
    if room.roster is None:
        context.replies.answer(request, MembersPage([], False))
    else:
        context.replies.answer(request, MembersPage(*room.roster.page(folded, max(1, min(limit, limits.MEMBERS_PAGE)))))


def stats(context: Context, request: Request, flags: int = 0) -> None:
    """Answer with the figures, and with those over all brokers if the flags ask for them."""
    context.replies.refuse_if_overloaded()
    figures = context.figures.read(context.now, request.peer.user)
    if flags & OVERALL:
        overall, brokers = context.broker_figures.read(context.now)
        figures = figures._replace(overall=overall, brokers=brokers)
    context.replies.answer_frame(request, encode_figures(request.number, figures))


def seen(context: Context, request: Request, number: int) -> None:
    """Record that the client has a state frame; another number than that of the one out changes nothing."""
    context.state_frames.seen(_session(request), number)


def ping(context: Context, request: Request) -> None:
    """Answer that the broker is there, and when to ping again if nothing else is said.

    Silent sessions are led to ping in the same moments, up to 200 in one: a broker that is woken
    for each ping alone pays five times as much for it.
    """
    moments = len(context.sessions.table.by_routing_id) // limits.PINGS_A_MOMENT + 1
    every = limits.PING_EVERY / moments
    wait = -context.now % every
    while wait < limits.PING_AFTER / 2:
        wait += every
    context.pipes.send_or_drop(request.peer, request.session, encode_pong(int(wait * 1000)))


def bye(context: Context, request: Request) -> None:
    """End the session; its producer is forgotten."""
    session = _session(request)
    context.replies.answer(request, Goodbye())
    context.sessions.end(session, None)
    context.store.forget(session.producer)


def _session(request: Request) -> Session:
    assert request.session is not None, "the table says that this command needs a session"
    return request.session


HANDLERS: dict[str, Callable[..., Rest | None]] = {
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
"""What carries out each command but those of moderation."""
