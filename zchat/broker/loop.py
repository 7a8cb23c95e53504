"""The loop that owns the ROUTER.

One thread makes, uses and closes the sockets. Others reach it by an alarm:
the store when something is done, and the thread that stops the broker.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import zmq

from zchat.broker.core.core import Core
from zchat.broker.edge.descriptors import clients
from zchat.broker.edge.door import Door
from zchat.broker.edge.entrance import Entrance
from zchat.broker.edge.watched_keys import WatchedKeys
from zchat.broker.edge.watched_rules import WatchedRules
from zchat.broker.edge.watcher import Watcher
from zchat.broker.edge.zap import ZapRequest
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.doorkeeper import Doorkeeper
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import (
    CLOSE_SECONDS,
    LINGER_SECONDS,
    LONG,
    MAX_REQUESTS,
    NAP,
    RESUME_SECONDS,
    STOP_SECONDS,
    TURN_FRAMES,
    TURN_SECONDS,
)
from zchat.broker.port import Cut, Peer, Sent
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Store
from zchat.broker.store.ledger import now as microseconds
from zchat.log_fields import FIELDS
from zchat.transport.alarm import Alarm
from zchat.transport.context import new_context
from zchat.transport.keys import KeyFolder
from zchat.wire.limits import MAX_FRAME
from zchat.wire.replies import Figures

log = logging.getLogger("zchat.broker")

HANDSHAKE_MS = 5_000
"""How long a raw TCP connection may take to become a ZeroMQ peer."""

TRANSPORT_HEARTBEAT_MS = 15_000
"""How often libzmq itself checks that a peer's TCP connection is alive: frees what is half open."""

ZAP_DOMAIN = b"zchat"
"""The domain that libzmq asks the handler of ZAP requests about."""

START_FILES = 32
"""File descriptors that have to be free for a start: some 20 are used, and libzmq ends the process if it gets none."""

MAX_WAIT = 1.0
"""Seconds that the loop sleeps at most."""

_MORE = zmq.SNDMORE | zmq.NOBLOCK


class Found(NamedTuple):
    """What a broker found at its start: in its store, and in its folder of keys."""

    new: bool
    """True if there was no store, so that the broker has begun one."""
    rooms: int
    """The number of rooms that have a log."""
    messages: int
    """The number of messages that could be read."""
    users: int = 0
    """The number of users who are let in by their keys; 0 without keys."""


class Security(NamedTuple):
    """Who may come in, and do what, as chosen at the start."""

    keys: str | None = None
    """The folder with the broker's keys, None for none."""
    guests: bool = False
    """True if keys that aren't in it are let in, as guests."""
    logins: bool = False
    """True if over ipc a login is the name, without a key."""
    rules: str | None = None
    """The file of rules, None for none."""


class Loop:
    """The loop of a broker: receive, tick, serve, sleep."""

    def __init__(
        self,
        bind: tuple[str, ...],
        store: Store,
        settings: Settings,
        place: str = "memory:",
        security: Security | None = None,
    ) -> None:
        self._bind = bind
        self._security = security or Security()
        self._keys: WatchedKeys | None = None
        self._rules: WatchedRules | None = None
        self._watcher: Watcher | None = None
        self._store = store
        self._settings = settings
        self._place = place
        self._stopping = False
        self._end = math.inf
        self._before = 0.0  # when the time was last asked for in a turn
        self._ran = 0.0  # for how long this thread had run by the beginning of the turn, or the end of what was long
        self._sampled = 0.0  # when that was
        self._dropping = False  # frames of a message that is refused are still to come
        self._alarm: Alarm | None = None
        self._router: zmq.Socket[bytes]
        self._entrance: Entrance | None = None
        self._doorkeeper: Doorkeeper[ZapRequest] | None = None
        self.urls: list[str] = []
        self.core: Core | None = None
        self.found = Found(True, 0, 0)
        """What was there at the start."""

    def stop(self) -> None:
        """Ask the loop to end. Any thread."""
        if not self._stopping:
            self._end = time.monotonic() + STOP_SECONDS
            self._stopping = True
        self._ring()

    def read_again(self) -> None:
        """Have the keys and the rules read at once. Any thread."""
        if self._watcher is not None:
            self._watcher.read_now()

    def run(self, ready: Callable[[], None]) -> None:
        """Open everything, call `ready`, run until stopped, close everything."""
        security = self._security
        folder = None if security.keys is None else KeyFolder(security.keys)
        keys = self._keys = None if folder is None else WatchedKeys(folder)
        rules = self._rules = None if security.rules is None else WatchedRules(security.rules)
        watcher = self._watcher = Watcher([each for each in (keys, rules) if each is not None], self._ring)
        context = new_context(START_FILES)
        try:
            self._alarm = Alarm()
            self._router = _router(context, self._settings)
            try:
                gate = Gate(None if keys is None else keys.users.names, guests=security.guests, logins=security.logins)
                logs = self._store.open(self._alarm.ring, quotas=gate.binds_names)
                try:
                    secret = "" if folder is None else folder.server.secret
                    connections = Connections()
                    door = Door(context, self._router, connections, secret, logins=security.logins)
                    entrance = self._entrance = Entrance(context, door, connections)
                    self._doorkeeper = Doorkeeper(gate, connections, entrance)
                    urls = [door.open(url) for url in self._bind]
                    started = time.monotonic()
                    core = self.core = Core(
                        self,
                        self._store,
                        logs,
                        self._settings,
                        started,
                        microseconds,
                        gate,
                        None if rules is None else rules.rules,
                    )
                    watcher.start()
                except BaseException:
                    self._store.undo_open()
                    raise
                try:
                    self.urls = urls
                    users = 0 if keys is None else len(set(keys.users.names.values()))
                    messages = sum(each.last - each.first + 1 for each in logs)
                    self.found = Found(self._store.new, len(logs), messages, users)
                    self._log_start()
                    ready()
                    self._serve(core)
                finally:
                    left = self._store.close(self._left(LINGER_SECONDS))
                    if left:
                        log.warning("%s", left, extra={FIELDS: {"event": "left_behind"}})
                _log_end(core.figures())
            finally:
                watcher.close()
                if self._entrance is not None:
                    self._entrance.close()
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

    def cut(self, peer: Peer, why: Cut) -> None:
        """Close a peer's connection soon: the core's port."""
        assert self._doorkeeper is not None
        self._doorkeeper.cut(peer, why, time.monotonic())

    def _ring(self) -> None:
        if self._alarm is not None:
            self._alarm.ring()

    def _serve(self, core: Core) -> None:
        try:
            self._turns(core)
            self._farewell(core)
        except BaseException:
            with suppress(Exception):  # clients learn of it now, not by a silence; what failed may fail again
                core.dismiss()
            raise

    def _left(self, kept: float = 0) -> float:
        """Return the seconds left of the time for stopping, less `kept`; it begins now if no stop was requested."""
        now = time.monotonic()
        self._end = min(self._end, now + STOP_SECONDS)
        return max(0.0, self._end - kept - now)

    def _turns(self, core: Core) -> None:
        doorkeeper = self._doorkeeper
        assert doorkeeper is not None
        keys, rules, watcher = self._keys, self._rules, self._watcher
        assert watcher is not None
        spent = core.histograms.turn
        began = time.monotonic()
        while not self._stopping:
            drained = self._receive(core)
            if core.shares:
                self._resume(core, drained)
            now = self._now(core)
            core.tick(now, drained)
            core.turn(now)
            if now >= doorkeeper.due:
                doorkeeper.check(now, core)
            if keys is not None and (users := keys.take()) is not None:
                core.context.gate.revise(users.names)
                core.keys_changed()
            if rules is not None and (changed := rules.take()) is not None:
                core.revise(changed)
            if now >= watcher.due:
                watcher.check(now)
            if core.log_lines:
                _log(core)
            end = time.monotonic()
            spent.add(int((end - began) * 1_000_000))
            if drained and not core.busy:
                if core.gathering():
                    time.sleep(NAP)
                somebody = self._sleep(min(core.due(), doorkeeper.wake) - now)
                end = time.monotonic()
                if not somebody:
                    doorkeeper.polled_nothing(end)
            began = end

    def _receive(self, core: Core) -> bool:
        """Hand what has arrived to the core, a turn's worth; return True if nothing is left."""
        router, entrance, doorkeeper = self._router, self._entrance, self._doorkeeper
        assert entrance is not None
        assert doorkeeper is not None
        connections = doorkeeper.connections
        self._before = self._sampled = time.monotonic()
        self._ran = time.thread_time()
        end = self._before + TURN_SECONDS
        for _ in range(TURN_FRAMES):
            now = self._now(core)
            if now >= end:
                return False
            try:
                first = router.recv(zmq.NOBLOCK)
            except zmq.Again:
                doorkeeper.drained(core)
                return True
            if self._dropping:
                self._dropping = bool(router.getsockopt(zmq.RCVMORE))
                continue
            # After a routing id there is always a frame.
            known = core.knows(first)
            peer = None
            if known and not connections.checking:
                frames = [router.recv(zmq.NOBLOCK)]
            else:
                frame = router.recv(zmq.NOBLOCK, copy=False)
                frames = [frame.bytes]
                peer = entrance.peer(first, frame, known=known)
                if peer is None:
                    self._dropping = bool(router.getsockopt(zmq.RCVMORE))
                    continue
            if router.getsockopt(zmq.RCVMORE):
                frames.append(b"")  # refused: that there is another frame is enough to know, none is kept
                self._dropping = True
            core.receive(first, frames, now, peer)
            if not known and peer is not None and core.knows(first):
                connections.greeted(peer.connection)
        return False

    def _resume(self, core: Core, drained: bool) -> None:
        """Carry out what has waited, for a moment."""
        assert self._doorkeeper is not None
        end = self._now(core) + RESUME_SECONDS
        while (now := self._now(core)) < end and (waiting := core.resume(now, idle=drained)) is not None:
            if waiting.session is None and core.knows(waiting.peer.routing_id):
                self._doorkeeper.connections.greeted(waiting.peer.connection)

    def _now(self, core: Core) -> float:
        """Return the time; that in which this thread did not run is nobody's, if it was long."""
        now = time.monotonic()
        if now - self._before > LONG:
            ran = time.thread_time()
            # What came before in this turn was short, and ran as long as it took.
            running = max(0.0, ran - self._ran - (self._before - self._sampled))
            core.shares.pass_over(max(0.0, now - self._before - running))
            self._ran, self._sampled = ran, now
        self._before = now
        return now

    def _sleep(self, seconds: float) -> bool:
        """Wait for what there is to do; return True if that is of the doorkeeper's."""
        assert self._alarm is not None
        assert self._doorkeeper is not None
        assert self._entrance is not None
        wait = max(0, int(min(seconds, MAX_WAIT) * 1000) + 1)
        ready: list[Any] = zmq.zmq_poll(
            [(self._router, zmq.POLLIN), *self._entrance.polled, (self._alarm.fd, zmq.POLLIN)], wait
        )
        if ready and ready[-1][0] == self._alarm.fd:
            self._alarm.quiet()
            ready.pop()
        if ready and ready[-1][0] is not self._router:
            self._doorkeeper.due = 0.0
            return True
        return False

    def _farewell(self, core: Core) -> None:
        """Answer what was accepted, dismiss the clients, within a bound of time."""
        assert self._doorkeeper is not None
        core.stop()
        deadline = time.monotonic() + self._left(CLOSE_SECONDS + LINGER_SECONDS)
        while not core.settled and (now := time.monotonic()) < deadline:
            self._receive(core)
            core.tick(now, False)
            core.turn(now)
            self._doorkeeper.check(now, core)
            _log(core)
            self._sleep(min(core.due(), deadline) - now)
        core.dismiss()
        _log(core)

    def _log_start(self) -> None:
        new, rooms, messages, _ = self.found
        settings = self._settings
        fields = {
            "event": "listening",
            "urls": self.urls,
            "store": self._place,
            "new": new,
            "rooms": rooms,
            "messages": messages,
            "retain_messages": settings.retain_messages,
            "retain_days": settings.retain_days,
            "clients": clients(self.urls),
        }
        held = "new" if new else f"messages: {messages:,}, rooms: {rooms:,}"
        log.info("listening at %s; store %s (%s)", ", ".join(self.urls), self._place, held, extra={FIELDS: fields})


def _log_end(figures: Figures) -> None:
    counts = figures.counts
    seconds = counts["uptime"] / 1_000_000
    fields = {"event": "stopped", "uptime": round(seconds, 3), "counts": counts, "refused": figures.refused}
    text = "stopped after %.0f s; messages stored: %d, delivered: %d; commands refused: %d"
    refused = sum(figures.refused.values())
    log.info(text, seconds, counts["messages"], counts["deliveries"], refused, extra={FIELDS: fields})


def _log(core: Core) -> None:
    for text, grave, fields in core.log_lines.take():
        log.log(logging.ERROR if grave else logging.INFO, "%s", text, extra={FIELDS: fields})


def _router(context: zmq.Context[zmq.Socket[bytes]], settings: Settings) -> zmq.Socket[bytes]:
    # A peer may claim a routing id of the kind that the ROUTER makes itself, and when its counter
    # comes to that number libzmq ends the process; it starts at libc's rand(), the same each time
    # unless it is seeded.
    if sys.platform != "win32":
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "big"))
    router = context.socket(zmq.ROUTER)
    router.linger = int(LINGER_SECONDS * 1000)
    # With a ZAP domain libzmq refuses ZMTP 1 and 2, to which it would fall back: the POST of any web page
    # passes for ZMTP 1, whose frames are then the page's body.
    router.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a handler nobody is let in
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # Twice what a session may have unanswered in its busiest room, pushes, replies and a state frame:
    # libzmq hands room back in steps of half the mark.
    router.setsockopt(zmq.SNDHWM, 2 * (settings.high_water_mark + MAX_REQUESTS + 1))
    # No high-water mark: once one is reached, libzmq stops reading from the peer, and then a ping of ZMTP among what
    # it has read already and the connection's end make it end the process. The doorkeeper bounds what waits.
    router.setsockopt(zmq.RCVHWM, 0)
    router.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
    router.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    router.setsockopt(zmq.HEARTBEAT_IVL, TRANSPORT_HEARTBEAT_MS)
    router.setsockopt(zmq.HEARTBEAT_TIMEOUT, TRANSPORT_HEARTBEAT_MS)
    return router
