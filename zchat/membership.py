"""A membership: one room that the client is in, over as many connections as it takes."""

from __future__ import annotations

from typing import Any, Protocol

from zchat.errors import ZchatError
from zchat.messages import Position
from zchat.own import OwnRanges


class Feed(Protocol):
    """Take what a room's membership is sent."""

    def begin(self, membership: Membership) -> None:
        """Take note that the room is joined, or joined again; comes before what it is sent."""

    def push(self, notice: list[Any]) -> None:
        """Take a notification, as `zchat.wire.decode_notice` returned it."""

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
        "sure",
        "taken",
        "upto",
    )

    def __init__(self, name: str, join: int, position: Position, mark: int, feed: Feed, *, sure: bool) -> None:
        self.name = name
        self.join = join
        self.position = position
        self.upto = position.seq
        self.mark = mark
        self.feed = feed
        self.sure = sure
        self.live = True
        self.left = False
        self.received = self.taken = self.base = 0
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
