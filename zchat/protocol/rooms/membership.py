"""A membership: one room that the client is in, over as many connections as it takes."""

from __future__ import annotations

from math import inf
from typing import Protocol

from zchat.errors import Refused
from zchat.messages import Position
from zchat.protocol.rooms.cursor import Cursor
from zchat.protocol.rooms.removal import Removal
from zchat.protocol.rooms.roster import Roster
from zchat.wire.limits import JOIN_FLAGS
from zchat.wire.notices import GapNotice, Push


class Feed(Protocol):
    """What a room's membership is sent, on its way to the application."""

    @property
    def cursor(self) -> Cursor:
        """Return how far the room is read."""

    @property
    def roster(self) -> Roster:
        """Return who is here."""

    def begin(self, membership: Membership) -> None:
        """Record that the room is joined, or joined again; comes before what it is sent."""

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification; the cursor has counted it."""

    def moved(self) -> None:
        """Record that own messages are stored, over which the cursor has moved, or will."""

    def removed(self, removal: Removal) -> None:
        """Record that nothing more comes, and why."""


class Membership:
    """One joined room. The core alone changes it; other threads may read it."""

    __slots__ = (
        "began", "cursor", "feed", "flags", "join", "left", "live", "name", "removed", "shown", "typed_at", "typing",
    )  # fmt: skip

    def __init__(self, name: str, shown: str, join: int, feed: Feed, flags: int = JOIN_FLAGS) -> None:
        self.name = name  # as the broker writes it
        self.shown = shown  # what the application calls the room
        self.join = join  # the number of the latest join
        self.feed = feed
        self.flags = flags  # what it is sent, and whether it counts as here, as in `zchat.wire.limits`
        self.cursor = feed.cursor
        self.began: Position | None = None  # where in the log it begins, None until the gap has come that says so
        self.live = True  # the latest join is answered, over the connection that there is
        self.left = False  # it is over: left, or the user was removed
        self.removed: Refused | None = None  # why, in the latter case
        self.typing = False  # the others see that the user is typing
        self.typed_at = -inf  # when, for the last time
