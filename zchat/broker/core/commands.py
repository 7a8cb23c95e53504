"""What becomes of a command: it is found out what it is about and whether its user may, then its handler is called."""

from __future__ import annotations

from typing import Any

from zchat import errors
from zchat.broker.core.context import Context
from zchat.broker.core.handlers import HANDLERS
from zchat.broker.core.joining import Held
from zchat.broker.core.moderation import moderate
from zchat.broker.core.replies import Request, Rest
from zchat.broker.port import Peer
from zchat.broker.rooms.room import Room
from zchat.names import room_key
from zchat.wire.commands import COMMANDS, CommandSpec, Right, Target

_CREATE = [field.name for field in COMMANDS["join"].fields].index("create") - 2
"""Where the field is once the request's number and the room's name are taken out."""


def carry_out(context: Context, request: Request, word: str, spec: CommandSpec, fields: list[Any]) -> Rest | None:
    """Carry a command out; return what is left to do of it, None for nothing.

    Raises:
        Refused: its user may not, or it can't be done.
    """
    peer, session, _ = request
    if session is None or spec.target is Target.NOTHING:
        if spec.right is not Right.NOTHING:
            context.access.check_at_broker(peer, spec.right)
        return HANDLERS[word](context, request, *fields)
    if spec.right is Right.MODERATE:
        moderate(context, request, session, word, spec, fields)
        return None
    # The room's name comes first, and stands for a room or a membership, as the table says of the command. It is
    # checked before all else: whether a spelling is refused reveals nothing about the rooms there are.
    folded = room_key(fields[0])
    if context.joins.waiting and context.joins.hold(folded, Held(request, word, spec, fields)):
        return None
    name = fields.pop(0)
    if spec.target is not Target.MEMBER and spec.target is not Target.MEMBER_IF_ANY:
        return HANDLERS[word](context, request, _room(context, peer, spec, fields, name, folded), *fields)
    access, right = context.access, spec.right
    room = context.directory.rooms.get(folded)
    member = None if room is None else session.members.get(room)
    if spec.target is Target.MEMBER_IF_ANY:
        if member is not None and right is not Right.NOTHING and not access.may(peer.user, right, member.room):
            member = None
    elif member is None:
        room = context.directory.find(name, peer.user)
        access.check(peer, right or Right.SEE, room, name)
        raise errors.NotAMember(f"you are not in {room.name}: join it first")
    elif right is not Right.NOTHING:
        access.check(peer, right, member.room, name)
    return HANDLERS[word](context, request, member, *fields)


def _room(context: Context, peer: Peer, spec: CommandSpec, fields: list[Any], name: str, folded: str) -> Room:
    """Return the room that a command names, once its user may have that; it is made if the command says so."""
    access, directory = context.access, context.directory
    if spec.target is Target.MADE and fields[_CREATE]:
        if folded not in directory.rooms:
            access.check_making(peer, folded, name)
        room = directory.make(name, peer.user)
    else:
        room = directory.find(name, peer.user)
    if spec.right is not Right.NOTHING:
        try:
            access.check(peer, spec.right, room, name)
        except errors.Refused:
            directory.vacate(room)
            raise
    return room
