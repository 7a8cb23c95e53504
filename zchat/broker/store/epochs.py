"""Where the epochs of a room's log began, and what that says of a position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zchat.messages import GapReason, Position

MAX_EPOCHS = 1000
"""Epochs remembered a room, one for each restart that was followed by a message; older ones are unknown."""


class Epoch(NamedTuple):
    """An epoch and its first seq."""

    epoch: int
    first: int


class Epochs:
    """A room's epochs in their order, the newest last."""

    __slots__ = ("_epochs", "current")

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self._epochs = list(epochs)
        self.current = self._epochs[-1].epoch if self._epochs else 0
        """The newest epoch, 0 before the first message."""

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs)

    def begin(self, epoch: int, first: int) -> None:
        """Note that `epoch` begins at `first`; nothing happens if it is the newest already."""
        if epoch != self.current:
            self.current = epoch
            self._epochs.append(Epoch(epoch, first))
            del self._epochs[:-MAX_EPOCHS]

    def knows(self, epoch: int) -> bool:
        """Return whether an epoch is one of these."""
        return any(each.epoch == epoch for each in self._epochs)

    def at(self, seq: int) -> int:
        """Return the epoch that `seq` lies in: 0 before the first, the newest after the last."""
        for epoch, first in reversed(self._epochs):
            if first <= seq:
                return epoch
        return 0

    def parted(self, position: Position, last: int) -> tuple[str, int] | None:
        """Judge whether a position's past and this log's have parted.

        `last` is the log's last seq. Returns None if they have not, else the gap's reason and
        the seq after which reading goes on: for a lost tail the end of the position's epoch,
        for another log its end, as nothing says what of it the reader has seen.
        """
        if position.epoch == 0 and position.seq == 0:
            return None
        ends = [epoch.first - 1 for epoch in self._epochs[1:]] + [last]
        for (epoch, _), end in zip(self._epochs, ends, strict=False):
            if epoch == position.epoch:
                return None if position.seq <= end else (GapReason.TAIL_LOST, end)
        return GapReason.RESET, last
