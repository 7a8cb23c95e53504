"""The send queues of all rooms, and whose turn it is to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

from zchat.errors import Refused, ZchatError
from zchat.names import fold, shown_name
from zchat.protocol.send_queue import OutgoingBlock, SendQueue, Submission
from zchat.wire.replies import Stored

RESUME_AFTER = 0.5
"""Seconds until blocks that the broker put off are sent again: a broker that went down is back by then, or gone."""


class SendQueues:
    """A send queue for each room that something is sent to; they take turns for the places that there are.

    `user` is the one whose messages they are.
    """

    def __init__(self, user: str) -> None:
        self._user = user
        self.queues: dict[str, SendQueue] = {}  # by the rooms' folded names
        self.resume_at = inf  # when to send again what the broker has put off
        self.ready: deque[SendQueue] = deque()  # those with something to send, in the order of their turns

    @property
    def pending(self) -> bool:
        """Return whether something waits to be sent or answered."""
        return any(queue.pending for queue in self.queues.values())

    def queue(self, name: str) -> SendQueue | None:
        """Return the queue of a room, None if nothing was ever sent to it."""
        return self.queues.get(fold(name))

    def offer(self, name: str, submission: Submission, *, shut: bool) -> None:
        """Put a submission in its room's queue; `shut` if the room is yet to be joined again."""
        key = fold(name)
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = SendQueue(name, shown_name(self._user, name))
            queue.shut = shut
        queue.add(submission)
        if not queue.ready:
            queue.ready = True
            self.ready.append(queue)

    def line_up(self, queue: SendQueue) -> None:
        """Give a queue its turn, if it has something to send."""
        if not queue.ready and (queue.resend or queue.again or queue.submissions):
            queue.ready = True
            self.ready.append(queue)

    def next(self) -> tuple[SendQueue, OutgoingBlock] | None:
        """Return the next block, which is sent now, and its queue; None if there is none for now."""
        ready = self.ready
        while ready:
            queue = ready.popleft()
            block = queue.next()
            queue.ready = False
            if block is not None:
                if queue.resend or queue.again or queue.submissions:  # `line_up`, without a call: once a block
                    queue.ready = True
                    ready.append(queue)
                return queue, block
            # what it waits for, an answer for example, lines it up again
        return None

    def settled(
        self, queue: SendQueue, block: OutgoingBlock, stored: Stored | None, error: Refused | None, now: float
    ) -> None:
        """Take the reply to a block: where it is stored, or why not."""
        if stored is not None:
            queue.stored(block, stored.seq, stored.timestamp)
        elif error is not None:
            queue.refused(block, error)
        if queue.stalled and queue.resume_at == inf:
            queue.resume_at = now + (queue.wait or RESUME_AFTER)
            self.resume_at = min(self.resume_at, queue.resume_at)
        if queue.resend or queue.again or queue.submissions:
            self.line_up(queue)

    def open(self, name: str) -> None:
        """Let a room's queue flow again."""
        queue = self.queue(name)
        if queue is not None and queue.shut:
            queue.shut = False
            queue.name = name
            self.line_up(queue)

    def renamed(self, name: str) -> None:
        """Send under the name that another broker gives a room."""
        queue = self.queue(name)
        if queue is not None:
            queue.name = name

    def resume(self, now: float) -> None:
        """Send again what the broker had put off until now."""
        self.resume_at = inf
        for queue in self.queues.values():
            if queue.resume_at <= now:
                queue.resume()
                self.line_up(queue)
            self.resume_at = min(self.resume_at, queue.resume_at)

    def opened(self) -> None:
        """Record that there is a connection again."""
        for queue in self.queues.values():
            self.line_up(queue)

    def lost(self, rooms: Iterable[str]) -> None:
        """Record that the connection is lost; the queues of `rooms` are shut until these are joined again."""
        self.resume_at = inf
        for queue in self.queues.values():
            queue.lost()
        for name in rooms:
            if (shut := self.queue(name)) is not None:
                shut.shut = True

    def end(self, name: str, error: ZchatError) -> None:
        """Fail everything that waits for a room which the user isn't in any more, and isn't to be joined again."""
        queue = self.queue(name)
        if queue is not None:
            queue.end(error)

    def fail(self, error: ZchatError) -> None:
        """Fail everything in all queues."""
        for queue in self.queues.values():
            queue.fail(error)
