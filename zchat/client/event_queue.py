"""The events of all rooms in their order, as they are taken.

A reader takes nothing out but single events, each with one call of an iterator that everyone can reach. A place leaves
the queue once what it stands for is taken, or has another place: whatever ends a reader, nothing is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import TypeAlias

from zchat.client.inbox import End, Inbox
from zchat.client.waiting import Deadline
from zchat.errors import UsageError, ZchatError
from zchat.events import Disconnected, Event, Reconnected
from zchat.protocol.faces.outcomes import fresh
from zchat.threads import Bell

LINK_EVENTS = 100
"""Events of lost connections that wait to be taken; what comes beyond them is the same again and left out."""


class _LinkEvent:
    """An event of the connection, and how far the inboxes were filled that had something then.

    An inbox has one place in the queue, however much it holds: the event waits until all that
    came before is taken.
    """

    __slots__ = ("_before", "events")

    def __init__(self, event: Event, before: list[tuple[Inbox, int]]) -> None:
        self.events = iter((event,))
        self._before = before

    @property
    def early(self) -> bool:
        """True if something that came before is still to be taken."""
        return any(not inbox.left and inbox.cursor.taken_now < upto for inbox, upto in self._before)


class _Place:
    """The place of an inbox in the queue, or (None) of whichever event of the connection is the first then."""

    __slots__ = ("inbox", "visited")

    def __init__(self, inbox: Inbox | None) -> None:
        self.inbox = inbox
        self.visited = False  # it doesn't stand for what comes from now on


Place: TypeAlias = _Place | End


class EventQueue:
    """Which rooms have something to take, in which order.

    A thread that takes events waits for the first place, takes from what `visit` returns for it, and calls `leave`.
    Until the place leaves the queue, other threads take from the same.
    """

    def __init__(self) -> None:
        self.way: str | None = None
        """How the application takes events: "events", "messages" or "on_event", None until it begins."""
        self.inboxes: list[Inbox] = []
        """Those of all rooms that are joined. The receive thread's."""
        self.over = False
        """True once the connection has ended."""
        self.places: deque[Place] = deque()
        """What has something to take: inboxes, a place each; events of the connection; its end."""
        self._bell = Bell()
        self._ways: dict[str, str] = {}
        self._link_events: deque[_LinkEvent] = deque()
        self._link_reported = False
        self._lost = False

    def settle(self, way: str) -> None:
        """Settle on one way of taking events. Any thread.

        Raises:
            UsageError: it is another already.
        """
        chosen = self._ways.setdefault("way", way)
        if chosen != way:
            raise UsageError(f"this client's events are taken by {chosen}: {way} can't be used as well")
        self.way = way

    # -- what arrives: the receive thread ------------------------------------------------------------

    def arrived(self, inbox: Inbox) -> None:
        """Record that a room has something to take. Any thread."""
        if self.way != "messages" and not inbox.left:
            place = inbox.place
            if not isinstance(place, _Place) or place.visited:
                place = _Place(inbox)  # one that waits a room, so that the queue is bounded whether it is read or not
                self.places.append(place)
                inbox.place = place
                if self._bell.waiting:
                    self._bell.ring()

    def forget(self, inbox: Inbox) -> None:
        """Drop a room's inbox, also from among those with something to take."""
        if inbox in self.inboxes:
            self.inboxes.remove(inbox)
        for place in self.places.copy():
            if isinstance(place, _Place) and place.inbox is inbox:
                self._remove(place)

    def link(self, event: Disconnected | Reconnected) -> None:
        """Take an event of the connection."""
        if self.way == "messages":
            return
        if isinstance(event, Disconnected) and not self._lost:  # a second one is of the same loss
            self._link_reported = len(self._link_events) < LINK_EVENTS
        self._lost = isinstance(event, Disconnected)
        if self._link_reported:
            cursors = [(inbox, inbox.cursor) for inbox in self.inboxes]
            before = [(inbox, cursor.received) for inbox, cursor in cursors if cursor.taken_now < cursor.received]
            self._link_events.append(_LinkEvent(event, before))
            self.places.append(_Place(None))  # a place each, for whichever is first then: they keep their order
            self._bell.ring()

    def end(self, error: ZchatError | None) -> None:
        """Record that the connection has ended: as asked (None), or why."""
        self.over = True
        for inbox in list(self.inboxes):
            inbox.end(error, everywhere=True)
        self.places.append(End(error))
        self._bell.ring()

    # -- what is taken: the application's threads -----------------------------------------------------

    def first(self, deadline: Deadline, check: Callable[[], None] = lambda: None) -> Place | None:
        """Return the first place, once there is one, None if the deadline comes before.

        `check` is called before it waits, and raises if nothing can come.
        """
        while True:
            try:
                return self.places[0]
            except IndexError:
                pass
            if deadline.left == 0:
                return None
            check()
            if not self._bell.wait(lambda: self.places, deadline.left):
                return None

    def visit(self, place: Place) -> Iterator[Event] | None:
        """Return the events of a place, to be taken one by one, None if there are none: then it is left.

        Raises:
            Refused, ProtocolError, ConnectionLost: why a room has ended.
        """
        if isinstance(place, End):
            return None
        inbox = place.inbox
        if inbox is None:
            return self._visit_link(place)
        place.visited = True  # first: what comes from here on gets a place of its own
        if inbox.roster.waiting:
            return inbox.roster.take()
        try:
            chunk = inbox.take(0, among_others=True)
        except ZchatError:
            self.leave(place)
            raise
        if chunk is None:
            self.leave(place)
            return None
        return chunk.messages

    def verdict(self, end: End) -> bool:
        """Return whether the end, which is the first place, is all that there is; else it goes behind the rest.

        Raises:
            Refused, ProtocolError, ConnectionLost: why the connection has ended.
        """
        if any(place is not end for place in self.places.copy()):
            self.places.append(end)
            self._remove(end)
            return False
        if end.error is not None:
            raise fresh(end.error)
        return True

    def leave(self, place: _Place) -> None:
        """Go on with the next place, unless something was begun in this one and is not taken to its end."""
        inbox = place.inbox
        if inbox is None:
            first = self._first_link_event()
            if first is None or len(self._link_events) < sum(self._is_link(other) for other in self.places.copy()):
                self._remove(place)
            return
        inbox.settle()
        if inbox.begun or inbox.roster.begun:
            return
        if inbox.waiting or inbox.roster.waiting:
            self.arrived(inbox)  # first: what is taken out has another place
        self._remove(place)

    # -- within ------------------------------------------------------------------------------------

    def _visit_link(self, place: _Place) -> Iterator[Event] | None:
        event = self._first_link_event()
        if event is None:
            self._remove(place)
            return None
        if event.early:
            self.places.append(place)
            self._remove(place)
            return None
        return event.events

    def _first_link_event(self) -> _LinkEvent | None:
        """Return the first event of the connection that isn't taken, None without one."""
        while self._link_events:
            event = self._link_events[0]
            if length_hint(event.events):
                return event
            try:
                self._link_events.remove(event)
            except ValueError:
                pass  # another thread was faster
        return None

    def _remove(self, place: Place) -> None:
        """Remove a place, once if it stands there twice."""
        try:
            self.places.remove(place)
        except ValueError:
            pass  # another thread was faster

    @staticmethod
    def _is_link(place: Place) -> bool:
        return isinstance(place, _Place) and place.inbox is None
