"""The connection of a client with threads.

The sockets and the thread that owns them are `zchat.transport.receive_thread`'s.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from sys import is_finalizing

from zchat.client.waiting import ThreadWaits
from zchat.deadline import Deadline
from zchat.messages import Position
from zchat.threads import Flag, awaited, get_ident
from zchat.transport.connection import CLOSE_GRACE, Connection, Lease
from zchat.transport.receive_thread import ReceiveThread
from zchat.transport.settings import Settings


class ClientLink(Connection):
    """A connection for which threads wait."""

    receiver: ReceiveThread

    def __init__(self, settings: Settings, invited: Callable[[str, str, Position], None]) -> None:
        self.ended = Flag()
        """Set when it is all over, as asked or for good."""
        super().__init__(settings, ThreadWaits(), invited, self.ended.set)

    def wait(self, deadline: Deadline) -> bool:
        """Wait until it is all over; True if it is.

        Raises:
            ZchatError: why it has ended, if that wasn't asked for.
        """
        self.check_process()
        ended = self.ended.wait(deadline.left)
        if ended:
            self.verdict()
        return ended

    def join(self, deadline: Deadline) -> None:
        """Wait for the receive thread to end, until the deadline and CLOSE_GRACE; not where nothing may wait."""
        if get_ident() in awaited or is_finalizing():
            return
        left = deadline.left
        self.receiver.when_over(None if left is None else min(left + CLOSE_GRACE, threading.TIMEOUT_MAX))

    def _make(self, urls: list[str], lease: Lease) -> ReceiveThread:
        return ReceiveThread(weakref.ref(lease), *self._given(urls))
