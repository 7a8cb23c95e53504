"""The application's side of events: what has arrived in which room, in order, and the handler's thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from zchat.client.inbox import End, Inbox
from zchat.client.waiting import Deadline
from zchat.errors import HandlerFailed, UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.protocol.outcomes import fresh

log = logging.getLogger("zchat.client")

LINK_EVENTS = 100
"""Events of lost connections that wait to be taken; what comes beyond them is the same again and left out."""


class _Link:
    """Hold an event of the connection, and how far the readings were pushed that had something then.

    A reading has one place in the queue, however much it holds: the event waits until all that
    came before is taken.
    """

    __slots__ = ("_marks", "event")

    def __init__(self, event: Disconnected | Reconnected, marks: list[tuple[Inbox, int]]) -> None:
        self.event = event
        self._marks = marks

    @property
    def early(self) -> bool:
        """Tell whether something that came before still stands in the queue."""
        return any(reading.queued and not reading.left and reading.cursor.taken < mark for reading, mark in self._marks)


class Consumer:
    """Keep which rooms have something to take, and give their events one by one.

    `way`: how the application takes them: "events", "messages" or "on_event", None until it begins.
    `readings`: those of all rooms that are joined, or being joined.
    """

    def __init__(self) -> None:
        self.way: str | None = None
        self.readings: list[Inbox] = []
        self.closed = False
        self._lock = threading.Lock()
        self._arrivals: SimpleQueue[Inbox | End | deque[_Link]] = SimpleQueue()
        self._links: deque[_Link] = deque()
        self._link_told = False
        self._over = False
        self._handler: threading.Thread | None = None
        self._silent = threading.Event()
        self._failed: HandlerFailed | None = None

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

    def arrived(self, reading: Inbox) -> None:
        """Take note that a room has something to take."""
        if self.way != "messages" and not reading.queued and not reading.left:
            reading.queued = True  # one place a room, so that the queue is bounded whether it is read or not
            self._arrivals.put(reading)

    def forget(self, reading: Inbox) -> None:
        """Drop a room's reading, also from the queue of those with something to take."""
        reading.left = True
        self.readings.remove(reading)
        if reading.queued:
            for _ in range(self._arrivals.qsize()):
                try:
                    arrival = self._arrivals.get_nowait()
                except Empty:
                    return
                if arrival is not reading:
                    self._arrivals.put(arrival)

    def link(self, event: Disconnected | Reconnected) -> None:
        """Take an event of the connection."""
        if self.way == "messages":
            return
        with self._lock:
            if isinstance(event, Disconnected):
                self._link_told = len(self._links) < LINK_EVENTS
            if self._link_told:
                cursors = [(reading, reading.cursor) for reading in self.readings]
                marks = [(reading, cursor.received) for reading, cursor in cursors if cursor.taken < cursor.received]
                self._links.append(_Link(event, marks))
                self._arrivals.put(self._links)  # one place each, for whichever is first then: they keep their order

    def end(self, error: ZchatError | None) -> None:
        """Take note that the connection has ended: as asked (None), or why."""
        self._over = True
        for reading in list(self.readings):
            reading.end(error, everywhere=True)
        self._arrivals.put(End(error))

    def begin_anew(self) -> None:
        """Forget the end of a connection that led to nothing."""
        self._over = False
        self._arrivals = SimpleQueue()

    # -- the application's threads -----------------------------------------------------------------

    def events(self, timeout: float | None) -> Iterator[Event]:
        """Yield events until there was none for `timeout` seconds (None: until the connection ends).

        Raises:
            Refused, ProtocolError: why the connection, or a room, has ended.
        """
        deadline = Deadline(timeout)
        while True:
            left = deadline.left
            try:
                arrival = self._arrivals.get(left != 0, left or None)
            except Empty:
                return
            if isinstance(arrival, End):
                behind = not self._arrivals.empty()
                self._arrivals.put(arrival)  # for whoever else reads
                if behind:
                    continue
                if arrival.error is not None:
                    raise fresh(arrival.error)
                return
            if isinstance(arrival, deque):
                with self._lock:
                    link = None if arrival[0].early else arrival.popleft()
                if link is None:
                    self._arrivals.put(arrival)
                else:
                    yield link.event
                    deadline = Deadline(timeout)
                continue
            arrival.queued = False  # first: what comes from here on puts it in its place again
            if arrival.roster.waiting:
                yield from self._changes(arrival)
                deadline = Deadline(timeout)
            chunk = arrival.take(0, among_others=True)
            if chunk is None:
                continue
            try:
                if isinstance(chunk, Gap):
                    yield chunk
                else:
                    yield from chunk.messages
            finally:
                if not isinstance(chunk, Gap):
                    arrival.put_back(chunk)
                if arrival.waiting:
                    self.arrived(arrival)
            deadline = Deadline(timeout)

    def _changes(self, reading: Inbox) -> Iterator[Event]:
        """Yield what a room's state has to tell; what isn't taken of it is told the next time."""
        changes = reading.roster.take()
        changes.reverse()
        try:
            while changes:
                yield changes.pop()
        except GeneratorExit:  # broken off, maybe at the last one: its notifications wait for its place in the queue
            reading.roster.put_back(changes[::-1])
            self.arrived(reading)
            raise

    def handle(self, handler: Callable[[Event], object]) -> None:
        """Call `handler` with every event, in a thread of its own."""
        self._handler = threading.Thread(target=self._handle, args=(handler,), name="zchat-events", daemon=True)
        self._handler.start()

    def _handle(self, handler: Callable[[Event], object]) -> None:
        events = self.events(None)
        while not self._silent.is_set():  # before an event is taken: one that isn't handled stays behind the position
            try:
                event = next(events)
            except StopIteration:
                return
            except ZchatError as error:
                log.info("no more events: %s", error)
                if self._over:
                    return
                self._remember(HandlerFailed(f"a room has ended: {error}"), error)
                events = self.events(None)
                continue
            if self._silent.is_set():
                return
            try:
                handler(event)
            except (Exception, SystemExit) as error:  # which would end this thread without a word
                if self.closed and isinstance(error, UsageError):
                    log.info("no more events: %s", error)  # it uses the client, which is closed
                    return
                log.exception("the handler raised over %r", event)
                self._remember(HandlerFailed(f"the event handler raised {error!r}"), error)

    def _remember(self, failed: HandlerFailed, cause: BaseException) -> None:
        if self._failed is None:
            self._failed = failed
            failed.__cause__ = cause

    def silence(self, deadline: Deadline, grace: float) -> None:
        """Wait for the handler until the deadline, then give it nothing more, and `grace` seconds to return."""
        handler = self._handler
        if handler is None or handler is threading.current_thread():
            self._silent.set()
        else:
            handler.join(deadline.left)
            self._silent.set()
            handler.join(grace)

    def tell_of_the_handler(self) -> None:
        """Raise the handler's first failure, once, but not to the handler."""
        if threading.current_thread() is not self._handler:
            with self._lock:
                failed, self._failed = self._failed, None
            if failed is not None:
                raise failed
