"""A ticket: whom to answer, and what the handlers of commands ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zchat import errors
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.session import Session

if TYPE_CHECKING:
    from zchat.broker.core.core import Core


class Ticket(NamedTuple):
    """Say whom to answer: a session on the connection it had, and the request's number.

    `session` is None for a stranger, `request` for what isn't answered.
    """

    session: Session | None
    routing_id: bytes
    request: int | None


def session_of(ticket: Ticket) -> Session:
    """Return the session, of a command that needs one."""
    assert ticket.session is not None, "the table says that this command needs a session"
    return ticket.session


def member_of(core: Core, ticket: Ticket, name: str) -> Member:
    """Return the session's membership of a room; raises NoSuchRoom or NotAMember."""
    session = session_of(ticket)
    room = core.directory.find(name, session.folded)
    member = session.members.get(room)
    if member is None:
        raise errors.NotAMember(f"you are not in {room.name}: join it first")
    return member


def refuse_if_overloaded(core: Core) -> None:
    """Refuse what has a large answer while too many bytes of answers wait."""
    if core.pipes.overloaded:
        raise errors.Busy("too many answers wait to be sent; try again later")
