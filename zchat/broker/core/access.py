"""What a user may do: asked once a command, before it is carried out."""

from __future__ import annotations

from enum import Enum

from zchat.broker.port import Peer
from zchat.broker.rooms.room import Room
from zchat.wire.commands import Right


class Answer(Enum):
    """Whether something may be done; what is refused is refused with the code that is the value."""

    YES = "yes"
    NOT_ALLOWED = "not_allowed"
    NO_SUCH_ROOM = "no_such_room"


def judge(rights: int, right: Right) -> Answer:
    """Return whether something may be done that requires `right`, by one who has `rights`, as bits."""
    if rights & right:
        return Answer.YES
    return Answer.NOT_ALLOWED if rights & Right.SEE else Answer.NO_SUCH_ROOM


def check(peer: Peer, right: Right, room: Room | None) -> None:
    """Raise a `Refused` unless a peer has a right in a room; None: at the broker as a whole.

    There are no rules yet, so nothing is refused. That a direct room does not exist for others than its two users
    is no matter of rights: see `zchat.broker.rooms.directory`.
    """
