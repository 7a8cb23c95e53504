"""A member: one session's cursor and credit in one room."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from zchat.events import Gap

if TYPE_CHECKING:
    from zchat.broker.rooms.room import Room
    from zchat.broker.rooms.session import Session


class MemberState(Enum):
    """Say where a member stands.

    CAUGHT_UP: has been sent all. READY: on the list of those to serve. STARVED: has something
    to read and no credit. READING: waits for a page from the store. UNREAD: the store could
    not read, and is to be asked again. HELD: waits for its session's pipe. LEFT: no member any more.
    """

    CAUGHT_UP = "caught up"
    READY = "ready"
    STARVED = "starved"
    READING = "reading"
    UNREAD = "unread"
    HELD = "held"
    LEFT = "left"


class Member:
    """Keep one session's cursor and credit in one room.

    `cursor` is how far the log has been gone through for it, `covered` the `upto` of the last
    notification it was sent: own messages move the cursor and are not sent. `sent` and `taken`
    are running counts of notifications since the join; `out` holds the sizes of those between.
    `tries` counts the reads that failed in a row. `pictured` is the version of the room's roster
    that it was last sent, 0 for none.
    """

    __slots__ = (
        "covered",
        "cursor",
        "gap",
        "join",
        "out",
        "pictured",
        "producer",
        "room",
        "sent",
        "session",
        "state",
        "taken",
        "tries",
        "window",
    )

    def __init__(self, session: Session, room: Room, join: int, cursor: int, held: int) -> None:
        self.session = session
        self.room = room
        self.join = join
        self.producer = session.producer
        self.window = session.window
        self.cursor = cursor
        self.covered = cursor
        self.sent = held
        self.taken = 0
        self.out: deque[int] = deque([0] * held)
        self.gap: Gap | None = None
        self.state = MemberState.CAUGHT_UP
        self.tries = 0
        self.pictured = 0

    @property
    def behind(self) -> bool:
        """Tell whether there is something to send."""
        return self.cursor < self.room.last or self.gap is not None
