"""From notifications to messages: what a room's membership was sent, until the application takes it.

A notification comes whole from what drives the core; its blocks are decoded where the messages
are taken. How far that has come, and when credit goes back, the cursor knows. There are never
more notifications here than the window has. Nothing here waits: a face waits by the inbox's bell.

A reader takes nothing out but single messages, each with one call of an iterator that everyone can reach: what it
hasn't taken when an exception ends it, from a signal for example, is there for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from operator import attrgetter, length_hint
from typing import Any, Generic, TypeVar

from zchat.errors import GapError, ZchatError
from zchat.events import Gap
from zchat.messages import SAME_LOG, START, Batch, Message, Position
from zchat.protocol.faces.outcomes import Bell, fresh
from zchat.protocol.rooms.cursor import Cursor, Portion
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.removal import Removal
from zchat.protocol.rooms.roster import Roster
from zchat.wire.blocks import Run, run_of
from zchat.wire.notices import GapNotice, Push

B = TypeVar("B", bound=Bell)

_TAKEN: Iterator[Any] = iter(())
_NOTHING = Run("", _TAKEN, _TAKEN, (), (), ())
_UNOPENED = repeat(None, 1)  # nothing is ever taken from it: something is left


class Chunk:
    """The messages of one notification while they are taken, out of `messages`. A portion, as the cursor says."""

    __slots__ = ("another_log", "epoch", "messages", "next", "number", "push", "rest", "runs", "upto")

    # What makes one sets all of it, without a call: the receive thread's hot path.
    number: int
    epoch: int
    upto: int
    another_log: bool
    next: Portion | None
    rest: Iterator[object]
    push: Push | None
    """What it is made of, until it is opened."""
    messages: Iterator[Message]
    runs: list[Run]
    """What was made of it: the first one counts, others were made by readers that were slower."""

    def open(self, room: str) -> None:
        """Decode its blocks, unless that is done. Of several threads that do it the first one counts.

        Raises:
            ProtocolError: a block is malformed; the chunk is skipped.
        """
        push = self.push
        if push is None:
            return
        _, _, after, upto, blocks = push  # by position, once a notification: the readers' hot path
        try:
            run = run_of(room, blocks, after, upto)
        except ZchatError:
            self.upto = 0  # the position doesn't move over what can't be read
            self.runs.append(_NOTHING)
            self.messages, self.rest = iter(()), iter(())
            self.push = None
            raise
        self.runs.append(run)
        run = self.runs[0]
        self.messages = run.messages
        self.rest = run.bodies
        self.push = None

    def let_go(self) -> None:
        """Drop what was decoded, once all of it is taken: its memory is warm, and the next one's."""
        self.runs[0] = _NOTHING._replace(seqs=self.runs[0].seqs[-1:])  # in one step: others ask for the position
        self.messages = self.rest = _TAKEN

    @property
    def batches(self) -> Iterator[Batch]:
        """Return what gives all that isn't taken as one batch, in one step; nothing if all is."""
        return self.runs[0].batches(Position(self.epoch, self.upto))

    @property
    def begun(self) -> bool:
        """Return whether some of its messages are taken, and some are not."""
        return bool(length_hint(self.rest)) and self.last_taken is not None

    @property
    def last_taken(self) -> int | None:
        """Return the seq of the last message that was taken, None before the first."""
        if not self.runs:
            return None
        run = self.runs[0]
        index = len(run.seqs) - length_hint(run.bodies)
        return run.seqs[index - 1] if index else None


MESSAGES: Callable[[Chunk], Iterator[Message]] = attrgetter("messages")
"""What takes a notification message by message takes it out of this."""

BATCHES: Callable[[Chunk], Iterator[Batch]] = attrgetter("batches")
"""What takes all that is left of it together."""


class GapChunk:
    """A gap until it is taken, out of `messages`. A portion, as the cursor says."""

    __slots__ = ("another_log", "epoch", "messages", "next", "number", "rest", "upto")

    begun = False
    last_taken = None

    def __init__(self, number: int, room: str, notice: GapNotice) -> None:
        self.number = number
        self.another_log = notice.reason not in SAME_LOG
        self.messages = iter((Gap(room, notice.after, notice.upto, notice.reason),))
        self.rest: Iterator[object] = self.messages
        self.epoch = notice.epoch
        self.upto = notice.upto
        self.next: Portion | None = None

    def open(self, room: str) -> None:
        """Do nothing: there is nothing to decode."""


class LastChunk:
    """The end of a room alone, in its place after all that has come; for the rest as `GapChunk`.

    What takes messages raises `error`, each time; what takes events is given an event, once.
    """

    __slots__ = ("error", "messages", "next", "number", "rest")

    another_log = begun = False
    last_taken = None
    epoch = upto = 0  # no position moves over it

    def __init__(self, number: int, removal: Removal) -> None:
        self.number = number
        self.error = removal.error
        self.messages = iter((removal.event,))
        self.rest: Iterator[object] = self.messages
        self.next: Portion | None = None

    def open(self, room: str) -> None:
        """Do nothing: there is nothing to decode."""


class End:
    """The end of what comes in all rooms, or in one that the application has left, in its place in a queue."""

    __slots__ = ("error",)

    def __init__(self, error: ZchatError | None) -> None:
        self.error = error  # why, None if it was asked for


class Inbox(Generic[B]):
    """The notifications of one room that the application has yet to take; to the core it is the membership's feed.

    `bell` is what the face waits by: it rings when there is something to take, or never will be.
    """

    def __init__(
        self,
        bell: B,
        arrived: Callable[[Inbox[B]], None],
        credit: Callable[[Membership], None],
        mark: Callable[[Membership, int], None] | None = None,
    ) -> None:
        self.bell = bell
        self._arrived = arrived  # called for each notification, and when the roster has something to tell
        self._credit = credit  # called when credit is due
        self._mark = mark  # called with the seq up to which a room that keeps its mark by itself is read
        self.cursor = Cursor()
        self.roster = Roster(lambda: arrived(self))
        self.room = ""  # what the application calls it
        self.keeps_mark = False  # mark the room as read by itself
        self.left = False  # the application has left the room
        self.place: object = None  # the latest in the queue of the rooms that have something: that queue's
        self._membership: Membership | None = None
        self._last: Portion = self.cursor.beginning  # what came last
        self._front: Portion = self.cursor.beginning  # none before it has something left
        self._end: End | None = None
        self.over = False
        """True once nothing more comes beside what is there."""
        self._finished = 0  # the number of the latest for which all was done that is due
        self._marked = START  # up to where the room was marked as read by itself

    # -- what drives the core ------------------------------------------------------------------------

    def begin(self, membership: Membership) -> None:
        """Begin, or go on after a join that was made again."""
        self.room = membership.shown
        self._membership = membership

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification."""
        if isinstance(notice, Push):
            chunk = Chunk()
            chunk.number = self.cursor.received
            _, chunk.epoch, _, chunk.upto, _ = chunk.push = notice
            chunk.another_log = False
            chunk.next = None
            chunk.rest = _UNOPENED
            chunk.runs = []
            latest: Portion = chunk
        else:
            latest = GapChunk(self.cursor.received, self.room, notice)
        self._last.next = latest
        self._last = latest
        if self.bell.waiting:
            self.bell.ring()
        self._arrived(self)

    def moved(self) -> None:
        """Mark the room as read where the position has moved over own messages."""
        if self.keeps_mark and not self.waiting:
            self.mark_read()

    def removed(self, removal: Removal) -> None:
        """Record that nothing more comes in this room, and why."""
        self._last.next = LastChunk(self.cursor.received, removal)
        self.bell.ring()
        self._arrived(self)

    def end(self, error: ZchatError | None) -> None:
        """Record that nothing more comes: as asked (None), or why in no room."""
        if self._end is None:
            self._end = End(error)
            self.over = True
        self.bell.ring()
        self._arrived(self)

    def leave(self) -> None:
        """Record that the application has left the room."""
        self.left = True
        self.end(None)

    # -- the application --------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Return how far messages were taken, one by one."""
        return self.cursor.position

    @property
    def waiting(self) -> bool:
        """Return whether `take` would find something at once."""
        front = self._front
        return bool(length_hint(front.rest)) or front.next is not None

    @property
    def untouched(self) -> bool:
        """Return whether nothing was taken yet."""
        return not self.begun and not self.cursor.taken_now

    @property
    def begun(self) -> bool:
        """Return whether a notification is partly taken."""
        front = self._front
        return isinstance(front, Chunk) and front.begun

    @property
    def next(self) -> Portion | None:
        """Return what comes after all that was found so far, None before it has come. What waits asks for it."""
        return self._front.next

    def take(self, *, among_others: bool = False) -> Chunk | GapChunk | LastChunk | None:
        """Return what has the next messages, a gap, or the end of this room alone; None if there is nothing.

        It stays here until all of it is taken. `among_others`: the caller takes from all rooms, and learns elsewhere
        why all of them have ended.

        Raises:
            ConnectionLost, Refused, ProtocolError: why the connection has ended.
        """
        while True:
            chunk = self._front
            while not length_hint(chunk.rest) and (following := chunk.next) is not None:
                self._front = chunk = following
            if self.left:
                return None
            if length_hint(chunk.rest):
                assert isinstance(chunk, (Chunk, GapChunk, LastChunk))
                chunk.open(self.room)
                return chunk
            if chunk.number != self._finished:  # the reader that took the last of it was interrupted
                self.finish(chunk)
            end = self._end
            if chunk.next is not None:
                continue
            if end is not None and end.error is not None and not among_others:
                raise fresh(end.error)
            return None

    def interruption(self, portion: GapChunk | LastChunk) -> Exception | None:
        """Return what a reader of messages raises for a gap or the end of the room, None if another one has raised it.

        For the end of the room each one raises it.
        """
        if isinstance(portion, LastChunk):
            return fresh(portion.error)
        gap = next(portion.messages, None)
        self.finish(portion)
        return None if gap is None else GapError(gap.room, gap.after, gap.upto, gap.reason)

    def settle(self) -> None:
        """Ask for what is due once all of a notification is taken. Any thread."""
        self.finish(self._front)

    def finish(self, chunk: Portion) -> None:
        """Ask for credit if it is due, and have the room marked as read, once all of a chunk is taken."""
        if length_hint(chunk.rest) or not chunk.number:
            return
        cursor, membership = self.cursor, self._membership
        due = chunk.number - cursor.returned >= cursor.every
        if due and membership is not None:
            self._credit(membership)  # first: credit that is asked for twice does no harm, credit that isn't asked for
            cursor.returned = chunk.number  # is never returned
        if self.keeps_mark and (due or not self.waiting):
            self.mark_read()
        self._finished = chunk.number
        if isinstance(chunk, Chunk) and len(chunk.runs[0].seqs) > 1:
            chunk.let_go()

    def mark_read(self) -> None:
        """Have the room marked as read up to the position, if it keeps its mark by itself."""
        position = self.position
        if self.keeps_mark and self._mark is not None and self._membership is not None and position != self._marked:
            self._mark(self._membership, position.seq)
            self._marked = position
