"""The receive thread: it makes, uses and closes the DEALER, and runs the client's core.

Other threads hand it work through a deque and ring an alarm if it may be asleep. It says that
it is going to sleep, looks at the deque once more, then polls; a caller appends, then looks
whether it sleeps. It never runs the user's code and never waits for anybody.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from zchat.address import check_address, is_ipv6
from zchat.alarm import Alarm
from zchat.defaults import DEFAULT_URL
from zchat.errors import AddressError, ZchatError
from zchat.protocol import ClientCore, Welcome
from zchat.wire import FRAME_OVERHEAD, MAX_BLOCK_BYTES

log = logging.getLogger("zchat.client")

LINGER_MS = 200
"""How long a closing socket goes on sending what it was given: a credit, a goodbye."""

SEND_MARK = 1_000
"""Frames that may wait in the DEALER: 16 requests, a credit a room; one more means that nobody reads."""

RECEIVE_MARK = 1_000
"""Frames that libzmq reads ahead: credit bounds what can come long before."""

TURN_FRAMES = 64
"""Frames taken from the socket before work from other threads is looked at again."""

MAX_REPLY_BYTES = 2 * (MAX_BLOCK_BYTES + FRAME_OVERHEAD)
"""The largest frame that is taken from a broker: a notification of one block, with room for more."""

MAX_SOCKETS = 65_536
"""Sockets in the context that a process's clients share, three each; the limit on open files comes first."""

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}
_contexts_lock = threading.Lock()


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return this process's context: one, shared by its clients; a forked child gets its own."""
    with _contexts_lock:
        context = _contexts.get(os.getpid())
        if context is None:
            context = zmq.Context()
            context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
            _contexts[os.getpid()] = context
        return context


class Receiver:
    """Run one connection to a broker in a thread of its own.

    `on_end` is called once in that thread when the connection has ended: with None if that was
    asked for, else with the reason.
    """

    def __init__(
        self, url: str, user: str, producer: bytes, token: bytes, mark: int,
        on_end: Callable[[ZchatError | None], None],
    ) -> None:  # fmt: skip
        check_address(url)
        self.core = ClientCore(self, user, producer, token, mark)
        self.greeted = threading.Event()
        self.error: ZchatError | None = None
        self._on_end = on_end
        self._work: deque[tuple[Any, ...]] = deque()
        self._asleep = False
        self._over = False
        context = _context()
        self._dealer = context.socket(zmq.DEALER)
        try:
            self._dealer.linger = LINGER_MS
            self._dealer.setsockopt(zmq.SNDHWM, SEND_MARK)
            self._dealer.setsockopt(zmq.RCVHWM, RECEIVE_MARK)
            self._dealer.setsockopt(zmq.MAXMSGSIZE, MAX_REPLY_BYTES)
            self._dealer.setsockopt(zmq.IPV6, is_ipv6(url))
            self._dealer.connect(url)
        except zmq.ZMQError as error:
            self._dealer.close(0)
            raise AddressError(
                f"{url!r} is not a broker's address ({error.strerror}): use tcp://HOST:PORT, for instance {DEFAULT_URL}"
            ) from error
        self._alarm = Alarm(context)
        self.thread = threading.Thread(target=self._run, name=f"zchat-receive {url}", daemon=True)
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
        try:
            self._dealer.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self._work.append((self.core.lost, f"{SEND_MARK} frames wait for the broker to read them"))

    def opened(self, welcome: Welcome) -> None:
        """Let the maker go on."""
        self.greeted.set()

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
            self.core.lost(f"the receive thread failed: {error!r}", error)
        finally:
            self._alarm.close()
            self._dealer.close()
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
        core, work, dealer = self.core, self._work, self._dealer
        polled = [(dealer, zmq.POLLIN), (self._alarm.socket, zmq.POLLIN)]
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
            if not arrived:
                self._asleep = True
                wait = 0 if work or core.over else max(1, int((due - now) * 1000) + 1)
                arrived = any(socket is dealer for socket, _ in zmq.zmq_poll(polled, wait))
                self._asleep = False
                self._alarm.quiet()
            now = time.monotonic()

    def _receive(self, now: float) -> bool:
        """Hand what has arrived to the core, a turn's worth; True if something may be left."""
        dealer, core = self._dealer, self.core
        for _ in range(TURN_FRAMES):
            core.receive(dealer.recv(zmq.NOBLOCK), now)
            if not int(dealer.get(zmq.EVENTS)) & zmq.POLLIN:
                return False
        return True
