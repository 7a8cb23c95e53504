"""Which direct rooms a client joins by itself because somebody has written there, and which invitations wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.messages import Position
from zchat.names import fold

MAX_INVITATIONS = 1_000
"""Invitations kept until the application takes events or joins: a session may be in no more rooms."""

MAX_INVITED = 500
"""Direct rooms that a client is in by itself: half of what a session may join is always the application's."""


class Invitation(NamedTuple):
    """What the broker said: a direct room, who has written there, where to begin to read."""

    room: str
    user: str
    position: Position


class Invitations:
    """The invitations that wait, and the rooms that the client is in, or is about to be, by itself.

    Rooms go by their folded names. `receive` is called by the core's thread, the rest by any:
    each changes one entry of a dictionary or set, which is atomic.
    """

    def __init__(self, *, wanted: bool, reported: bool = False, unmarked: bool = False) -> None:
        self._wanted = wanted
        self.reported = reported
        """True if they are reported, and none is taken up."""
        self.unmarked = unmarked
        """True if the application alone moves the read marks of these rooms."""
        self._accept: Callable[[], None] | None = None
        self.waiting: dict[str, Invitation] = {}
        """Those that nobody has taken up, oldest first."""
        self._guest_in: set[str] = set()

    # -- the core's thread -------------------------------------------------------------------------

    def receive(self, room: str, user: str, position: Position) -> None:
        """Keep an invitation, a later one in place of an earlier, and have it taken up if that has begun."""
        key = fold(room)
        if self._wanted and (key in self.waiting or len(self.waiting) < MAX_INVITATIONS):
            self.waiting[key] = Invitation(room, user, position)
            if self._accept is not None:
                self._accept()

    # -- any thread --------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Return whether `begin` was called."""
        return self._accept is not None

    def begin(self, accept: Callable[[], None]) -> None:
        """From now on have `accept` called, in the core's thread, with each invitation."""
        self._accept = accept

    @property
    def due(self) -> list[str]:
        """The rooms of invitations that the client may take up by itself now; none before `begin`."""
        return list(self.waiting) if self._accept is not None and len(self._guest_in) < MAX_INVITED else []

    def take(self, key: str) -> Invitation | None:
        """Return the invitation to a room that the application joins, None without one; it waits no longer."""
        return self.waiting.pop(key, None)

    def put_back(self, key: str, invitation: Invitation) -> None:
        """Keep an invitation whose room the application could not join, unless a later one has come."""
        self.waiting.setdefault(key, invitation)

    def take_up(self, key: str) -> Invitation | None:
        """Return the invitation to a room that the client now joins by itself.

        None if the application has taken it meanwhile, or the client is in MAX_INVITED rooms by itself.
        """
        if len(self._guest_in) >= MAX_INVITED:
            return None
        invitation = self.waiting.pop(key, None)
        if invitation is not None:
            self._guest_in.add(key)
        return invitation

    def left(self, key: str) -> None:
        """Record that the client isn't in a room any more, or could not join it: another has its place."""
        self._guest_in.discard(key)
