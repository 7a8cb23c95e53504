"""Taking events in threads: in the application's own, or in one that calls its handler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import Empty

from zchat.client.event_queue import EventQueue
from zchat.client.inbox import End
from zchat.client.link import ClientLink
from zchat.client.waiting import Deadline
from zchat.errors import HandlerFailed, UsageError, ZchatError
from zchat.events import Event

log = logging.getLogger("zchat.client")


def events_of(queue: EventQueue, timeout: float | None) -> Iterator[Event]:
    """Yield events until there was none for `timeout` seconds, None for no limit, or the connection ends.

    Raises:
        Refused, ProtocolError, ConnectionLost: why the connection, or a room, has ended.
    """
    deadline = Deadline(timeout)
    while True:
        left = deadline.left
        try:
            arrival = queue.arrivals.get(left != 0, left or None)
        except Empty:
            return
        taken = queue.next(arrival)
        if taken is None:
            continue
        if isinstance(taken, End):
            return
        try:
            yield from taken[0]
        finally:
            queue.put_back(taken)
        deadline = Deadline(timeout)


class Handler:
    """The thread that gives every event to the application's handler, one by one; what it raises is kept."""

    def __init__(self, link: ClientLink, on_event: Callable[[Event], object]) -> None:
        self._link = link
        self._on_event = on_event
        self._lock = threading.Lock()
        self._silent = threading.Event()
        self._failed: HandlerFailed | None = None
        self.thread = threading.Thread(target=self._run, name="zchat-events", daemon=True)
        self.thread.start()

    def silence(self, deadline: Deadline, grace: float) -> None:
        """Wait for the handler until the deadline, then give it nothing more, and `grace` seconds to return."""
        if self.thread is threading.current_thread():
            self._silent.set()
        else:
            self.thread.join(deadline.left)
            self._silent.set()
            self.thread.join(grace)

    def check(self) -> None:
        """Raise the handler's first failure, HandlerFailed, once, and never in the handler's own thread."""
        if self.thread is not threading.current_thread():
            with self._lock:
                failed, self._failed = self._failed, None
            if failed is not None:
                raise failed

    def _run(self) -> None:
        events = events_of(self._link.events, None)
        while not self._silent.is_set():  # before an event is taken: the position doesn't move over one not handled
            try:
                event = next(events)
            except StopIteration:
                return
            except ZchatError as error:
                log.info("no more events: %s", error)
                if self._link.events.over:
                    return
                self._remember(HandlerFailed(f"a room has ended: {error}"), error)
                events = events_of(self._link.events, None)
                continue
            if self._silent.is_set():
                return
            try:
                self._on_event(event)
            except BaseException as error:  # SystemExit or CancelledError would end this thread without a word
                if self._link.closed and isinstance(error, UsageError):
                    log.info("no more events: %s", error)  # it uses the client, which is closed
                    return
                log.exception("the handler raised over %r", event)
                self._remember(HandlerFailed(f"the event handler raised {error!r}"), error)

    def _remember(self, failed: HandlerFailed, cause: BaseException) -> None:
        if self._failed is None:
            failed.__cause__ = cause
            self._failed = failed
