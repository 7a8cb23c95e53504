"""What must be true of a broker's core and a client's, whatever happened to them."""

from __future__ import annotations

from typing import Any

from tests.promises.simulation.world import Violation
from zchat.broker.core.core import Core
from zchat.broker.delivery import pusher as delivery
from zchat.broker.limits import MAX_MEMBERSHIPS, MAX_REQUESTS
from zchat.broker.rooms import roster
from zchat.broker.rooms.member import MemberState
from zchat.broker.rooms.room import Room
from zchat.broker.store.redis.store import RedisStore
from zchat.wire.limits import PRESENT


def require(condition: Any, what: str) -> None:
    """Raise a Violation unless the condition holds."""
    if not condition:
        raise Violation(what)


def check_core(core: Core) -> None:
    """Check what is true of a core between two turns: its bounds, and that its books agree."""
    if core._removal.waiting:
        return  # some that have ended are yet to be taken out of their rooms
    context = core.context
    pusher, table, rooms = context.pusher, context.sessions.table, context.directory.rooms
    sessions = set(map(id, table.by_routing_id.values()))
    require(sessions == set(map(id, table.by_token.values())), "sessions and tokens are not of the same sessions")
    require(len(table.by_routing_id) == len(table.by_token), "a session is kept twice")
    in_flight = members = 0
    for routing_id, session in table.by_routing_id.items():
        require(session.peer.routing_id == routing_id and not session.ended, "a session is kept that has ended")
        require(0 <= session.unanswered <= MAX_REQUESTS, f"{session.unanswered} requests are unanswered")
        require(
            sum(answers for _, answers in session.replies) <= session.unanswered,
            "more replies wait than were asked for",
        )
        for room, member in session.members.items():
            members += 1
            require(rooms.get(room.folded) is room, f"{room.name} has members and isn't kept")
            require(member in room.members and member.session is session, f"a member of {room.name} is lost")
            out = member.sent - member.taken
            require(len(member.out) == out and 0 <= out <= session.window, f"{out} notifications are out")
            in_flight += sum(member.out)
            require(member.follows or member.state is not MemberState.CAUGHT_UP, f"{room.name}: told all of the log")
            if member.state is MemberState.CAUGHT_UP:
                require(not member.behind and member in room.caught_up, f"{room.name}: {member.state} and behind")
    require(in_flight == pusher.in_flight, f"{pusher.in_flight} bytes are counted as out, and {in_flight} are")
    require(members == sum(len(room.members) for room in rooms.values()), "a room keeps a member that left")
    tails = sum(room.tail.cost for room in rooms.values())
    require(pusher._tail_bytes == tails, f"{pusher._tail_bytes} bytes are counted in tails, and {tails} are")
    bound = vars(delivery)["TAIL_BYTES"]  # as this seed has it
    for room in rooms.values():
        require(room.tail.cost <= bound or len(room.tail) == 1, f"{room.name}: the tail is too long")
        require(not room.idle, f"{room.name} holds nothing and is kept")
    require(
        context.directory.order == sorted(name for name, room in rooms.items() if not room.direct),
        "the list of rooms is not the rooms",
    )
    check_rosters(core)
    check_updates(core)


def check_rosters(core: Core) -> None:
    """Check that the books about who is here, who types and how far each has read agree."""
    presence, directory, table = core.context.presence, core.context.directory, core.context.sessions.table
    rooms = directory.rooms
    here: dict[Room, dict[str, int]] = {}
    users: dict[str, set[int]] = {}
    behind = [session for session in presence._returning if session.ended]  # they went on at another broker
    for session in behind:
        for room in session.present:
            counts = here.setdefault(room, {})
            counts[session.peer.user] = counts.get(session.peer.user, 0) + 1
    for session in table.by_token.values():
        users.setdefault(session.peer.user, set()).add(id(session))
        require(len(session.present) <= MAX_MEMBERSHIPS, f"{session.user} is in {len(session.present)} rooms")
        seen = {room for room, member in session.members.items() if member.flags & PRESENT}
        unseen = session.members.keys() - seen
        require(seen <= session.present.keys(), f"a member is not here: {session.user}")
        require(not unseen & session.present.keys(), f"a member is here who isn't to be: {session.user}")
        require(session.present.keys() == seen or session in presence._returning, "who is gone is here")
        for room in session.present:
            counts = here.setdefault(room, {})
            counts[session.peer.user] = counts.get(session.peer.user, 0) + 1
    require(
        {user: set(map(id, sessions)) for user, sessions in table.by_user.items()} == users, "users are not sessions'"
    )
    require(not behind or isinstance(core.context.store, RedisStore), "one who has left is waited for")
    bound = vars(roster)["TOMBSTONES"]
    typing = 0
    for room in rooms.values():
        book = room.roster
        if book is None:
            require(room not in here, f"{room.name} has no roster, and somebody is here")
            continue
        people = book.people
        sessions_here = {user: each.sessions for user, each in people.items() if each.sessions}
        require(all(each.sessions or each.elsewhere for each in people.values()), f"{room.name}: somebody is nowhere")
        require(sessions_here == here.get(room, {}), f"{room.name}: the roster")
        require(people or room.members, f"{room.name}: a roster that nobody is on and nobody receives")
        require(book._order == sorted(people), f"{room.name}: the list of people is not the people")
        require(book.typing == sum(each.typing for each in people.values()), f"{room.name}: who types is miscounted")
        at_end = {user for user, each in people.items() if 0 < each.read_mark == room.last}
        require(book.at_end == at_end, f"{room.name}: {book.at_end} are at the end, and {at_end} have read it")
        require(
            all(each.read_mark == room.read_marks.get(user, 0) for user, each in people.items()), f"{room.name}: a mark"
        )
        require(all(seq <= room.last for seq in room.read_marks.values()), f"{room.name}: a mark is beyond the end")
        least = book._names * 3 // 4 if book.crowd else -1
        require(least < len(people) <= (len(people) if book.crowd else book._names), f"{room.name}: names or counts")
        require(len(book._gone) <= bound and not (book._gone.keys() & people), f"{room.name}: who has gone")
        for user, each in people.items():
            if each.typing:
                typing += 1
                require(presence._typing.get(each, (0, None, ""))[1:] == (room, user), f"{room.name}: {user} types on")
    require(len(presence._typing) == typing, "somebody types who isn't here")
    directs: dict[str, list[str]] = {}
    for name, room in rooms.items():
        for user in room.direct:
            directs.setdefault(user, []).append(name)
    require({user: sorted(names) for user, names in directs.items()} == directory.directs, "direct rooms are lost")


def check_updates(core: Core) -> None:
    """Check that each who is to receive something is on a list, or is waited for."""
    updates, rooms = core.context.state_frames, core.context.directory.rooms
    table = core.context.sessions.table
    due = [id(room) for _, _, room in updates._flushes]
    require(len(due) == len(set(due)), "a room is scheduled twice")
    queued = list(map(id, updates.ready))
    require(len(queued) == len(set(queued)), "a session is queued twice")
    for session in table.by_routing_id.values():
        require(session.shown in (0, session.frames), f"{session.shown} is out of {session.frames}")
        require(session.queued == (id(session) in queued), "a session is queued, or not")
        require(len(session.invitations) <= MAX_MEMBERSHIPS, "too many invitations")
        require(all(session.members.get(each.room) is each for each in session.stale), "who left is to be reported")
        waits = session.queued or session.shown or session.blocked or session.gone
        require(waits or not (session.stale or session.invitations), f"{session.user} is never told")
        for room, member in session.members.items():
            assert room.roster is not None
            told = member.roster_version == room.roster.version or room.scheduled or member in session.stale
            require(told, f"{session.user} has an old picture of {room.name} for ever")
    for room in rooms.values():
        require(room.scheduled == (id(room) in due), f"{room.name} is scheduled, or not")


def check_empty(core: Core) -> None:
    """Check that nothing is left of those who left."""
    context = core.context
    pusher, table, rooms = context.pusher, context.sessions.table, context.directory.rooms
    check_core(core)
    require(not table.by_routing_id, f"{len(table.by_routing_id)} sessions are left")
    require(context.replies.settled, "answers are left that nobody waits for")
    require(not pusher.in_flight, f"{pusher.in_flight} bytes are counted as out to nobody")
    require(not pusher.ready, "members are still on the list of those to serve")
    require(not context.pipes._retries, "full pipes are still tried again")
    require(not context.presence._typing and not context.presence._returning, "who left is waited for")
    require(not context.state_frames.ready and not context.state_frames._flushes, "somebody is to learn who left")
    require(not table.by_user, "users are left without sessions")
    for room in rooms.values():
        require(not room.members and not room.roster and not room.caught_up, f"{room.name} keeps who left")
        require(not room.pending, f"{room.name}: blocks are pending that were answered")
