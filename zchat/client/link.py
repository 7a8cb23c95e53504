"""What a client, its rooms and the table of them hold in common: the receiver, and the events that come over it.

The sockets and the thread that owns them are `zchat.transport.receive_thread`'s.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from sys import is_finalizing

from zchat.client.event_queue import EventQueue
from zchat.client.waiting import Deadline, ThreadWaits
from zchat.errors import AddressError, ConnectionLost, Refused, UsageError, ZchatError
from zchat.messages import Position
from zchat.protocol.faces.outcomes import fresh
from zchat.threads import Flag, awaited, get_ident, join_briefly
from zchat.transport.keys import NO_KEYS, Credentials
from zchat.transport.receive_thread import ReceiveThread
from zchat.wire.limits import ID_BYTES

CLOSE_GRACE = 1.0
"""Seconds beyond its deadline that `close` gives the receive thread to end, and a running handler to return."""


class ClientLink:
    """The connection of a client with threads. See `zchat.protocol.faces.face.FaceLink`.

    It connects when it is made: `timeout` is how many seconds a broker has to answer, for all
    addresses together; `window` is how many notifications a room may have unanswered, 0 for the
    broker's own number. `invited` is called in the receive thread with each invitation: a room,
    who has written there, the position to read after. The connection ends once nobody holds `lease`.

    Raises:
        ConnectionLost: no broker answered; Refused: one did, and said no.
        AddressError: one of `urls` is no address.
    """

    def __init__(
        self,
        urls: Sequence[str],
        user: str,
        timeout: float,
        window: int,
        events: EventQueue,
        invited: Callable[[str, str, Position], None],
        lease: Lease,
        credentials: Credentials = NO_KEYS,
    ) -> None:
        self.user = user
        self.events = events
        """The events of all rooms, and of the connection."""
        self.waits = ThreadWaits()
        self.closed = False
        """True once closing has begun: there are no new calls."""
        self.ended = Flag()
        """Set when it is all over, as asked or for good."""
        self._pid = os.getpid()
        self._attempts = 0
        self._invited = invited
        self._credentials = credentials
        self.receiver = self._connect(urls, timeout, window, lease)
        """The connection that answered; it goes on to the next address by itself."""
        self.core = self.receiver.core
        self.do = self.receiver.do

    @property
    def url(self) -> str:
        """Return the address of the broker that the client is, or was last, connected to."""
        return self.receiver.url

    def check(self) -> None:
        """See `zchat.protocol.faces.face.FaceLink`."""
        if self.closed:
            raise UsageError("this client is closed: make another one")
        if os.getpid() != self._pid:
            self.check_process()

    def check_process(self) -> None:
        """Raise UsageError in a process that was forked from the one that made the link."""
        if os.getpid() != self._pid:
            raise UsageError("this client was made before a fork: make one in the child")

    def now(self) -> float:
        """See `zchat.protocol.faces.face.FaceLink`."""
        return time.monotonic()

    def settle(self, way: str) -> None:
        """Settle on one way of taking events: "events", "messages" or "on_event".

        Raises:
            UsageError: it is another already, or the client is closed.
        """
        self.check()
        self.events.settle(way)

    def wait(self, deadline: Deadline) -> bool:
        """Wait until it is all over; True if it is.

        Raises:
            ZchatError: why it has ended, if that wasn't asked for.
        """
        self.check_process()
        ended = self.ended.wait(deadline.left)
        if ended and self.receiver.error is not None:
            raise fresh(self.receiver.error)
        return ended

    def begin_close(self) -> bool:
        """Refuse new calls from now on; True in the process that made the link."""
        self.closed = True
        return os.getpid() == self._pid

    def join(self, deadline: Deadline) -> None:
        """Wait for the receive thread to end, until the deadline and CLOSE_GRACE; not where nothing may wait."""
        if get_ident() in awaited or is_finalizing():
            return
        left = deadline.left
        self.receiver.thread.join(None if left is None else min(left + CLOSE_GRACE, threading.TIMEOUT_MAX))

    def _connect(self, urls: Sequence[str], timeout: float, window: int, lease: Lease) -> ReceiveThread:
        """Return a connection that was answered, of the first of `urls` that lets the client in."""
        deadline = Deadline(timeout)
        refused: ZchatError | None = None
        troubles: list[str] = []
        held = weakref.ref(lease)
        for index in range(len(urls)):
            producer, token = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
            in_turn = [*urls[index:], *urls[:index]]
            self._attempts += 1
            on_end = partial(self._on_end, self._attempts)
            notified = self.events.link, self._invited, on_end, held
            receiver = ReceiveThread(in_turn, self.user, producer, token, window, *notified, self._credentials)
            lease.receiver = receiver
            receiver.start()
            receiver.greeted.wait((deadline.left or 0.0) / (len(urls) - index))
            if receiver.core.welcome is not None and receiver.error is None:
                return receiver
            error = receiver.error or receiver.door
            if error is None and (trouble := receiver.trouble):
                troubles.append(trouble)
            receiver.do(receiver.core.close, 0.0)
            receiver.thread.join(CLOSE_GRACE)
            if error is not None and not isinstance(error, ConnectionLost | AddressError) and not (
                isinstance(error, Refused) and error.retryable
            ):  # fmt: skip
                raise error
            self._attempts += 1  # an end that comes late is not this client's
            self.events.places.clear()
            self.events.over = False
            refused = error or refused
        if refused is not None:
            raise refused
        where = " or ".join(urls)
        why = f": {'; '.join(troubles)}" if troubles else "; is one running there?"
        raise ConnectionLost(f"no broker answered at {where} within {timeout:g} s{why}")

    def _on_end(self, attempt: int, error: ZchatError | None) -> None:
        if attempt == self._attempts:
            self.events.end(error)
            self.ended.set()


class Lease:
    """What a client, its rooms and their loops hold: once nothing of them is held any more, the connection ends."""

    receiver: ReceiveThread | None = None
    link: ClientLink | None = None
    _pid = 0  # defaults of the class: one that was interrupted while it was made is finalized, too

    def __init__(self, user: str) -> None:
        self._user = user
        self._pid = os.getpid()

    def give_up(self) -> None:
        """End what was begun, as an exception has broken the making of the client off; see `Client`."""
        if self.link is not None:
            self.link.begin_close()
        if (receiver := self.receiver) is not None:
            receiver.do(receiver.core.close, 0.0)
            join_briefly(receiver.thread)

    def __del__(self) -> None:
        receiver, link = self.receiver, self.link
        if receiver is None or os.getpid() != self._pid:
            return
        forgotten = link is not None and not link.closed and not link.ended.is_set()
        receiver.drop()
        if forgotten:
            text = f"a client of {self._user!r} at {receiver.url} was dropped without close()"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
