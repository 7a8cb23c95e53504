"""The loop that owns the ROUTER.

One thread makes, uses and closes the sockets. Others reach it by an alarm:
the store when something is done, and the thread that stops the broker.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import zmq

from zchat.broker.collection import collected_later
from zchat.broker.core.core import Core
from zchat.broker.edge.audit import AuditLog
from zchat.broker.edge.audit_file import check_apart
from zchat.broker.edge.descriptors import clients
from zchat.broker.edge.door import Door
from zchat.broker.edge.entrance import Entrance
from zchat.broker.edge.watched_keys import WatchedKeys
from zchat.broker.edge.watched_rules import WatchedRules
from zchat.broker.edge.watcher import Watcher
from zchat.broker.edge.zap import ZapRequest
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.doorkeeper import CHECK_EVERY, Doorkeeper
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import (
    AUDIT_CLOSE_SECONDS,
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
from zchat.broker.settings import Security, Settings
from zchat.broker.store import files_of
from zchat.broker.store.contract import Store
from zchat.broker.store.ledger import now as microseconds
from zchat.logs import broker_log
from zchat.transport.alarm import SLEPT, Alarm
from zchat.transport.context import new_context, send_part
from zchat.transport.key_folder import KeyFolder
from zchat.version import __version__
from zchat.wire.limits import MAX_FRAME
from zchat.wire.replies import Figures

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

_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.SNDMORE | zmq.NOBLOCK)


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
    place: str = ""
    """The URL of the store, as it may be shown."""


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
        self._audit: AuditLog | None = None
        self._store = store
        self._settings = settings
        self._place = place
        self._stopping = False
        self._end = math.inf
        self._before = 0.0  # when the time was last asked for in a turn
        self._ran = 0.0  # for how long this thread had run by the beginning of the turn, or the end of what was long
        self._sampled = 0.0  # when that was
        self._dropping = False  # frames of a message that is refused are still to come
        self._dropped_before = broker_log.dropped
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
        """Have the keys and the rules read at once, and the audit log begun anew if it was moved. Any thread."""
        if self._watcher is not None:
            self._watcher.read_now()
        if self._audit is not None:
            self._audit.follow()

    def waits_for(self, ident: int) -> bool:
        """Return whether the loop's end waits for the thread of a number. Any thread."""
        return any(each is not None and each.thread.ident == ident for each in (self._watcher, self._audit))

    def run(self, ready: Callable[[], None]) -> None:
        """Open everything, call `ready`, run until stopped, close everything."""
        audit = self._audit = AuditLog(self._security.audit, microseconds)
        reason = "failed"
        try:
            self._run(audit, ready)
            reason = ""
        finally:
            if self.core is not None:
                audit.put(self.core.audit.take_all())
                audit.record("stopped", reason=reason)
            audit.close(max(AUDIT_CLOSE_SECONDS, self._left()))

    def _run(self, audit: AuditLog, ready: Callable[[], None]) -> None:
        security = self._security
        if isinstance(security.audit, str):
            check_apart(security.audit, [*files_of(self._place), *filter(None, [security.rules])])
        folder = None if security.keys is None else KeyFolder(security.keys)
        keys = self._keys = None if folder is None else WatchedKeys(folder, audit)
        rules = self._rules = None if security.rules is None else WatchedRules(security.rules, audit)
        watcher = self._watcher = Watcher([each for each in (keys, rules) if each is not None], self._ring)
        context = new_context(START_FILES)
        try:
            self._alarm = Alarm()
            self._router = _router(context, self._settings)
            try:
                found = (None, frozenset[str]()) if keys is None else (keys.users.names, keys.users.gateways)
                gate = Gate(*found, guests=security.guests, logins=security.logins)
                with collected_later():
                    logs = self._store.open(self._alarm.ring, quotas=gate.binds_names)
                try:
                    secret = "" if folder is None else folder.server.secret
                    connections = Connections()
                    door = Door(context, self._router, connections, secret, logins=security.logins)
                    entrance = self._entrance = Entrance(context, door, connections)
                    self._doorkeeper = Doorkeeper(gate, connections, entrance)
                    urls = [door.open(url) for url in self._bind]
                    started = time.monotonic()
                    with collected_later():
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
                    audit.start()
                    audit.record("started", text=f"zchat {__version__}")
                except BaseException:
                    self._store.undo_open()
                    raise
                try:
                    self.urls = urls
                    users = 0 if keys is None else len(set(keys.users.names.values()))
                    messages = sum(each.last - each.first + 1 for each in logs)
                    self.found = Found(self._store.new, len(logs), messages, users, self._place)
                    self._log_start()
                    ready()
                    self._serve(core)
                finally:
                    left = self._store.close(self._left(LINGER_SECONDS))
                    if left:
                        broker_log.warning("%s", left, event="left_behind")
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
            send_part(router, routing_id, _MORE)
            send_part(router, frame, _NOBLOCK)
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
        audit, connections = self._audit, doorkeeper.connections
        assert watcher is not None
        assert audit is not None
        spent = core.histograms.turn
        began = time.monotonic()
        most = TURN_FRAMES
        while not self._stopping:
            drained = self._receive(core, most)
            asleep = drained or most == 1
            most = TURN_FRAMES
            if core.shares.waiting:
                self._resume(core, drained)
            now = time.monotonic()  # `_now`, without a call: once a turn
            if now - self._before > LONG:
                self._leave_out(core, now)
            self._before = now
            core.tick(now, drained)
            core.turn(now)
            if now >= doorkeeper.due:
                doorkeeper.check(now, core)
            if keys is not None and (users := keys.take()) is not None:
                core.context.gate.revise(users.names, users.gateways)
                core.keys_changed()
            if rules is not None and (changed := rules.take()) is not None:
                core.revise(changed)
            if now >= watcher.due:
                watcher.check(now)
            if core.log_lines.kept:
                _log(core)
            if core.audit.used and (lines := core.audit.take(now)):
                audit.put(lines)
            if now >= audit.due:
                audit.check(now, core)
            core.counters.log_dropped = broker_log.dropped - self._dropped_before
            end = time.monotonic()
            microseconds_spent = int((end - began) * 1_000_000)  # `Tally.add`, without a call: once a turn
            spent.counts[bisect_left(spent.bounds, microseconds_spent)] += 1
            spent.sum += microseconds_spent
            if asleep and (due := core.due()) >= 0.0:
                if core.pinged and core.gathering():
                    time.sleep(NAP)
                    end = time.monotonic()
                arrived, somebody = self._sleep(min(due, doorkeeper.wake) - now)
                slept, end = time.monotonic() - end, time.monotonic()
                if not somebody:
                    doorkeeper.due = min(end + CHECK_EVERY, doorkeeper.wake)  # nobody has come or gone
                if not arrived:
                    most = 0
                elif (
                    slept > SLEPT
                    and end < core.expiry_due
                    and not (core.shares.waiting or connections.checking or connections.sampled)
                ):  # it is alone, and to find that out costs as much as to serve it; the next sleep ends at once if not
                    most = 1
            began = end

    def _receive(self, core: Core, most: int = TURN_FRAMES) -> bool:
        """Hand what has arrived to the core, `most` frames (0: nothing has); return True if nothing is left."""
        router, entrance, doorkeeper = self._router, self._entrance, self._doorkeeper
        assert entrance is not None
        assert doorkeeper is not None
        connections, sessions = doorkeeper.connections, core.sessions
        self._before = self._sampled = time.monotonic()
        self._ran = time.thread_time()
        end = self._before + TURN_SECONDS
        for _ in range(most):
            now = time.monotonic()  # `_now`, without a call: once a frame, and when none is left
            if now - self._before > LONG:
                self._leave_out(core, now)
            self._before = now
            if now >= end:
                return False
            try:
                first = router.recv(_NOBLOCK)
            except zmq.Again:
                break
            if self._dropping:
                self._dropping = bool(router.getsockopt(zmq.RCVMORE))
                continue
            # After a routing id there is always a frame.
            frame = router.recv(_NOBLOCK, copy=False)
            self._dropping = frame.more
            known = first in sessions
            peer = None
            if not known or connections.checking:
                peer = entrance.peer(first, frame, known=known)
                if peer is None:
                    continue
            frames = [frame.bytes]
            if frame.more:
                frames.append(b"")  # refused: that there is another frame is enough to know, none is kept
            core.receive(first, frames, now, peer)
            if not known and peer is not None:
                if first in sessions:
                    connections.greeted(peer.connection)
                elif core.waiting.holds(peer):
                    connections.waits(peer.connection)
        else:
            if most:
                return False
        if connections.checking or connections.sampled:
            doorkeeper.drained(core, self._before)
        return True

    def _resume(self, core: Core, drained: bool) -> None:
        """Carry out what has waited, for a moment."""
        assert self._doorkeeper is not None
        end = self._now(core) + RESUME_SECONDS
        while (now := self._now(core)) < end and (waiting := core.resume(now, idle=drained)) is not None:
            drained = False  # others may have said something meanwhile: what isn't paid for goes one at a time
            if waiting.session is None:
                peer, connections = waiting.peer, self._doorkeeper.connections
                if peer.routing_id in core.sessions:
                    connections.greeted(peer.connection)
                else:
                    connections.refused(peer.connection, now)

    def _now(self, core: Core) -> float:
        """Return the time, once what was long since the last time is looked into."""
        now = time.monotonic()
        if now - self._before > LONG:
            self._leave_out(core, now)
        self._before = now
        return now

    def _leave_out(self, core: Core, now: float) -> None:
        """Take the time in which this thread did not run out of the account: it is nobody's."""
        ran = time.thread_time()
        # What came before in this turn was short, and ran as long as it took.
        running = max(0.0, ran - self._ran - (self._before - self._sampled))
        core.shares.pass_over(max(0.0, now - self._before - running))
        self._ran, self._sampled = ran, now

    def _sleep(self, seconds: float) -> tuple[bool, bool]:
        """Wait for what there is to do; return whether frames have arrived, and whether the doorkeeper has work."""
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
            return ready[0][0] is self._router, True
        return bool(ready), False

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
        new, rooms, messages, *_ = self.found
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
        broker_log.info("listening at %s; store %s (%s)", ", ".join(self.urls), self._place, held, **fields)
        if self._store.caution:
            broker_log.warning("%s", self._store.caution, event="caution")


def _log_end(figures: Figures) -> None:
    counts = figures.counts
    seconds = counts["uptime"] / 1_000_000
    fields = {"event": "stopped", "uptime": round(seconds, 3), "counts": counts, "refused": figures.refused}
    text = "stopped after %.0f s; messages stored: %d, delivered: %d; commands refused: %d"
    refused = sum(figures.refused.values())
    broker_log.info(text, seconds, counts["messages"], counts["deliveries"], refused, **fields)


def _log(core: Core) -> None:
    for text, grave, fields in core.log_lines.take():
        report = broker_log.error if grave else broker_log.info
        report("%s", text, **fields)


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
