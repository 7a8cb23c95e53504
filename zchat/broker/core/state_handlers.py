"""What the broker does for the commands that are about a room's state; see `zchat.broker.core.handlers`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from zchat import errors
from zchat.broker import limits
from zchat.broker.core.replies import Ticket, refuse_if_overloaded, session_of
from zchat.broker.rooms.room import Room
from zchat.broker.store import contract
from zchat.names import fold
from zchat.wire.replies import Marked, MembersPage

if TYPE_CHECKING:
    from zchat.broker.core.core import Core


def typing(core: Core, ticket: Ticket, name: str, active: bool) -> None:
    """Tell the others of a room that the user is typing, or has ended; of another room it changes nothing."""
    session = session_of(ticket)
    room = core.rooms.get(fold(name))
    if room is not None and room in session.members:
        core.presence.type(session, room, active, core.now)


def mark(core: Core, ticket: Ticket, name: str, seq: int) -> None:
    """Store how far the user has read a room; answers with the mark that stands."""
    user = session_of(ticket).folded
    room = core.directory.find(name, user)
    seq = min(seq, room.last)
    stands = room.marks.get(user, 0)
    if seq <= stands:
        core.answer(ticket, Marked(stands))
        return
    core.pending += 1
    core.store.mark(room.name, user, seq, partial(_marked, core, ticket, room, user))


def _marked(
    core: Core, ticket: Ticket, room: Room, user: str, outcome: contract.Marked | contract.Full | contract.Failed
) -> None:
    core.pending -= 1
    match outcome:
        case contract.Marked(seq):
            core.notes.well("storing read marks")
            core.counters.marks += 1
            core.presence.marked(room, user, seq)
            core.answer(ticket, Marked(seq))
        case contract.Full(reason):
            core.refuse(ticket, errors.Busy(f"{reason}; try again later"))
        case contract.Failed(reason):
            core.notes.trouble("storing read marks", reason)
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
    core.updates.seen(session_of(ticket), number)
