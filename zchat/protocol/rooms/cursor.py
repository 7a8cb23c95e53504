"""How far one room is read: received from the broker, and taken by the application."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter, length_hint
from typing import Protocol, TypeAlias

from zchat.messages import Position

MAX_OWN_RANGES = 1_000
"""Ranges of own messages remembered that are not taken yet; beyond, a position waits for a notification."""

_first = itemgetter(1)

_Own: TypeAlias = tuple[int, int, int]
"""A range of own messages: epoch, first, last."""


class Portion(Protocol):
    """The messages of one notification, or a gap, on their way to the application; a link of a chain."""

    number: int  # which notification it is, from 1 on since the first join
    epoch: int
    upto: int
    another_log: bool  # a gap after which reading goes on in another log
    next: Portion | None
    rest: Iterator[object]  # what isn't taken: its `length_hint` is 0 once all is, and not before

    @property
    def last_taken(self) -> int | None:
        """Return the seq of the last message that was taken, None before the first."""


class _Beginning:
    """What stands before the first portion: taken, and without a place of its own."""

    number = epoch = upto = 0
    another_log = False
    last_taken = None

    def __init__(self) -> None:
        self.next: Portion | None = None
        self.rest: Iterator[object] = iter(())


class Cursor:
    """How far one room is read, over as many connections as it takes.

    The broker doesn't send a session its own messages, so both positions move over these once everything before them
    has come. Received is never less than taken: a room is joined again after what was received.

    What receives (the thread or the loop that runs the core) alone changes it, and appends portions to the chain that
    begins with `beginning`. What reads, in any thread, takes messages out of the portions and changes nothing else: how
    far that has come is seen in the portions themselves. So it may be interrupted anywhere, and ask for the `position`
    anywhere, and needs no lock.
    """

    __slots__ = (
        "_at",
        "_credited",
        "_epoch",
        "_gap_after",
        "_gap_before",
        "_notified",
        "_own",
        "_seen",
        "_seq",
        "_taken_epoch",
        "_taken_seq",
        "_window",
        "base",
        "beginning",
        "every",
        "received",
        "returned",
        "taken",
        "upto",
    )

    def __init__(self) -> None:
        self._epoch = self._seq = 0  # the position up to which the log is received
        self._notified = 0  # the seq at which the last notification ended
        self._gap_after = -1  # a gap comes after so many notifications, maybe of another log: a join began with it
        self._gap_before = -1  # the same of the gap before that, which has come and may not be taken yet
        self._credited = 0  # notifications for which credit was sent, or that a join counts as taken
        self._window = 0  # notifications that may be received beyond these
        self.upto = 0  # the seq after which the next notification begins
        self.received = 0  # notifications since the first join
        self.base = 0  # those of them that were taken when the latest join was made: its credit counts from here
        self.beginning: Portion = _Beginning()
        self._at: Portion = self.beginning  # the last portion that `taken` and the two below count
        self.taken = 0  # notifications since the first join
        self._taken_epoch = self._taken_seq = 0  # the position up to which all is taken
        self._own: list[_Own] = []  # own messages that neither of them counts yet, in order
        self._seen: tuple[int, int, Portion, tuple[_Own, ...], int] = (0, 0, self._at, (), -1)  # these, for all threads
        self.every = 1  # notifications for which credit is returned together
        self.returned = 0  # notifications for which credit was asked for, or that a join counts as taken

    # -- what receives -----------------------------------------------------------------------------

    @property
    def sure(self) -> bool:
        """Return whether the log is known to be the position's: no gap that a join began with is yet to come."""
        return self.received > self._gap_after

    @property
    def full(self) -> bool:
        """Return whether as many notifications are received as there was credit for."""
        return self.received >= self._credited + self._window

    @property
    def received_position(self) -> Position:
        """Return the position up to which the log is received."""
        return Position(self._epoch, self._seq)

    def begin(self, position: Position, window: int, *, gap: bool) -> None:
        """Begin to read after `position`, with at most `window` notifications untaken; `gap` if one comes first."""
        self._taken_epoch, self._taken_seq = self._epoch, self._seq = position
        self._notified = self.upto = self._seq
        self._window = window
        self.every = max(1, window // 2)
        self._gap_after = 0 if gap else -1
        self._show()

    def rejoin(self, window: int) -> int:
        """Return how many notifications are held, received and not taken, as a join is made again."""
        self._count_taken()
        held = min(window, self.received - self.taken)
        self.base = self._credited = self.received - held
        return held

    def rejoined(self, window: int, *, gap: bool) -> None:
        """Go on after what was received; the arguments are those of `begin`."""
        self.upto = self._seq
        self._window = window
        self._count_taken()
        if self._own:
            self._own.clear()  # the log may have lost them; what the join begins after it has
        if gap:
            if self._gap_after < self.received:
                self._gap_before = self._gap_after
            self._gap_after = self.received
        else:
            if self._notified < self._seq:
                self._own.append((self._epoch, self._notified + 1, self._seq))
            if self._gap_after == self.received:  # the gap that an earlier join began with never came
                self._gap_after = self._gap_before
            self._advance_taken()
        self._show()
        self.every = max(1, window // 2)
        self.returned = self.taken

    def receive(self, epoch: int, upto: int) -> bool:
        """Count a notification that ends at `upto`; True if it is the gap that a join began with."""
        first = self.received == self._gap_after
        self.received += 1
        self.upto = self._notified = self._seq = upto
        self._epoch = epoch
        if self._own:
            self._advance_received()
        return first

    def own(self, epoch: int, first: int, last: int) -> None:
        """Record that own messages are stored from `first` to `last`, the last of them in `epoch`."""
        own = self._own
        if own and own[-1][2] + 1 == first:
            own[-1] = (epoch, own[-1][1], last)
        else:
            if len(own) >= MAX_OWN_RANGES and own[0][2] <= self._seq:
                del own[0]
            if len(own) < MAX_OWN_RANGES:  # a block that was put off is answered after later ones
                insort(own, (epoch, first, last), key=_first)
        self._advance_received()
        if self._at.next is not None:
            self._count_taken()
        self._advance_taken()
        self._show()

    def credit(self) -> int:
        """Return the credit of the latest join, a running total, to be sent now; 0 if it hasn't grown."""
        self._count_taken()
        taken = self.taken
        if taken <= self._credited:
            return 0
        self._credited = taken
        return taken - self.base

    # -- what reads --------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Return how far messages were taken, one by one. Any thread, wherever it was interrupted."""
        return self._seen_position()

    def _seen_position(self) -> Position:
        epoch, seq, portion, own, gap_after = self._seen
        while (following := portion.next) is not None:
            if length_hint(following.rest):
                last = following.last_taken
                if last is not None:
                    return Position(following.epoch, last)
                break
            portion = following
            if portion.another_log or portion.upto > seq:  # else own messages were trimmed
                epoch, seq = portion.epoch, portion.upto
        if portion.number > gap_after:
            for own_epoch, first, last in own:
                if first > seq + 1:
                    break
                if last > seq:
                    epoch, seq = own_epoch, last
        return Position(epoch, seq)

    @property
    def taken_now(self) -> int:
        """Return how many notifications were taken to their end. Any thread."""
        portion = self._seen[2]
        while (following := portion.next) is not None and not length_hint(following.rest):
            portion = following
        return portion.number

    # -- within ------------------------------------------------------------------------------------

    def _count_taken(self) -> None:
        """Move over the portions that were taken to their end, and over the own messages that follow."""
        portion: Portion = self._at
        while (following := portion.next) is not None and not length_hint(following.rest):
            portion = following
            if portion.another_log or portion.upto > self._taken_seq:  # else own messages were trimmed
                self._taken_epoch, self._taken_seq = portion.epoch, portion.upto
        if portion is not self._at:
            self._at = portion
            self.taken = portion.number
            self._advance_taken()
            self._show()

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
                epoch, _, last = own.pop(0)
                if last > self._taken_seq:
                    self._taken_epoch, self._taken_seq = epoch, last

    def _show(self) -> None:
        """Let all threads see it, in one step."""
        self._seen = (self._taken_epoch, self._taken_seq, self._at, tuple(self._own), self._gap_after)
