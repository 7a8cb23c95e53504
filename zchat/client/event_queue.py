"""The events of all rooms in their order, as they are taken; nothing here waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import TypeAlias

from zchat.client.inbox import Chunk, End, Inbox
from zchat.errors import UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.protocol.outcomes import fresh

LINK_EVENTS = 100
"""Events of lost connections that wait to be taken; what comes beyond them is the same again and left out."""

Taken: TypeAlias = tuple[Iterator[Event], Inbox | None, Chunk | None]
"""Events to be handed over one by one; the inbox that they are from, None for those of the connection; the chunk
that they are, None for anything but messages."""


class _LinkEvent:
    """An event of the connection, and how far the inboxes were filled that had something then.

    An inbox has one place in the queue, however much it holds: the event waits until all that
    came before is taken.
    """

    __slots__ = ("_before", "event")

    def __init__(self, event: Event, before: list[tuple[Inbox, int]]) -> None:
        self.event = event
        self._before = before

    @property
    def early(self) -> bool:
        """True if something that came before still stands in the queue."""
        return any(inbox.queued and not inbox.left and inbox.cursor.taken < upto for inbox, upto in self._before)


Arrival: TypeAlias = Inbox | End | deque[_LinkEvent]


class EventQueue:
    """Which rooms have something to take, in which order.

    Whichever thread takes events waits at `arrivals`, gives what it gets from there to `next`, and
    what comes of that back to `put_back`, however it ended.
    """

    def __init__(self) -> None:
        self.way: str | None = None
        """How the application takes events: "events", "messages" or "on_event", None until it begins."""
        self.inboxes: list[Inbox] = []
        """Those of all rooms that are joined, or being joined."""
        self.over = False
        """True once the connection has ended."""
        self.arrivals: SimpleQueue[Arrival] = SimpleQueue()
        """What has something to take: inboxes, one place each; events of the connection; its end."""
        self._lock = threading.Lock()
        self._link_events: deque[_LinkEvent] = deque()
        self._link_reported = False

    def settle(self, way: str) -> None:
        """Settle on one way of taking events. Any thread.

        Raises:
            UsageError: it is another already.
        """
        with self._lock:
            if self.way not in (None, way):
                raise UsageError(f"this client's events are taken by {self.way}: {way} can't be used beside it")
            self.way = way

    # -- what arrives: any thread ------------------------------------------------------------------

    def arrived(self, inbox: Inbox) -> None:
        """Record that a room has something to take."""
        if self.way != "messages" and not inbox.queued and not inbox.left:
            inbox.queued = True  # one place a room, so that the queue is bounded whether it is read or not
            self.arrivals.put(inbox)

    def forget(self, inbox: Inbox) -> None:
        """Drop a room's inbox, also from among those with something to take."""
        inbox.left = True
        self.inboxes.remove(inbox)
        if inbox.queued:
            for _ in range(self.arrivals.qsize()):
                try:
                    arrival = self.arrivals.get_nowait()
                except Empty:
                    return
                if arrival is not inbox:
                    self.arrivals.put(arrival)

    def link(self, event: Disconnected | Reconnected) -> None:
        """Take an event of the connection."""
        if self.way == "messages":
            return
        with self._lock:
            if isinstance(event, Disconnected):
                self._link_reported = len(self._link_events) < LINK_EVENTS
            if self._link_reported:
                cursors = [(inbox, inbox.cursor) for inbox in self.inboxes]
                before = [(inbox, cursor.received) for inbox, cursor in cursors if cursor.taken < cursor.received]
                self._link_events.append(_LinkEvent(event, before))
                self.arrivals.put(self._link_events)  # a place each, for whichever is first then: they keep their order

    def end(self, error: ZchatError | None) -> None:
        """Record that the connection has ended: as asked (None), or why."""
        self.over = True
        for inbox in list(self.inboxes):
            inbox.end(error, everywhere=True)
        self.arrivals.put(End(error))

    def begin_anew(self) -> None:
        """Forget the end of a connection that led to nothing."""
        self.over = False
        self.arrivals = SimpleQueue()

    # -- what is taken: the application's threads -----------------------------------------------------

    def next(self, arrival: Arrival) -> Taken | End | None:
        """Return what is to be taken of an arrival, None if that is nothing now, the end after everything else.

        Raises:
            Refused, ProtocolError, ConnectionLost: why the connection, or a room, has ended.
        """
        if isinstance(arrival, Inbox):
            arrival.queued = False  # first: what comes from here on puts it in its place again
            if arrival.roster.waiting:
                return iter(arrival.roster.take()), arrival, None
            chunk = arrival.take(0, among_others=True)
            if chunk is None:
                return None
            if isinstance(chunk, Gap):
                return iter((chunk,)), arrival, None
            return chunk.messages, arrival, chunk
        if isinstance(arrival, End):
            early = not self.arrivals.empty()
            self.arrivals.put(arrival)  # for other threads that take events
            if early:
                return None
            if arrival.error is not None:
                raise fresh(arrival.error)
            return arrival
        with self._lock:
            link_event = None if arrival[0].early else arrival.popleft()
        if link_event is None:
            self.arrivals.put(arrival)
            return None
        return iter((link_event.event,)), None, None

    def put_back(self, taken: Taken) -> None:
        """Keep what was not handed over of what `next` returned, to be taken next."""
        events, inbox, chunk = taken
        if inbox is None:
            with self._lock:
                for event in events:
                    self._link_events.appendleft(_LinkEvent(event, []))
                    self.arrivals.put(self._link_events)
            return
        rest = None
        if chunk is not None:
            inbox.put_back(chunk)
        elif (rest := [*events]) and not isinstance(rest[0], Gap):
            inbox.roster.put_back(rest)
        if rest or inbox.waiting:
            self.arrived(inbox)
