"""The receive thread: from its start on it alone makes, uses and closes the client's sockets, and runs its core.

Other threads hand it work through a deque and ring an alarm if it may be asleep. It says that
it is going to sleep, checks the deque once more, then polls; a caller appends, then checks
whether it sleeps. It never runs the user's code and never waits for anything but its sockets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from zchat.errors import ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.messages import Position
from zchat.transport.alarm import Alarm
from zchat.transport.context import context_of_this_process
from zchat.transport.dealer import Dealer
from zchat.transport.link import Link

log = logging.getLogger("zchat.client")

_POLLIN = int(zmq.POLLIN)  # a plain number: an enum's `&` is three calls

TURN_FRAMES = 64
"""Frames taken from the socket before work from other threads is done."""


class Receiver(Link):
    """A link that is run by a thread of its own, the receive thread: the callbacks are called there."""

    def __init__(
        self, urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_end: Callable[[ZchatError | None], None],
    ) -> None:  # fmt: skip
        self.greeted = threading.Event()  # the first greeting is answered, or never will be
        self._work: deque[tuple[Any, ...]] = deque()
        self._asleep = False
        self._over = False
        self._alarm = Alarm(context_of_this_process())
        self._rung = (self._alarm.socket, zmq.POLLIN)
        self._polled = [self._rung]
        try:
            super().__init__(urls, user, producer, token, window, on_link, on_invited, self.greeted.set, on_end)
        except BaseException:
            self._alarm.close()
            raise
        self.thread = threading.Thread(target=self._run, name=f"zchat-receive {self.url}", daemon=True)
        self.thread.start()  # the sockets are this thread's from here on: starting it is a full fence

    def do(self, *work: Any) -> None:
        """Have `work[0](*work[1:])` called in the receive thread. Any thread."""
        self._work.append(work)
        if self._over:
            self._drain()
        elif self._asleep:
            self._alarm.ring()

    def _watch(self, dealer: Dealer) -> None:
        self._polled = [*dealer.polled, self._rung]

    def _unwatch(self, dealer: Dealer) -> None:
        self._polled = [self._rung]

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._turns()
        except Exception as error:  # a fault of zchat: callers that wait get it, and don't wait for ever
            log.exception("the receive thread failed")
            self.core.fail(f"the receive thread failed: {error!r}", error)
        finally:
            self._alarm.close()
            self._close(lingering=True)
            self._over = True
            self._drain()

    def _drain(self) -> None:
        """Have what came in too late answered too: the core has ended, so all of it fails. Any thread."""
        while True:
            try:
                function, *arguments = self._work.popleft()
            except IndexError:
                return
            function(*arguments)

    def _turns(self) -> None:
        core, work = self.core, self._work
        now = time.monotonic()
        core.start(now)
        arrived = False
        while not core.over:
            for _ in range(len(work)):
                function, *arguments = work.popleft()
                function(*arguments)
            if arrived:
                arrived = self._receive(now)
            due = core.tick(now)
            if self._fault:
                fault, self._fault = self._fault, ""
                core.lost(fault)
            elif not arrived:
                dealer = self._dealer
                self._asleep = True
                wait = 0 if work or core.over else max(1, int((due - now) * 1000) + 1)
                ready = zmq.zmq_poll(self._polled, wait)
                self._asleep = False
                self._alarm.quiet()
                if dealer is not None and ready:
                    sockets = [socket for socket, _ in ready]
                    arrived = dealer.socket in sockets
                    if dealer.monitor in sockets and self._broken(dealer):
                        arrived = False
            now = time.monotonic()

    def _receive(self, now: float) -> bool:
        """Hand what has arrived to the core, a turn's worth, at least one frame; True if something may be left."""
        dealer, core = self._dealer, self.core
        if dealer is None:
            return False
        socket = dealer.socket
        for _ in range(TURN_FRAMES):
            core.receive(socket.recv(zmq.NOBLOCK), now)
            if self._dealer is not dealer or not int(socket.get(zmq.EVENTS)) & _POLLIN:
                return False
        return True

    def _broken(self, dealer: Dealer) -> bool:
        """Return whether the connection is broken, once all that came over it is received; the first may take time."""
        broken = dealer.broken()
        if not broken or not self._greeted:
            return False
        now = time.monotonic()
        while self._dealer is dealer and int(dealer.socket.get(zmq.EVENTS)) & _POLLIN:
            self._receive(now)
        if self._dealer is dealer:
            self._fault = f"{self._urls[0]}: {broken}"
        return True
