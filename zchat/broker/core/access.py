"""What a user may do: asked once a command, before it is carried out."""

from __future__ import annotations

from zchat.broker.port import Peer
from zchat.broker.rooms.room import Room
from zchat.wire.commands import Right


def check(peer: Peer, right: Right, room: Room | None) -> None:
    """Raise a `Refused` unless a peer has a right in a room; None: at the broker as a whole.

    There are no rules yet, so nothing is refused. That a direct room does not exist for others than its two users
    is no matter of rights: see `zchat.broker.rooms.directory`.
    """
