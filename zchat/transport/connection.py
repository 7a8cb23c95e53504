"""What a client, its rooms and the table of them hold in common: the receiver, and the events that come over it.

Which of several brokers a client takes, and what it says if it takes none, is decided here, once for every face.
"""

from __future__ import annotations

import os
import secrets
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from zchat.errors import AddressError, ConnectionLost, Refused, UsageError, ZchatError
from zchat.logs import client_log
from zchat.messages import Position
from zchat.names import is_same
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.event_queue import EventQueue
from zchat.protocol.faces.face import Waits
from zchat.protocol.faces.outcomes import Limit, fresh
from zchat.protocol.faces.steps import Steps
from zchat.threads import silent_at_the_end
from zchat.transport.link import Link
from zchat.transport.settings import Settings
from zchat.wire.limits import ID_BYTES

CLOSE_GRACE = 1.0
"""Seconds beyond its deadline that `close` gives the receiver to end, and a running handler to return."""


class Connection:
    """The connection of a client. See `zchat.protocol.faces.face.FaceLink`. A face waits for it, and checks its calls.

    It is made with `connecting`. `invited` is called by what drives the core with each invitation: a room, who has
    written there, the position to read after. `end` is called once, when all is over.
    """

    receiver: Link
    """The connection that answered; it goes on to the next address by itself."""
    core: ClientCore
    do: Callable[..., None]

    def __init__(
        self,
        settings: Settings,
        waits: Waits,
        invited: Callable[[str, str, Position], None],
        end: Callable[[], None],
    ) -> None:
        self.user = settings.user
        """The user's name, once a broker has let the client in as that spells it."""
        self.waits: Waits = waits
        self.events: EventQueue[Any] = EventQueue(waits.bell())
        """The events of all rooms, and of the connection."""
        self.connected = False
        """True once a broker has let the client in."""
        self.closed = False
        """True once closing has begun: there are no new calls."""
        self._settings = settings
        self._invited = invited
        self._end = end
        self._pid = os.getpid()
        self._attempts = 0
        self._mark = object()  # of the errors of calls that came once it was closed; it holds nothing

    @property
    def url(self) -> str:
        """Return the address of the broker that the client is, or was last, connected to."""
        return self.receiver.url if self.connected else self._settings.urls[0]

    def check(self) -> None:
        """See `zchat.protocol.faces.face.FaceLink`."""
        if self.closed:
            error = UsageError("this client is closed: make another one")
            error.closed_client = self._mark
            raise error
        if os.getpid() != self._pid:
            self.check_process()

    def was_too_late(self, error: BaseException) -> bool:
        """Return True if an error is that of a call of this client that came once it was closed."""
        return isinstance(error, UsageError) and error.closed_client is self._mark

    def check_process(self) -> None:
        """Raise UsageError in a process that was forked from the one that made the link."""
        if os.getpid() != self._pid:
            raise UsageError("this client was made before a fork: make one in the child")

    def now(self) -> float:
        """See `zchat.protocol.faces.face.FaceLink`."""
        return time.monotonic()

    def note(self, text: str) -> None:
        """See `zchat.protocol.faces.face.FaceLink`."""
        client_log.info("%s", text)

    def settle(self, way: str) -> None:
        """Settle on one way of taking events: "events", "messages" or "on_event".

        Raises:
            UsageError: it is another already, or the client is closed.
        """
        self.check()
        self.events.settle(way)

    def begin_close(self) -> bool:
        """Refuse new calls from now on; True in the process that made the link."""
        self.closed = True
        return os.getpid() == self._pid

    def verdict(self) -> None:
        """Return if all is over as it was asked for.

        Raises:
            ZchatError: why it has ended, if that wasn't asked for.
        """
        if self.receiver.error is not None:
            raise fresh(self.receiver.error)

    def connecting(self, lease: Lease, limit: Limit) -> Steps[None]:
        """Connect to the first of the addresses that lets the client in; `limit` is for all of them together.

        Of an attempt that is interrupted `lease` has the receiver.

        Raises:
            ConnectionLost: no broker answered; Refused: one did, and said no.
            AddressError: one of the addresses is none.
        """
        urls = self._settings.urls
        refused: ZchatError | None = None
        troubles: list[str] = []
        for index in range(len(urls)):
            self._attempts += 1
            receiver = lease.receiver = self._make([*urls[index:], *urls[:index]], lease)
            receiver.start()
            yield partial(receiver.when_greeted, (limit.left or 0.0) / (len(urls) - index))
            welcome = receiver.core.welcome
            if welcome is not None and receiver.error is None:
                if is_same(welcome.user, self.user):
                    self.user = welcome.user
                self._take(receiver)
                return
            error = receiver.error or receiver.door
            if error is None and (trouble := receiver.trouble) and trouble not in troubles:
                troubles.append(trouble)
            receiver.do(receiver.core.close, 0.0)
            yield partial(receiver.when_over, CLOSE_GRACE)
            if error is not None and not isinstance(error, ConnectionLost | AddressError) and not (
                isinstance(error, Refused) and error.retryable
            ):  # fmt: skip
                raise error
            self._attempts += 1  # what comes late is not this client's
            self.events.places.clear()
            refused = error or refused
        if refused is not None:
            raise refused
        where = " or ".join(urls)
        why = f": {'; '.join(troubles)}" if troubles else "; is one running there?"
        raise ConnectionLost(f"no broker answered at {where} within {limit.seconds:g} s{why}")

    def _take(self, receiver: Link) -> None:
        """Go on with a receiver that was let in."""
        self.receiver, self.core, self.do = receiver, receiver.core, receiver.do
        self.connected = True
        if receiver.error is not None:  # it has ended meanwhile: `_on_end` may have been too early
            self._on_end(self._attempts, receiver.error)

    def _make(self, urls: list[str], lease: Lease) -> Link:
        """Return a receiver of the face's own, to be started, with the arguments of `_given`."""
        raise NotImplementedError

    def _given(self, urls: list[str]) -> tuple[Any, ...]:
        """Return what every receiver is made with, an identity of its own among it."""
        producer, token = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
        notified = self.events.link, self._invited, partial(self._on_end, self._attempts)
        return urls, self.user, producer, token, self._settings.window, *notified, self._settings.credentials

    def _on_end(self, attempt: int, error: ZchatError | None) -> None:
        if self.connected and attempt == self._attempts:  # the end of an attempt is not the client's
            self.events.end(error)
            self._end()


class Lease:
    """What a client, its rooms and their loops hold: once nothing of them is held any more, the connection ends."""

    receiver: Link | None = None
    link: Connection | None = None
    _pid = 0  # defaults of the class: one that was interrupted while it was made is finalized, too

    def __init__(self, user: str) -> None:
        self._user = user
        self._pid = os.getpid()

    def give_up(self) -> None:
        """End what was begun, as an exception has broken off its making."""
        if self.link is not None:
            self.link.begin_close()
        if self.receiver is not None:
            self.receiver.give_up()

    @silent_at_the_end
    def __del__(self) -> None:
        receiver, link = self.receiver, self.link
        if receiver is None or os.getpid() != self._pid:
            return
        forgotten = link is not None and not link.closed and receiver.error is None
        receiver.drop()
        if forgotten:
            text = f"a client of {self._user!r} at {receiver.url} was dropped without close()"
            warnings.warn(text, ResourceWarning, stacklevel=3, source=self)
