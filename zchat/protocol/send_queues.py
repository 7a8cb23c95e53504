"""The queues of all rooms, and whose turn it is to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from zchat.direct import shown_name
from zchat.errors import ZchatError
from zchat.names import fold
from zchat.protocol.send_queue import Batch, OutgoingBlock, SendQueue


class SendQueues:
    """Keep a queue for each room that something is sent to, and send blocks while there are places.

    `user` is whose they are. `transmit` is called with each block to send, and its queue; `free`
    tells whether there is a place for one.
    """

    def __init__(
        self, user: str, transmit: Callable[[SendQueue, OutgoingBlock], None], free: Callable[[], bool]
    ) -> None:
        self._user = user
        self._transmit = transmit
        self._free = free
        self.queues: dict[str, SendQueue] = {}
        self._ready: deque[SendQueue] = deque()

    @property
    def pending(self) -> bool:
        """Tell whether something waits to be sent or answered."""
        return any(queue.pending for queue in self.queues.values())

    def queue(self, name: str) -> SendQueue | None:
        """Return the queue of a room, None if nothing was ever sent to it."""
        return self.queues.get(fold(name))

    def offer(self, name: str, batch: Batch, *, shut: bool) -> None:
        """Put a batch in its room's queue; `shut` if the room is yet to be joined again."""
        queue = self.queues.get(fold(name))
        if queue is None:
            queue = self.queues[fold(name)] = SendQueue(name, shown_name(self._user, name))
            queue.shut = shut
        queue.add(batch)
        self.line_up(queue)

    def line_up(self, queue: SendQueue) -> None:
        """Have a queue sent from at the next `pump`, if it has something to send."""
        if queue.waiting and not queue.ready:
            queue.ready = True
            self._ready.append(queue)

    def pump(self) -> None:
        """Send what there is a place for, queue by queue."""
        for _ in range(len(self._ready)):
            if not self._free():
                break
            queue = self._ready.popleft()
            queue.ready = False
            if self._fill(queue):
                self.line_up(queue)

    def _fill(self, queue: SendQueue) -> bool:
        """Send a queue's blocks while there are places; True if something is left to send at once."""
        while self._free():
            block = queue.next()
            if block is None:
                return False  # an answer brings it here again
            self._transmit(queue, block)
        return queue.waiting

    def open(self, name: str) -> None:
        """Let a room's queue flow again."""
        queue = self.queue(name)
        if queue is not None and queue.shut:
            queue.shut = False
            queue.name = name
            self.line_up(queue)

    def resume(self) -> None:
        """Send again what the broker had put off."""
        for queue in self.queues.values():
            queue.resume()
            self.line_up(queue)

    def opened(self) -> None:
        """Take note that there is a connection again."""
        for queue in self.queues.values():
            self.line_up(queue)

    def lost(self, rooms: Iterable[str]) -> None:
        """Take note that the connection is lost; the queues of `rooms` are shut until these are joined again."""
        for queue in self.queues.values():
            queue.lost()
        for name in rooms:
            if (shut := self.queue(name)) is not None:
                shut.shut = True

    def fail(self, error: ZchatError) -> None:
        """Fail everything in all queues."""
        for queue in self.queues.values():
            queue.fail(error)
