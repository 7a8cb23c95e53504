"""From notifications to messages: what a room's membership was sent, until the application takes it.

A notification crosses from the receive thread whole; its blocks are decoded where the messages
are taken. Credit goes back as notifications are taken to their end, every half window or once
none is left. There are never more of them here than the high-water mark.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from queue import Empty, SimpleQueue
from typing import Any

from zchat.client.waiting import Deadline, fresh
from zchat.errors import GapError, ZchatError
from zchat.events import Gap
from zchat.messages import GapReason, Message, Position
from zchat.protocol.membership import Membership
from zchat.protocol.own import OwnRanges
from zchat.protocol.roster import Roster
from zchat.wire.blocks import Run, run_of
from zchat.wire.notices import GapNotice, Push

_NOTHING = Run(iter(()), iter(()), ())


class Chunk:
    """Hold the messages of one notification while they are being taken, out of `messages`."""

    __slots__ = ("_run", "another_log", "epoch", "messages", "taken", "upto")

    def __init__(self, run: Run, epoch: int, upto: int, *, another_log: bool = False) -> None:
        self._run = run
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
    """Stand in a queue for the end of the connection: asked for (None), or why.

    `everywhere`: all rooms end with it, not this one alone.
    """

    __slots__ = ("error", "everywhere")

    def __init__(self, error: ZchatError | None, *, everywhere: bool = False) -> None:
        self.error = error
        self.everywhere = everywhere


class Inbox:
    """Hand a room's messages to the application; to the core it is the membership's feed.

    `credit` is called with the membership and the running count of notifications taken, when
    some should be returned; `arrived` for each notification and when `roster`, the room's state,
    has something to tell, so that who waits for any room learns of it. `queued` is his: whether
    the reading stands in his queue. `pushed` and `taken` count notifications. `mark` is called
    with the membership and a seq when a room that `keeps_mark` is read so far.
    """

    def __init__(
        self,
        arrived: Callable[[Inbox], None],
        credit: Callable[[Membership, int], None],
        mark: Callable[[Membership, int], None] | None = None,
    ) -> None:
        self.roster = Roster(lambda: arrived(self))
        self.keeps_mark = False
        self._mark = mark
        self.room = ""
        self.left = False
        self.queued = False
        self._membership: Membership | None = None
        self._arrived = arrived
        self._credit = credit
        self._queue: SimpleQueue[Push | GapNotice | End] = SimpleQueue()
        self._lock = threading.Lock()
        self._begun: deque[Chunk] = deque()
        self._set_aside: deque[Chunk] = deque()
        self._own = OwnRanges()
        self._position = Position(0, 0)
        self.pushed = 0
        self._pushed_upto = 0
        self._sure_after = -1
        self.taken = 0
        self._returned = 0
        self._every = 1
        self._marked = Position(0, 0)

    # -- the receive thread ------------------------------------------------------------------------

    def begin(self, membership: Membership) -> None:
        """Start behind the position where the membership does, with its window; or go on with a new window."""
        with self._lock:
            position = membership.position
            if self._membership is None:
                self._position = position
                self._pushed_upto = position.seq
            self._own.clear()  # the log may have lost them; what the join begins behind it has
            if membership.sure and self._pushed_upto < position.seq:
                self._own.add(position.epoch, self._pushed_upto + 1, position.seq)
            self.room = membership.shown
            self._membership = membership
            self._every = max(1, membership.mark // 2)
            if not membership.sure:
                self._sure_after = self.pushed
            elif self._sure_after == self.pushed:  # the gap that an earlier join began with never came
                self._sure_after = -1
                self._advance()
            due = self.taken > self._returned
            self._returned = self.taken
        if due:  # a smaller window than before may have no place for what is yet to be returned
            self._credit(membership, self._returned)

    def push(self, notice: Push | GapNotice) -> None:
        """Take a notification."""
        self.pushed += 1
        self._pushed_upto = notice.upto
        self._queue.put(notice)
        self._arrived(self)

    def own(self, epoch: int, first: int, last: int) -> None:
        """Take note that own messages are stored there: the position moves over them once it gets there."""
        with self._lock:
            self._own.add(epoch, first, last)
            self._advance()
        if self.keeps_mark and not self.waiting:
            self.mark_read()

    def end(self, error: ZchatError | None, *, everywhere: bool = False) -> None:
        """Take note that nothing more comes; `everywhere`: in no room."""
        self._queue.put(End(error, everywhere=everywhere))
        self._arrived(self)

    # -- the application's threads -----------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Return how far messages were taken, one by one."""
        with self._lock:
            if self._begun:
                chunk = self._begun[0]
                last = chunk.last_taken
                if last is not None:
                    return Position(chunk.epoch, last)
            return self._position

    @property
    def waiting(self) -> bool:
        """Tell whether `take` would find something at once."""
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

        `among_others`: who takes from all rooms is told by himself why all have ended, once all is taken.

        Raises:
            ConnectionLost, Refused, ProtocolError: why the connection has ended.
        """
        deadline = Deadline(timeout)
        while True:
            with self._lock:
                if self._set_aside:
                    return self._set_aside.popleft()
            try:
                left = deadline.left
                notice = self._queue.get(left != 0, left or None)
            except Empty:
                return None
            if isinstance(notice, End):
                self._queue.put(notice)  # for whoever else reads
                if notice.error is not None and not self.left and not (among_others and notice.everywhere):
                    raise fresh(notice.error)
                return None
            if self.left:
                continue
            if isinstance(notice, GapNotice):
                self._skip(notice)
                return Gap(self.room, notice.after, notice.upto, notice.reason)
            _, epoch, after, upto, blocks = notice  # by position, once a notification: the readers' hot path
            return self._open(self.room, epoch, after, upto, blocks)

    def put_back(self, chunk: Chunk) -> None:
        """Keep what is left of a chunk for the next reader, or count it as taken."""
        if chunk.left:
            with self._lock:
                self._set_aside.append(chunk)
        else:
            self._finish(chunk)

    def _open(self, room: str, epoch: int, after: int, upto: int, blocks: list[Any]) -> Chunk:
        try:
            chunk = Chunk(run_of(room, blocks, after, upto), epoch, upto)
        except ZchatError:
            self._finish(Chunk(_NOTHING, epoch, upto))
            raise
        with self._lock:
            self._begun.append(chunk)
        return chunk

    def _skip(self, gap: GapNotice) -> None:
        chunk = Chunk(_NOTHING, gap.epoch, gap.upto, another_log=gap.reason != GapReason.TRIMMED)
        with self._lock:
            self._begun.append(chunk)
        self._finish(chunk)

    def _finish(self, chunk: Chunk) -> None:
        """Move the position over what is taken to its end, and return credit when half a window is."""
        with self._lock:
            chunk.taken = True
            while self._begun and self._begun[0].taken:
                done = self._begun.popleft()
                if done.another_log or done.upto > self._position.seq:  # else own messages were trimmed
                    self._position = Position(done.epoch, done.upto)
            self.taken += 1
            self._advance()
            due = self.taken - self._returned >= self._every
            if due:
                self._returned = self.taken
        if due and self._membership is not None:
            self._credit(self._membership, self._returned)
        if self.keeps_mark and (due or not self.waiting):
            self.mark_read()

    def mark_read(self) -> None:
        """Have the room marked as read up to the position, if it keeps its mark by itself."""
        position = self.position
        if self.keeps_mark and self._mark is not None and self._membership is not None and position != self._marked:
            self._marked = position
            self._mark(self._membership, position.seq)

    def _advance(self) -> None:
        """Move the position over own messages that follow it at once.

        Until a gap that a join began with is taken, the log may be another one than the position's.
        """
        if self.taken > self._sure_after:
            self._position = self._own.pass_over(self._position)
