"""A member: one session's cursor and credit in one room."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from zchat.events import Gap
from zchat.messages import SAME_LOG, GapReason
from zchat.wire.limits import JOIN_FLAGS, LOG, OWN

if TYPE_CHECKING:
    from zchat.broker.rooms.room import Room
    from zchat.broker.rooms.session import Session


class MemberState(Enum):
    """Where a member stands."""

    CAUGHT_UP = "caught up"
    """It has been sent all."""

    READY = "ready"
    """It is on the list of those to serve."""

    STARVED = "starved"
    """It has something to read and no credit."""

    READING = "reading"
    """It waits for a page from the store."""

    UNREAD = "unread"
    """The store could not read for it, and is to be asked again."""

    HELD = "held"
    """It waits for its session's pipe."""

    APART = "apart"
    """It is not sent the log."""

    LEFT = "left"
    """It is no member any more."""


class Member:
    """One session's cursor and credit in one room.

    `join` is the number of its join, `held` how many notifications of an earlier join the application still has,
    `flags` what the join asked for.
    """

    __slots__ = (
        "counted",
        "covered",
        "cursor",
        "flags",
        "gap",
        "join",
        "out",
        "producer",
        "room",
        "roster_version",
        "sent",
        "session",
        "state",
        "taken",
        "tries",
        "window",
    )

    def __init__(
        self, session: Session, room: Room, join: int, cursor: int, held: int, flags: int = JOIN_FLAGS
    ) -> None:
        self.session = session
        self.room = room
        self.join = join
        self.producer = b"" if flags & OWN else session.producer
        """Whose blocks it isn't sent: nobody's if it asked for its own too."""
        self.flags = flags
        self.window = session.window
        self.cursor = cursor
        """How far the log has been gone through for it: its own messages move the cursor and are not sent."""
        self.covered = cursor
        """The `upto` of the last notification that it was sent."""
        self.sent = held
        """Notifications sent since the join, those held among them."""
        self.taken = 0
        """Notifications that the client has taken since the join."""
        self.out = [0] * held
        """The sizes of the notifications between these."""
        self.gap: Gap | None = None
        """The gap that comes next."""
        self.state = MemberState.CAUGHT_UP
        self.tries = 0
        """Reads that failed in a row."""
        self.roster_version = 0
        """The version of the room's roster that it was last sent, 0 for none."""
        self.counted = False
        """True if that held counts alone, as the member may not receive names."""

    @property
    def follows(self) -> bool:
        """True if it is sent the log; else at most the gap that its join begins with."""
        return bool(self.flags & LOG)

    @property
    def behind(self) -> bool:
        """True if there is something to send."""
        return self.gap is not None or (self.follows and self.cursor < self.room.last)


def withheld(room: Room, after: int, upto: int, gap: Gap | None) -> Gap:
    """Return the gap that stands for what a member may not read; `gap` is the one that was to come in its place."""
    reason = GapReason.WITHHELD if gap is None or gap.reason in SAME_LOG else gap.reason
    return Gap(room.name, after, upto, reason)
