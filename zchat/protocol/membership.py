"""A membership: one room that the client is in, over as many connections as it takes."""

from __future__ import annotations

from math import inf
from typing import Protocol

from zchat.errors import Refused, ZchatError
from zchat.messages import Position
from zchat.protocol.own import OwnRanges
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
    """Take what a room's membership is sent."""

    @property
    def roster(self) -> View:
        """Return what takes the room's state."""

    def begin(self, membership: Membership) -> None:
        """Take note that the room is joined, or joined again; comes before what it is sent."""

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification."""

    def own(self, epoch: int, first: int, last: int) -> None:
        """Take note that own messages are stored there."""

    def end(self, error: ZchatError | None) -> None:
        """Take note that nothing more comes, and why."""


class Membership:
    """Keep one joined room: how far it has been sent, in which join, and what was taken.

    `upto` is where the last notification ended, `position` how far the log has been received:
    own messages, which aren't sent, move it too. `received` and `taken` count notifications since
    the first join, `base` those that were taken when the latest one was made. `live`: the latest
    join is answered. `sure`: no gap that a join began with is yet to come. `left`: it is over.
    `shown` is what the application calls the room. `typing`: the others were told that the user
    types, at `typed_at` for the last time.
    """

    __slots__ = (
        "_own",
        "base",
        "feed",
        "join",
        "left",
        "live",
        "mark",
        "name",
        "position",
        "received",
        "shown",
        "sure",
        "taken",
        "typed_at",
        "typing",
        "upto",
    )

    def __init__(self, name: str, join: int, position: Position, mark: int, feed: Feed, *, sure: bool) -> None:
        self.name = self.shown = name
        self.join = join
        self.position = position
        self.upto = position.seq
        self.mark = mark
        self.feed = feed
        self.sure = sure
        self.live = True
        self.left = False
        self.received = self.taken = self.base = 0
        self.typing = False
        self.typed_at = -inf
        self._own = OwnRanges()

    @property
    def epoch(self) -> int:
        """Return the epoch of the position."""
        return self.position.epoch

    def rejoin(self, join: int, mark: int) -> int:
        """Begin a join again with a window of `mark`; returns how many notifications are still held."""
        held = min(mark, self.received - self.taken)
        self.base = self.received - held
        self.join = join
        return held

    def rejoined(self, name: str, mark: int, *, sure: bool) -> None:
        """Take note that the join was answered."""
        self.name = name
        self.mark = mark
        self.upto = self.position.seq
        self.live = True
        self.sure = sure
        self._own.clear()  # they are of the log as it was

    def notified(self, epoch: int, upto: int) -> None:
        """Move over a notification."""
        self.received += 1
        self.upto = upto
        self.position = Position(epoch, upto)
        self.sure = True
        self._advance()

    def own(self, epoch: int, first: int, last: int) -> None:
        """Move over own messages once everything before them has come."""
        self._own.add(epoch, first, last)
        self._advance()

    def _advance(self) -> None:
        if self.sure:  # while a gap is on its way this log may be another one than the position's
            self.position = self._own.pass_over(self.position)
