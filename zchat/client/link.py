"""What a client, its rooms and the table of them hold in common: the receiver, and the events that come over it.

The sockets and the thread that owns them are `zchat.transport.receiver`'s.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from zchat.client.event_queue import EventQueue
from zchat.client.waiting import Deadline, ThreadWaits
from zchat.errors import ConnectionLost, Refused, UsageError, ZchatError
from zchat.messages import Position
from zchat.protocol.outcomes import fresh
from zchat.transport.receiver import Receiver
from zchat.wire.limits import ID_BYTES

CLOSE_GRACE = 1.0
"""Seconds beyond its deadline that `close` gives the receive thread to end, and a running handler to return."""


class ClientLink:
    """The connection of a client with threads. See `zchat.protocol.face.FaceLink`.

    It connects when it is made: `timeout` is how many seconds a broker has to answer, for all
    addresses together; `window` is how many notifications a room may have unanswered, 0 for the
    broker's own number. `invited` is called in the receive thread with each invitation: a room,
    who has written there, the position to read after.

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
    ) -> None:
        self.user = user
        self.events = events
        """The events of all rooms, and of the connection."""
        self.waits = ThreadWaits()
        self.closed = False
        """True once closing has begun: there are no new calls."""
        self.ended = threading.Event()
        """Set when it is all over, as asked or for good."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._invited = invited
        self.receiver = self._connect(urls, timeout, window)
        """The connection that answered; it goes on to the next address by itself."""
        self.core = self.receiver.core
        self.do = self.receiver.do

    @property
    def url(self) -> str:
        """Return the address of the broker that the client is, or was last, connected to."""
        return self.receiver.url

    def check(self) -> None:
        """See `zchat.protocol.face.FaceLink`."""
        if self.closed:
            raise UsageError("this client is closed: make another one")
        if os.getpid() != self._pid:
            raise _forked()

    def now(self) -> float:
        """See `zchat.protocol.face.FaceLink`."""
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
        if os.getpid() != self._pid:
            raise _forked()
        ended = self.ended.wait(deadline.left)
        if ended and self.receiver.error is not None:
            raise fresh(self.receiver.error)
        return ended

    def begin_close(self) -> bool:
        """Refuse new calls from now on; True for the first caller, in the process that made the link."""
        with self._lock:
            closed, self.closed = self.closed, True
        return not closed and os.getpid() == self._pid

    def close(self, deadline: Deadline) -> None:
        """Have what was accepted sent and answered until the deadline, and wait for the receive thread to end."""
        self.do(self.core.close, deadline.at)
        left = deadline.left
        self.receiver.thread.join(None if left is None else min(left + CLOSE_GRACE, threading.TIMEOUT_MAX))

    def _connect(self, urls: Sequence[str], timeout: float, window: int) -> Receiver:
        """Return a connection that was answered, of the first of `urls` that lets the client in."""
        deadline = Deadline(timeout)
        refused: ZchatError | None = None
        for index in range(len(urls)):
            producer, token = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
            in_turn = [*urls[index:], *urls[:index]]
            notified = self.events.link, self._invited, self._on_end
            receiver = Receiver(in_turn, self.user, producer, token, window, *notified)
            left = (deadline.left or 0.0) / (len(urls) - index)
            receiver.greeted.wait(left)
            if receiver.core.welcome is not None and receiver.error is None:
                return receiver
            error = receiver.error
            receiver.do(receiver.core.close, 0.0)
            receiver.thread.join(CLOSE_GRACE)
            if isinstance(error, Refused) and not error.retryable:
                raise error
            self.events.begin_anew()
            self.ended.clear()
            refused = error or refused
        if refused is not None:
            raise refused
        where = " or ".join(urls)
        raise ConnectionLost(f"no broker answered at {where} within {timeout:g} s; is one running there?")

    def _on_end(self, error: ZchatError | None) -> None:
        self.events.end(error)
        self.ended.set()


def _forked() -> UsageError:
    return UsageError("this client was made before a fork: make one in the child")
