"""How far one room is read: received from the broker, and taken by the application."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from contextlib import AbstractContextManager
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from zchat.messages import Position

MAX_OWN_RANGES = 1_000
"""Ranges of own messages remembered that are not taken yet; beyond, a position waits for a notification."""

_first = itemgetter(1)
_number = attrgetter("number")


class Portion(Protocol):
    """The messages of one notification, or a gap, on their way to the application."""

    number: int  # which notification it is, from 1 on since the first join
    epoch: int
    upto: int
    another_log: bool  # a gap after which reading goes on in another log
    taken: bool  # to its end

    @property
    def last_taken(self) -> int | None:
        """Return the seq of the last message that was taken, None before the first."""


class Cursor:
    """How far one room is read, over as many connections as it takes.

    The broker doesn't send a session its own messages, so both positions move over these once everything before them
    has come. Received is never less than taken: a room is joined again after what was received.

    What receives (the thread or the loop that runs the core) calls `begin`, `rejoin`, `rejoined`, `receive`, `own` and
    `credit`; what reads, in any thread, calls `open` and `finish`; anything may ask for `position`. `lock` guards
    what both sides change: the face gives one, or nothing that locks if all of this is called in one thread.
    """

    __slots__ = (
        "_begun",
        "_credited",
        "_epoch",
        "_every",
        "_gap_after",
        "_lock",
        "_moved_over",
        "_notified",
        "_own",
        "_returned",
        "_seq",
        "_taken_epoch",
        "_taken_seq",
        "base",
        "received",
        "taken",
        "upto",
    )

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        # Changed by what receives alone.
        self._epoch = self._seq = 0  # the position up to which the log is received
        self._notified = 0  # the seq at which the last notification ended
        self._gap_after = -1  # a gap comes after so many notifications, maybe of another log: a join began with it
        self._credited = 0  # notifications for which credit was sent, or that a join counts as taken
        self.upto = 0  # the seq after which the next notification begins
        self.received = 0  # notifications since the first join
        self.base = 0  # those of them that were taken when the latest join was made: its credit counts from here
        # Changed by what reads, under the lock.
        self._begun: deque[Portion] = deque()  # opened, and not moved over yet, by number
        self._moved_over = 0  # the number of the last that the position has moved over
        self._taken_epoch = self._taken_seq = 0  # the position up to which all is taken
        self.taken = 0  # notifications since the first join
        # Changed by both, under the lock.
        self._own: deque[tuple[int, int, int]] = deque()  # own messages not taken yet: epoch, first, last, in order
        self._returned = 0  # notifications for which credit was asked for, or that a join counts as taken
        self._every = 1  # notifications for which credit is returned together

    # -- what receives -----------------------------------------------------------------------------

    @property
    def sure(self) -> bool:
        """Return whether the log is known to be the position's: no gap that a join began with is yet to come."""
        return self.received > self._gap_after

    @property
    def received_position(self) -> Position:
        """Return the position up to which the log is received."""
        return Position(self._epoch, self._seq)

    def begin(self, position: Position, window: int, *, gap: bool) -> None:
        """Begin to read after `position`, with at most `window` notifications untaken; `gap` if one comes first."""
        self._taken_epoch, self._taken_seq = self._epoch, self._seq = position
        self._notified = self.upto = self._seq
        self._every = max(1, window // 2)
        self._gap_after = 0 if gap else -1

    def rejoin(self, window: int) -> int:
        """Return how many notifications are held, received and not taken, as a join is made again."""
        held = min(window, self.received - self.taken)
        self.base = self._credited = self.received - held
        return held

    def rejoined(self, window: int, *, gap: bool) -> None:
        """Go on after what was received; the arguments are those of `begin`."""
        self.upto = self._seq
        with self._lock:
            self._own.clear()  # the log may have lost them; what the join begins after it has
            if gap:
                self._gap_after = self.received
            else:
                if self._notified < self._seq:
                    self._own.append((self._epoch, self._notified + 1, self._seq))
                if self._gap_after == self.received:  # the gap that an earlier join began with never came
                    self._gap_after = -1
                self._advance_taken()
            self._every = max(1, window // 2)
            self._returned = self.taken

    def receive(self, epoch: int, upto: int) -> bool:
        """Count a notification that ends at `upto`; True if it is the gap that a join began with."""
        first = self.received == self._gap_after
        self.received += 1
        self.upto = self._notified = self._seq = upto
        self._epoch = epoch
        if self._own:
            with self._lock:
                self._advance_received()
        return first

    def own(self, epoch: int, first: int, last: int) -> None:
        """Record that own messages are stored from `first` to `last`, the last of them in `epoch`."""
        with self._lock:
            own = self._own
            if own and own[-1][2] + 1 == first:
                own[-1] = (epoch, own[-1][1], last)
            else:
                if len(own) >= MAX_OWN_RANGES and own[0][2] <= self._seq:
                    own.popleft()
                if len(own) < MAX_OWN_RANGES:  # a block that was put off is answered after later ones
                    insort(own, (epoch, first, last), key=_first)
            self._advance_received()
            self._advance_taken()

    def credit(self) -> int:
        """Return the credit of the latest join, a running total, to be sent now; 0 if it hasn't grown."""
        taken = self.taken
        if taken <= self._credited:
            return 0
        self._credited = taken
        return taken - self.base

    # -- what reads --------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Return how far messages were taken, one by one. Any thread."""
        with self._lock:
            if self._begun and self._begun[0].number == self._moved_over + 1:
                portion = self._begun[0]
                last = portion.last_taken
                if last is not None:
                    return Position(portion.epoch, last)
            return Position(self._taken_epoch, self._taken_seq)

    def open(self, portion: Portion) -> None:
        """Begin to take a portion. Of several threads that take one each, a later one may come first."""
        with self._lock:
            begun = self._begun
            if begun and begun[-1].number > portion.number:
                insort(begun, portion, key=_number)
            else:
                begun.append(portion)

    def finish(self, portion: Portion) -> bool:
        """Move the position over what is taken to its end; True if credit is due: for half a window, together."""
        with self._lock:
            portion.taken = True
            begun = self._begun
            while begun and begun[0].taken and begun[0].number == self._moved_over + 1:
                done = begun.popleft()
                self._moved_over += 1
                if done.another_log or done.upto > self._taken_seq:  # else own messages were trimmed
                    self._taken_epoch, self._taken_seq = done.epoch, done.upto
            self.taken += 1
            if self._own:
                self._advance_taken()
            due = self.taken - self._returned >= self._every
            if due:
                self._returned = self.taken
            return due

    # -- under the lock ----------------------------------------------------------------------------

    def _advance_received(self) -> None:
        """Move over own messages that follow at once, unless a gap is yet to come: they may be of another log."""
        own = self._own
        if not own or own[-1][2] <= self._seq or self.received <= self._gap_after:
            return
        for index in range(max(0, bisect_right(own, self._seq + 1, key=_first) - 1), len(own)):
            epoch, first, last = own[index]
            if first > self._seq + 1:
                break
            if last > self._seq:
                self._epoch, self._seq = epoch, last

    def _advance_taken(self) -> None:
        """Move over own messages that follow at once, unless a gap is yet to be taken."""
        if self.taken > self._gap_after:
            own = self._own
            while own and own[0][1] <= self._taken_seq + 1:
                epoch, _, last = own.popleft()
                if last > self._taken_seq:
                    self._taken_epoch, self._taken_seq = epoch, last
