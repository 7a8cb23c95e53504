"""From notifications to messages: what a room's membership was sent, until the application takes it.

A notification crosses from the receive thread whole; its blocks are decoded where the messages
are taken. How far that has come, and when credit goes back, the cursor knows. There are never
more notifications here than the window has.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import length_hint
from queue import Empty, SimpleQueue
from typing import Any

from zchat.client.waiting import Deadline
from zchat.errors import GapError, ZchatError
from zchat.events import Gap
from zchat.messages import START, GapReason, Message, Position
from zchat.protocol.cursor import Cursor
from zchat.protocol.membership import Membership
from zchat.protocol.outcomes import fresh
from zchat.protocol.roster import Roster
from zchat.wire.blocks import Run, run_of
from zchat.wire.notices import GapNotice, Push

_NOTHING = Run(iter(()), iter(()), ())


class Chunk:
    """The messages of one notification while they are taken, out of `messages`. A portion, as the cursor says."""

    __slots__ = ("_run", "another_log", "epoch", "messages", "number", "taken", "upto")

    def __init__(self, run: Run, number: int, epoch: int, upto: int, *, another_log: bool = False) -> None:
        self._run = run
        self.number = number
        self.another_log = another_log
        self.messages = run.messages
        self.epoch = epoch
        self.upto = upto
        self.taken = False

    @property
    def left(self) -> int:
        """Return how many messages are left."""
        return length_hint(self._run.bodies)

    @property
    def last_taken(self) -> int | None:
        """Return the seq of the last message that was taken, None before the first."""
        index = len(self._run.seqs) - self.left
        return self._run.seqs[index - 1] if index else None


class End:
    """The end of what comes, in its place in a queue."""

    __slots__ = ("error", "everywhere")

    def __init__(self, error: ZchatError | None, *, everywhere: bool = False) -> None:
        self.error = error  # why, None if it was asked for
        self.everywhere = everywhere  # all rooms end with it, not one alone


class Inbox:
    """The notifications of one room that the application has yet to take; to the core it is the membership's feed."""

    def __init__(
        self,
        arrived: Callable[[Inbox], None],
        credit: Callable[[Membership], None],
        mark: Callable[[Membership, int], None] | None = None,
    ) -> None:
        self._arrived = arrived  # called for each notification, and when the roster has something to tell
        self._credit = credit  # called when credit is due
        self._mark = mark  # called with the seq up to which a room that keeps its mark by itself is read
        lock = threading.Lock()
        self.cursor = Cursor(lock)
        self.roster = Roster(lambda: arrived(self), lock)
        self.room = ""  # what the application calls it
        self.keeps_mark = False  # mark the room as read by itself
        self.left = False  # the application has left the room
        self.queued = False  # it stands in the queue of the rooms that have something: that queue's
        self._membership: Membership | None = None
        self._queue: SimpleQueue[tuple[int, Push | GapNotice] | End] = SimpleQueue()  # what isn't opened yet, numbered
        self._set_aside: deque[Chunk] = deque()  # opened, and not taken to their end
        self._marked = START  # up to where the room was marked as read by itself

    # -- the receive thread ------------------------------------------------------------------------

    def begin(self, membership: Membership) -> None:
        """Begin, or go on after a join that was made again."""
        self.room = membership.shown
        self._membership = membership

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification."""
        self._queue.put((self.cursor.received, notice))
        self._arrived(self)

    def moved(self) -> None:
        """Mark the room as read where the position has moved over own messages."""
        if self.keeps_mark and not self.waiting:
            self.mark_read()

    def end(self, error: ZchatError | None, *, everywhere: bool = False) -> None:
        """Record that nothing more comes; `everywhere`: in no room."""
        self._queue.put(End(error, everywhere=everywhere))
        self._arrived(self)

    # -- the application's threads -----------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Return how far messages were taken, one by one."""
        return self.cursor.position

    @property
    def waiting(self) -> bool:
        """Return whether `take` would find something at once."""
        return bool(self._set_aside) or not self._queue.empty()

    def messages(self, timeout: float | None) -> Iterator[Message]:
        """Yield messages until nothing came for `timeout` seconds (None: until the connection ends)."""
        while True:
            chunk = self.take(timeout)
            if chunk is None:
                return
            if isinstance(chunk, Gap):
                raise GapError(chunk.room, chunk.after, chunk.upto, chunk.reason)
            try:
                yield from chunk.messages
            finally:
                self.put_back(chunk)

    def take(self, timeout: float | None, *, among_others: bool = False) -> Chunk | Gap | None:
        """Return the next messages or gap; None after `timeout` seconds, or at an end that was asked for.

        `among_others`: the caller takes from all rooms, and learns elsewhere why all of them have ended.

        Raises:
            ConnectionLost, Refused, ProtocolError: why the connection has ended.
        """
        deadline = Deadline(timeout) if timeout else None
        while True:
            if self._set_aside:
                with suppress(IndexError):  # another thread was faster
                    return self._set_aside.popleft()
            try:
                left = deadline.left if deadline is not None else timeout
                item = self._queue.get(left != 0, left or None)
            except Empty:
                return None
            if isinstance(item, End):
                self._queue.put(item)  # for other threads that read
                if item.error is not None and not self.left and not (among_others and item.everywhere):
                    raise fresh(item.error)
                return None
            if self.left:
                continue
            number, notice = item
            if isinstance(notice, GapNotice):
                another_log = notice.reason != GapReason.TRIMMED
                self._skip(Chunk(_NOTHING, number, notice.epoch, notice.upto, another_log=another_log))
                return Gap(self.room, notice.after, notice.upto, notice.reason)
            _, epoch, after, upto, blocks = notice  # by position, once a notification: the readers' hot path
            return self._open(self.room, number, epoch, after, upto, blocks)

    def put_back(self, chunk: Chunk) -> None:
        """Keep what is left of a chunk for the next reader, or count it as taken."""
        if chunk.left:
            self._set_aside.append(chunk)
        else:
            self._finish(chunk)

    def _open(self, room: str, number: int, epoch: int, after: int, upto: int, blocks: list[Any]) -> Chunk:
        try:
            chunk = Chunk(run_of(room, blocks, after, upto), number, epoch, upto)
        except ZchatError:
            self._skip(Chunk(_NOTHING, number, epoch, 0))  # the position doesn't move over what can't be read
            raise
        self.cursor.open(chunk)
        return chunk

    def _skip(self, chunk: Chunk) -> None:
        self.cursor.open(chunk)
        self._finish(chunk)

    def _finish(self, chunk: Chunk) -> None:
        due = self.cursor.finish(chunk)
        if due and self._membership is not None:
            self._credit(self._membership)
        if self.keeps_mark and (due or not self.waiting):
            self.mark_read()

    def mark_read(self) -> None:
        """Have the room marked as read up to the position, if it keeps its mark by itself."""
        position = self.position
        if self.keeps_mark and self._mark is not None and self._membership is not None and position != self._marked:
            self._marked = position
            self._mark(self._membership, position.seq)
