"""The events of all rooms in their order, as they are taken.

A reader takes nothing out but single events, each with one call of an iterator that everyone can reach. A place leaves
the queue once what it stands for is taken, or has another place: whatever ends a reader, nothing is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from operator import length_hint
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from zchat.errors import UsageError, ZchatError
from zchat.events import Disconnected, Event, Invited, Reconnected
from zchat.protocol.faces.inbox import BATCHES, Chunk, End, Inbox
from zchat.protocol.faces.outcomes import Bell, fresh

B = TypeVar("B", bound=Bell)

LINK_EVENTS = 100
"""Events of lost connections, and invitations that are reported alone, that wait to be taken.

What comes beyond them is the same again, or comes again with the next message there, and is left out.
"""


class _LinkEvent:
    """An event of the connection, and how far the inboxes were filled that had something then.

    An inbox has one place in the queue, however much it holds: the event waits until all that
    came before is taken.
    """

    __slots__ = ("_before", "events")

    def __init__(self, event: Event, before: list[tuple[Inbox[Any], int]]) -> None:
        self.events = iter((event,))
        self._before = before

    @property
    def early(self) -> bool:
        """True if something that came before is still to be taken."""
        return any(not inbox.left and inbox.cursor.taken_now < upto for inbox, upto in self._before)


class _Place:
    """The place of an inbox in the queue, or (None) of whichever event of the connection is the first then."""

    __slots__ = ("inbox", "visited")

    def __init__(self, inbox: Inbox[Any] | None) -> None:
        self.inbox = inbox
        self.visited = False  # it doesn't stand for what comes from now on


Place: TypeAlias = _Place | End


class Visit(NamedTuple):
    """What the first place has, to be taken one by one; then the place is left."""

    place: _Place
    events: Iterator[Any]


class EventQueue(Generic[B]):
    """Which rooms have something to take, in which order.

    What takes events takes them from what `visit` returns, calls `leave`, and waits by `bell` while there is no place.
    Until the place leaves the queue, other threads or tasks take from the same.
    """

    def __init__(self, bell: B) -> None:
        self.bell = bell
        """Rings when there is a place."""
        self.way: str | None = None
        """How the application takes events: "events", "messages" or "on_event", None until it begins."""
        self.inboxes: list[Inbox[Any]] = []
        """Those of all rooms that are joined. They belong to what drives the core."""
        self.over = False
        """True once the connection has ended."""
        self.places: deque[Place] = deque()
        """What has something to take: inboxes, a place each; events of the connection; its end."""
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

    # -- what arrives: what drives the core -----------------------------------------------------------

    def arrived(self, inbox: Inbox[Any]) -> None:
        """Record that a room has something to take. Any thread."""
        if self.way != "messages" and not inbox.left:
            place = inbox.place
            if not isinstance(place, _Place) or place.visited:
                place = _Place(inbox)  # one that waits a room, so that the queue is bounded whether it is read or not
                self.places.append(place)
                inbox.place = place
                if self.bell.waiting:
                    self.bell.ring()

    def forget(self, inbox: Inbox[Any]) -> None:
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
            self._append(event)

    def invited(self, event: Invited) -> None:
        """Take an invitation to a room that the client doesn't join by itself."""
        if self.way != "messages" and len(self._link_events) < LINK_EVENTS:
            self._append(event)

    def _append(self, event: Event) -> None:
        cursors = [(inbox, inbox.cursor) for inbox in self.inboxes]
        before = [(inbox, cursor.received) for inbox, cursor in cursors if cursor.taken_now < cursor.received]
        self._link_events.append(_LinkEvent(event, before))
        self.places.append(_Place(None))  # a place each, for whichever is first then: they keep their order
        self.bell.ring()

    def end(self, error: ZchatError | None) -> None:
        """Record that the connection has ended: as asked (None), or why. It may be called again."""
        self.over = True
        for inbox in list(self.inboxes):
            inbox.end(error)
        if not any(isinstance(place, End) for place in self.places.copy()):
            self.places.append(End(error))
        self.bell.ring()

    # -- what is taken: the application --------------------------------------------------------------

    def visit(self, *, batches: bool = False) -> Visit | End | None:
        """Return what the first place has; the end, if that is all that there is; None if there is nothing yet.

        `batches`: what is left of a notification is one batch, not message by message.

        Raises:
            ProtocolError: a block is malformed, and is skipped.
            Refused, ProtocolError, ConnectionLost: why the connection has ended.
        """
        while True:
            try:
                place = self.places[0]
            except IndexError:
                return None
            if isinstance(place, End):
                if self._verdict(place):
                    return place
                continue
            events = self._events_of(place, batches)
            if events is not None:
                return Visit(place, events)

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

    def _events_of(self, place: _Place, batches: bool) -> Iterator[Any] | None:
        """Return the events of a place, to be taken one by one, None if there are none: then it is left."""
        inbox = place.inbox
        if inbox is None:
            return self._visit_link(place)
        place.visited = True  # first: what comes from here on gets a place of its own
        if inbox.roster.waiting:
            return inbox.roster.take()
        try:
            chunk = inbox.take(among_others=True)
        except ZchatError:
            self.leave(place)
            raise
        if chunk is None:
            self.leave(place)
            return None
        return BATCHES(chunk) if batches and isinstance(chunk, Chunk) else chunk.messages

    def _verdict(self, end: End) -> bool:
        """Return whether the end, which is the first place, is all that there is; else it goes after the rest.

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
