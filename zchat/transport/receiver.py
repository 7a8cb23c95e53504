"""The receive thread: it makes, uses and closes the DEALER, and runs the client's core.

Other threads hand it work through a deque and ring an alarm if it may be asleep. It says that
it is going to sleep, looks at the deque once more, then polls; a caller appends, then looks
whether it sleeps. It never runs the user's code and never waits for anybody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import zmq

from zchat.address import check_address
from zchat.errors import ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.transport.alarm import Alarm
from zchat.transport.dealer import Dealer, context_of_this_process
from zchat.wire.replies import Welcome

log = logging.getLogger("zchat.client")

_POLLIN = int(zmq.POLLIN)  # a plain number: an enum's `&` is three calls

TURN_FRAMES = 64
"""Frames taken from the socket before work from other threads is looked at again."""


class Receiver:
    """Run a client's connections in a thread of its own, one after the other.

    The first goes to the first of `urls`. After a loss the same is tried once more, then the
    others in turn. In that thread `on_link` is called when a connection is lost and when there is
    one again, `on_invited` with each invitation to a direct room, `on_end` once when all is over:
    with None if that was asked for, else with the reason.
    """

    def __init__(
        self, urls: Sequence[str], user: str, producer: bytes, token: bytes, mark: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[Receiver, str, str, Position], None],
        on_end: Callable[[ZchatError | None], None],
    ) -> None:  # fmt: skip
        for url in urls:
            check_address(url)
        self.core = ClientCore(self, user, producer, token, mark, Random())
        self.url = urls[0]
        self.greeted = threading.Event()
        self.error: ZchatError | None = None
        self._urls = deque(urls)
        self._on_link = on_link
        self._on_invited = on_invited
        self._on_end = on_end
        self._work: deque[tuple[Any, ...]] = deque()
        self._asleep = False
        self._over = False
        self._up = False
        self._fault = ""
        context = context_of_this_process()
        self._alarm = Alarm(context)
        try:
            self._dealer: Dealer | None = Dealer(context, self.url, patient=True)
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

    # -- the core's port, in the receive thread ------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Send one frame to the broker."""
        if self._dealer is not None and not self._dealer.send(frame):
            self._fault = f"{self.url} reads nothing of what is sent to it"

    def opened(self, welcome: Welcome) -> None:
        """Let the maker go on, or tell that there is a connection again."""
        self._up = True
        self.url = self._urls[0]
        if self.greeted.is_set():
            self._on_link(Reconnected())
        self.greeted.set()

    def invited(self, room: str, user: str, position: Position) -> None:
        """Hand an invitation on."""
        self._on_invited(self, room, user, position)

    def lost(self, error: ZchatError) -> None:
        """Close the DEALER: a later connection has a fresh one, without stale frames."""
        self._close()
        if self._up:
            self._on_link(Disconnected(str(error)))
        else:
            self._urls.rotate(-1)
        self._up = False

    def connect(self) -> None:
        """Open a fresh DEALER."""
        self._close()
        try:
            self._dealer = Dealer(context_of_this_process(), self._urls[0], patient=False)
        except (ZchatError, zmq.ZMQError) as error:  # no file descriptor left, say
            self._fault = f"no connection to {self._urls[0]} can be made: {error}"

    def ended(self, error: ZchatError | None) -> None:
        """Tell why, and let the thread end."""
        self.error = error
        self.greeted.set()
        self._on_end(error)

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._turns()
        except Exception as error:  # a fault of zchat: whoever waits is told, not left waiting
            log.exception("the receive thread failed")
            self.core.fail(f"the receive thread failed: {error!r}", error)
        finally:
            self._alarm.close()
            self._close(lingering=True)
            self._over = True
            self._drain()

    def _close(self, lingering: bool = False) -> None:
        dealer, self._dealer = self._dealer, None
        if dealer is not None:
            dealer.close(lingering)

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
        alarm = self._alarm.socket, zmq.POLLIN
        now = time.monotonic()
        core.start(now)
        arrived = False
        while not core.over:
            for _ in range(len(work)):
                function, *arguments = work.popleft()
                function(*arguments)
            if arrived:
                arrived = self._receive(now, TURN_FRAMES)
            due = core.tick(now)
            if self._fault:
                fault, self._fault = self._fault, ""
                core.lost(fault)
            elif not arrived:
                dealer = self._dealer
                self._asleep = True
                wait = 0 if work or core.over else max(1, int((due - now) * 1000) + 1)
                ready = zmq.zmq_poll([alarm] if dealer is None else [*dealer.polled, alarm], wait)
                self._asleep = False
                self._alarm.quiet()
                if dealer is not None and ready:
                    sockets = [socket for socket, _ in ready]
                    arrived = dealer.socket in sockets
                    if dealer.monitor in sockets and self._broken(dealer):
                        arrived = False
            now = time.monotonic()

    def _receive(self, now: float, most: int) -> bool:
        """Hand what has arrived to the core, `most` frames; True if something may be left."""
        dealer, core = self._dealer, self.core
        if dealer is None:
            return False
        socket = dealer.socket
        for _ in range(most):
            core.receive(socket.recv(zmq.NOBLOCK), now)
            if self._dealer is not dealer or not int(socket.get(zmq.EVENTS)) & _POLLIN:
                return False
        return True

    def _broken(self, dealer: Dealer) -> bool:
        """Take note of a broken connection, behind all that came over it; the first one may take its time."""
        broken = dealer.broken()
        if not broken or not self.greeted.is_set():
            return False
        now = time.monotonic()
        while self._dealer is dealer and int(dealer.socket.get(zmq.EVENTS)) & _POLLIN:
            self._receive(now, TURN_FRAMES)
        if self._dealer is dealer:
            self._fault = f"{self._urls[0]}: {broken}"
        return True
