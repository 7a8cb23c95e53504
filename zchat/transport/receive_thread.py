"""The receive thread: from its start on it alone makes, uses and closes the client's sockets, and runs its core.

Other threads hand it work through a deque and ring an alarm if it may be asleep. It says that
it is going to sleep, checks the deque once more, then polls; a caller appends, then checks
whether it sleeps. It never runs the user's code and never waits for anything but its sockets.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from zchat.errors import ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.messages import Position
from zchat.threads import Flag, RealThread, awaited_by_callers, start
from zchat.transport.alarm import Alarm
from zchat.transport.context import no_sockets
from zchat.transport.dealer import FRAMING, Dealer
from zchat.transport.keys import NO_KEYS, Credentials
from zchat.transport.link import Link

log = logging.getLogger("zchat.client")

_POLLIN = int(zmq.POLLIN)  # a plain number: an enum's `&` is three calls

DROPPED_SECONDS = 5.0
"""Seconds that a client which was dropped without `close` has to send what was accepted, as in `close`."""

TURN_FRAMES = 64
"""Frames taken from the socket before work from other threads is done."""


class ReceiveThread(Link):
    """A link that is run by a thread of its own, the receive thread: the callbacks are called there.

    `held` returns None once nobody holds the client any more; then the thread ends by itself. It begins with `start`.
    """

    def __init__(
        self, urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_end: Callable[[ZchatError | None], None],
        held: Callable[[], object] = lambda: True,
        credentials: Credentials = NO_KEYS,
    ) -> None:  # fmt: skip
        self.greeted = Flag()  # the first greeting is answered, or never will be
        self._held = held
        self._work: deque[tuple[Any, ...]] = deque()
        self._asleep = False
        self._over = False
        self._alarm: Alarm | None = None
        self._rung = (-1, _POLLIN)
        self._polled: list[tuple[Any, int]] = []
        notified = on_link, on_invited, self.greeted.set, on_end
        super().__init__(urls, user, producer, token, window, *notified, credentials)
        self.thread = RealThread(self._run, f"zchat-receive {self.url}")

    def start(self) -> None:
        """Start the thread, which makes the sockets. Once.

        Raises:
            ZchatError: the system has no more threads.
        """
        start(self.thread)

    def do(self, *work: Any) -> None:
        """Have `work[0](*work[1:])` called in the receive thread. Any thread, wherever it was interrupted."""
        self._work.append(work)
        if self._over:
            try:
                self._work.remove(work)
            except ValueError:
                return  # the thread did it at its end
            work[0](*work[1:])
        elif self._asleep and (alarm := self._alarm) is not None:
            alarm.ring()

    def drop(self) -> None:
        """End the connection soon: nobody holds the client any more. Any thread, a finalizer's too."""
        self.do(self.core.close, time.monotonic() + DROPPED_SECONDS)

    def _watch(self, dealer: Dealer) -> None:
        self._polled = [*dealer.polled, self._rung]

    def _unwatch(self, dealer: Dealer) -> None:
        self._polled = [self._rung]

    # -- the thread ----------------------------------------------------------------------------------

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            self._open_all()
            self._turns()
        except Exception as error:  # a fault of zchat: callers that wait get it, and don't wait for ever
            log.exception("the receive thread failed")
            self.core.fail(f"the receive thread failed: {error!r}", error)
        finally:
            self._close(lingering=True)
            self._over = True
            self._drain()
            if self._alarm is not None:
                self._alarm.close()

    def _open_all(self) -> None:
        """Make the sockets; without them the core ends, with the reason."""
        try:
            self._alarm = Alarm()
            self._rung = (self._alarm.fd, _POLLIN)
            self.open()
        except OSError as error:
            self.core.refuse(no_sockets(error))
        except ZchatError as error:
            self.core.refuse(error)

    def _drain(self) -> None:
        """Have what came in too late answered too: the core has ended, so all of it fails."""
        while True:
            try:
                function, *arguments = self._work.popleft()
            except IndexError:
                return
            function(*arguments)

    def _turns(self) -> None:
        core, work, alarm = self.core, self._work, self._alarm
        if alarm is None:
            return
        now = time.monotonic()
        if not core.over:
            core.start(now)
        arrived = False
        while not core.over:
            for _ in range(len(work)):
                function, *arguments = work.popleft()
                function(*arguments)
                function, arguments = None, []  # what a caller was given is held by the caller alone
            if arrived:
                arrived = self._receive(now)
            if now >= self.due:
                self.be_due(now)
            if now >= self.sample_at:
                self.sample(now)
            due = min(core.tick(now), self.due, self.sample_at)
            if self._fault:
                fault, self._fault = self._fault, ""
                if (dealer := self._dealer) is None or not (dealer.broken() and self.is_shut_out(dealer, now)):
                    core.lost(fault)
            elif not arrived:
                dealer = self._dealer
                self._asleep = True
                wait = 0 if work or core.over else max(1, int((due - now) * 1000) + 1)
                ready = zmq.zmq_poll(self._polled, wait)
                self._asleep = False
                if self._held() is None:
                    core.close(time.monotonic() + DROPPED_SECONDS)
                if ready:
                    sockets = [socket for socket, _ in ready]
                    if alarm.fd in sockets:
                        alarm.quiet()
                if dealer is not None and ready:
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
            frame = socket.recv(zmq.NOBLOCK)
            dealer.taken += len(frame) + FRAMING
            core.receive(frame, now)
            if self._dealer is not dealer or not int(socket.get(zmq.EVENTS)) & _POLLIN:
                return False
        return True

    def _broken(self, dealer: Dealer) -> bool:
        """Return whether the connection is given up, once all that came over it is received; the first has time."""
        broken = dealer.broken()
        if not broken:
            return False
        now = time.monotonic()
        if self.is_shut_out(dealer, now):
            return True
        if self.next_address(now):
            return True
        if not self._greeted:
            return False
        while self._dealer is dealer and int(dealer.socket.get(zmq.EVENTS)) & _POLLIN:
            self._receive(now)
        if self._dealer is dealer:
            self._fault = f"{self._urls[0]}: {broken}"
        return True
