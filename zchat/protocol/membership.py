"""A membership: one room that the client is in, over as many connections as it takes."""

from __future__ import annotations

from math import inf
from typing import Protocol

from zchat.errors import Refused, ZchatError
from zchat.protocol.cursor import Cursor
from zchat.wire.notices import GapNotice, PersonEntry, Push


class View(Protocol):
    """Hold a room's state as the application sees it."""

    def begin(self, room: str, user: str) -> None:
        """Take note that `user` has joined the room, or joined it again: the next update is the first of a join."""

    def named(self, whole: bool, members: int, people: dict[str, PersonEntry | None], now: float) -> None:
        """Take who is here, by folded names: all of them if `whole`, else what has changed (None: gone)."""

    def crowded(self, members: int, typing: int, caught_up: int) -> None:
        """Take the counts of a room with too many members to name."""

    def marked(self, seq: int) -> None:
        """Take note that this session is who marks the room as read up to there."""

    def unmarked(self, error: Refused) -> None:
        """Take note that the broker will not store a mark, and why."""

    def expire(self, now: float) -> float:
        """Have those gone who did not come back in time; returns when to call again, infinity for never."""

    def lost(self) -> None:
        """Take note that the connection is lost."""


class Feed(Protocol):
    """What a room's membership is sent, on its way to the application."""

    @property
    def cursor(self) -> Cursor:
        """Return how far the room is read."""

    @property
    def roster(self) -> View:
        """Return what takes the room's state."""

    def begin(self, membership: Membership) -> None:
        """Record that the room is joined, or joined again; comes before what it is sent."""

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification; the cursor has counted it."""

    def moved(self) -> None:
        """Record that own messages are stored, over which the cursor has moved, or will."""

    def end(self, error: ZchatError | None) -> None:
        """Record that nothing more comes, and why."""


class Membership:
    """One joined room. The core alone changes it; other threads may read it."""

    __slots__ = ("cursor", "feed", "join", "left", "live", "name", "shown", "typed_at", "typing")

    def __init__(self, name: str, shown: str, join: int, feed: Feed) -> None:
        self.name = name  # as the broker writes it
        self.shown = shown  # what the application calls the room
        self.join = join  # the number of the latest join
        self.feed = feed
        self.cursor = feed.cursor
        self.live = True  # the latest join is answered, over the connection that there is
        self.left = False  # it is over: left, or not to be joined again
        self.typing = False  # the others were told that the user types
        self.typed_at = -inf  # when, for the last time
