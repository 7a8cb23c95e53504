"""The broker as a thread: the loop that owns the ROUTER, and the face that starts and stops it.

One thread makes, uses and closes the sockets. Others reach it by an inproc PAIR under a lock:
the store when something is done, and whoever stops the broker.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import zmq

from zchat.alarm import Alarm
from zchat.broker.core import Core
from zchat.broker.counters import Counters
from zchat.broker.limits import (
    CLOSE_SECONDS,
    HIGH_WATER_MARK,
    LINGER_SECONDS,
    MAX_MESSAGE,
    MAX_REQUESTS,
    NAP,
    STOP_SECONDS,
    TURN_FRAMES,
)
from zchat.broker.push import Sent
from zchat.broker.settings import DEFAULT_ROOMS, Settings
from zchat.broker.store import open_store
from zchat.broker.store.base import Store
from zchat.broker.store.ledger import now as microseconds
from zchat.defaults import DEFAULT_URL
from zchat.errors import AddressError, UsageError, ZchatError
from zchat.wire import FRAME_OVERHEAD, MAX_BLOCK_BYTES

log = logging.getLogger("zchat.broker")

START_SECONDS = 60.0
"""How long opening the store and the addresses may take: a large file that is upgraded takes its time."""

JOIN_SECONDS = 10.0
"""How long the thread may take to end: far more than a stop takes, so that a fault shows as one."""

BACKLOG = 1024
"""TCP connections that may wait for being accepted: a fleet that comes back at once."""

RECEIVE_MARK = 2 * MAX_REQUESTS
"""Messages that libzmq reads ahead a peer: what a session may have unanswered, credit and pings beside it."""

HANDSHAKE_MS = 5_000
"""How long a raw TCP connection may take to become a ZeroMQ peer."""

TRANSPORT_HEARTBEAT_MS = 15_000
"""How often libzmq itself looks whether a peer's TCP connection is alive: frees what is half open."""

MAX_WAIT = 1.0
"""Seconds that the loop sleeps at most."""

MAX_SOCKETS = 65_536
"""Sockets that the context may hold: the system's limit on open files is the one that counts."""


class Broker:
    """Run a broker in a thread of this program, for as long as a `with` block lasts.

    `bind`: the addresses to listen at, `tcp://HOST:PORT` (`*` as port: any free one) or
    `ipc://PATH`; without one tcp://127.0.0.1:5555. `store`: `memory:` or `sqlite:PATH`.
    `high_water_mark`: notifications that a member may have unanswered in a room, 1 to 10,000.
    `rooms`: rooms that are always there. `fixed_rooms`: nobody can make others.
    `retain_messages`: how many newest messages each room keeps at least, 0 for all.
    `retain_days`: for how many days, 0 for ever. `max_message`: bytes of one message.

    Entering returns once clients can connect. Leaving answers what was accepted, tells the
    clients, and raises what ended the loop if something did (if the block raises as well, its
    error gets a note of that). Any thread may call; a forked child may not, and leaving the block
    there does nothing.

    Raises:
        UsageError: an argument is wrong; BadName: a room's name is.
        AddressError: an address is malformed, in use, or not this machine's.
        StoreError: the store can't be opened, or failed for good.
        ZchatError: the broker does not start, or end, in its time.
    """

    def __init__(
        self,
        *bind: str,
        store: str = "memory:",
        high_water_mark: int = HIGH_WATER_MARK,
        rooms: tuple[str, ...] | list[str] = DEFAULT_ROOMS,
        fixed_rooms: bool = False,
        retain_messages: int = 0,
        retain_days: float = 0,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._settings = Settings(high_water_mark, tuple(rooms), fixed_rooms, retain_messages, retain_days, max_message)
        self._bind = bind or (DEFAULT_URL,)
        self._store = open_store(store)
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._pid = 0

    @property
    def urls(self) -> list[str]:
        """Return the addresses that clients can connect to."""
        if self._loop is None or not self._loop.urls:
            raise UsageError("the broker is not running: use it within its `with` block")
        return list(self._loop.urls)

    @property
    def url(self) -> str:
        """Return the first of the addresses."""
        return self.urls[0]

    @property
    def counters(self) -> Counters:
        """Return what the broker has counted; read only."""
        if self._loop is None or self._loop.core is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        return self._loop.core.counters

    def __enter__(self) -> Broker:
        if self._thread is not None:
            raise UsageError("a broker runs once: make another one")
        self._pid = os.getpid()
        self._loop = Loop(self._bind, self._store, self._settings)
        self._thread = threading.Thread(target=self._run, name="zchat-broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            self._loop.stop()
            raise ZchatError(f"the broker did not start within {START_SECONDS:g} s")
        if not self._loop.urls and self._error is not None:
            self._join()
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            return
        self.stop()
        if self._error is not None:
            if error is None:
                raise self._error
            error.add_note(f"The broker had failed before: {self._error!r}")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the broker has ended, for `timeout` seconds at most (None: for ever); True if it has."""
        if self._thread is None:
            raise UsageError("the broker is not running: use it within its `with` block")
        self._check_process()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop the broker and wait for it; what went wrong in it is raised where the block is left."""
        if self._loop is not None and self._thread is not None:
            self._check_process()
            self._loop.stop()
            self._join()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise UsageError("the broker runs in the process that started it, not in one forked from it")

    def _join(self) -> None:
        assert self._thread is not None
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            raise ZchatError(f"the broker did not end within {JOIN_SECONDS:g} s; it goes on until the program ends")

    def _run(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run(self._ready.set)
        except BaseException as error:
            self._error = error
            if self._ready.is_set():  # else whoever waits for the start is told
                log.exception("the broker has failed")
        finally:
            self._ready.set()


_MORE = zmq.SNDMORE | zmq.NOBLOCK


class Loop:
    """Own the ROUTER: receive, tick, serve, sleep."""

    def __init__(self, bind: tuple[str, ...], store: Store, settings: Settings) -> None:
        self._bind = bind
        self._store = store
        self._settings = settings
        self._stopping = threading.Event()
        self._end = math.inf
        self._alarm: Alarm | None = None
        self._router: zmq.Socket[bytes]
        self.urls: list[str] = []
        self.core: Core | None = None

    def stop(self) -> None:
        """Ask the loop to end. Any thread."""
        if not self._stopping.is_set():
            self._end = time.monotonic() + STOP_SECONDS
            self._stopping.set()
        if self._alarm is not None:
            self._alarm.ring()

    def run(self, ready: Callable[[], None]) -> None:
        """Open everything, say so by calling `ready`, run until stopped, close everything."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
        try:
            self._alarm = Alarm(context)
            self._router = _router(context, self._settings)
            try:
                logs = self._store.open(self._alarm.ring)
                try:
                    urls = [_bind(self._router, url) for url in self._bind]
                    self.core = Core(self, self._store, logs, self._settings, time.monotonic(), microseconds)
                    self.urls = urls
                    log.info("listening at %s", ", ".join(urls))
                    ready()
                    self._serve(self.core)
                finally:
                    self._store.close(self._left(LINGER_SECONDS))
            finally:
                self._router.close(int(min(LINGER_SECONDS, self._left()) * 1000))
                self._alarm.close()
        finally:
            context.term()

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Send one frame to one peer without blocking: the core's port."""
        router = self._router
        try:
            router.send(routing_id, _MORE)
            router.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return Sent.FULL
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return Sent.GONE
        return Sent.SENT

    def _serve(self, core: Core) -> None:
        try:
            self._turns(core)
            self._farewell(core)
        except BaseException:
            with suppress(Exception):  # clients learn of it now, not by a silence; what failed may fail again
                core.dismiss()
            raise

    def _left(self, kept: float = 0) -> float:
        """Return the seconds left of the time for stopping, less `kept`; it begins now if nobody asked to stop."""
        now = time.monotonic()
        self._end = min(self._end, now + STOP_SECONDS)
        return max(0.0, self._end - kept - now)

    def _turns(self, core: Core) -> None:
        while not self._stopping.is_set():
            drained = self._receive(core)
            now = time.monotonic()
            core.tick(now, drained)
            core.turn(now)
            if core.notes:
                _log(core)
            if drained and not core.pusher.busy:
                if core.gathering():
                    time.sleep(NAP)
                self._sleep(core.due() - now)

    def _receive(self, core: Core) -> bool:
        """Hand what has arrived to the core, a turn's worth; True if nothing is left."""
        router = self._router
        now = time.monotonic()
        for _ in range(TURN_FRAMES):
            try:
                routing_id = router.recv(zmq.NOBLOCK)
            except zmq.Again:
                return True
            frames = [router.recv(zmq.NOBLOCK)]  # behind a routing id there is always a frame
            while router.getsockopt(zmq.RCVMORE):
                frames[1:] = [router.recv(zmq.NOBLOCK)]  # refused: one is enough to tell, the rest isn't kept
            core.receive(routing_id, frames, now)
        return False

    def _sleep(self, seconds: float) -> None:
        assert self._alarm is not None
        wait = max(0, int(min(seconds, MAX_WAIT) * 1000) + 1)
        zmq.zmq_poll([(self._router, zmq.POLLIN), (self._alarm.socket, zmq.POLLIN)], wait)
        self._alarm.quiet()

    def _farewell(self, core: Core) -> None:
        """Answer what was accepted, tell the clients, within a bound of time."""
        core.stop()
        deadline = time.monotonic() + self._left(CLOSE_SECONDS + LINGER_SECONDS)
        while not core.settled and (now := time.monotonic()) < deadline:
            self._receive(core)
            core.tick(now, False)
            core.turn(now)
            _log(core)
            self._sleep(min(core.due(), deadline) - now)
        core.dismiss()
        _log(core)
        log.info("stopped: %s", core.counters)


def _log(core: Core) -> None:
    for text, grave in core.notes.take():
        log.log(logging.ERROR if grave else logging.INFO, "%s", text)


def _router(context: zmq.Context[zmq.Socket[bytes]], settings: Settings) -> zmq.Socket[bytes]:
    # A peer may claim a routing id of the kind that the ROUTER makes itself, and when its counter
    # comes to that number libzmq ends the process; it starts at libc's rand(), the same each time
    # unless it is seeded.
    if sys.platform != "win32":
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "big"))
    router = context.socket(zmq.ROUTER)
    router.linger = int(LINGER_SECONDS * 1000)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # Twice what a session may have unanswered in its busiest room, pushes and replies: libzmq hands
    # room back in steps of half the mark.
    router.setsockopt(zmq.SNDHWM, 2 * (settings.high_water_mark + MAX_REQUESTS))
    router.setsockopt(zmq.RCVHWM, RECEIVE_MARK)
    router.setsockopt(zmq.MAXMSGSIZE, MAX_BLOCK_BYTES + FRAME_OVERHEAD)
    router.setsockopt(zmq.BACKLOG, BACKLOG)
    router.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    router.setsockopt(zmq.HEARTBEAT_IVL, TRANSPORT_HEARTBEAT_MS)
    router.setsockopt(zmq.HEARTBEAT_TIMEOUT, TRANSPORT_HEARTBEAT_MS)
    return router


def _bind(router: zmq.Socket[bytes], url: str) -> str:
    try:
        router.bind(url)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise AddressError(f"{url} is in use: is a broker running there? choose another port") from error
        if error.errno in (zmq.EINVAL, zmq.EPROTONOSUPPORT):
            raise AddressError(f"{url!r} is not an address: use tcp://HOST:PORT, for instance {DEFAULT_URL}") from error
        raise AddressError(f"can't listen at {url}: {error.strerror}; use an address of this machine") from error
    endpoint = router.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode()
