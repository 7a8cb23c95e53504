"""What must be true of a broker's core and a client's, whatever happened to them."""

from __future__ import annotations

from typing import Any

from tests.simulation.world import Violation
from zchat.broker import push
from zchat.broker.core import Core
from zchat.broker.limits import FENCED, MAX_REQUESTS
from zchat.broker.room import State


def require(condition: Any, what: str) -> None:
    """Raise a Violation unless the condition holds."""
    if not condition:
        raise Violation(what)


def check_core(core: Core) -> None:
    """Check what is true of a core between two turns: its bounds, and that its books agree."""
    pusher = core.pusher
    sessions = set(map(id, core.sessions.values()))
    require(sessions == set(map(id, core.tokens.values())), "sessions and tokens are not of the same sessions")
    require(len(core.sessions) == len(core.tokens), "a session is kept twice")
    require(len(core.fenced) <= FENCED, "too many fenced connections are remembered")
    in_flight = members = 0
    for routing_id, session in core.sessions.items():
        require(session.routing_id == routing_id and not session.ended, "a session is kept that has ended")
        require(0 <= session.unanswered <= MAX_REQUESTS, f"{session.unanswered} requests are unanswered")
        require(len(session.replies) <= session.unanswered, "more replies wait than were asked for")
        for room, member in session.members.items():
            members += 1
            require(core.rooms.get(room.folded) is room, f"{room.name} has members and isn't kept")
            require(member in room.members and member.session is session, f"a member of {room.name} is lost")
            out = member.sent - member.taken
            require(len(member.out) == out and 0 <= out <= session.mark, f"{out} notifications are out")
            in_flight += sum(member.out)
            if member.state is State.CAUGHT_UP:
                require(not member.behind and member in room.caught_up, f"{room.name}: {member.state} and behind")
    require(in_flight == pusher.in_flight, f"{pusher.in_flight} bytes are counted as out, and {in_flight} are")
    require(members == sum(len(room.members) for room in core.rooms.values()), "a room keeps a member that left")
    tails = sum(room.tail.cost for room in core.rooms.values())
    require(pusher._tail_bytes == tails, f"{pusher._tail_bytes} bytes are counted in tails, and {tails} are")
    bound = vars(push)["TAIL_BYTES"]  # as this seed has it
    for room in core.rooms.values():
        require(room.tail.cost <= bound or len(room.tail) == 1, f"{room.name}: the tail is too long")
        require(not room.idle, f"{room.name} holds nothing and is kept")
    require(
        core.directory.order == sorted(name for name, room in core.rooms.items() if not room.direct),
        "the list of rooms is not the rooms",
    )


def check_empty(core: Core) -> None:
    """Check that nothing is left of those who left."""
    pusher = core.pusher
    check_core(core)
    require(not core.sessions, f"{len(core.sessions)} sessions are left")
    require(not core.answers and not core.pending, "answers are left that nobody waits for")
    require(not pusher.in_flight, f"{pusher.in_flight} bytes are counted as out to nobody")
    require(not pusher._ready, "members are still on the list of those to serve")
    require(not core.pipes._retries, "full pipes are still tried again")
    for room in core.rooms.values():
        require(not room.members and not room.roster and not room.caught_up, f"{room.name} keeps who left")
        require(not room.pending, f"{room.name}: blocks are pending that were answered")
