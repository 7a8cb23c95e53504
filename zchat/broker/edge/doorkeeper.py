"""The doorkeeper: lets connections in, knows whose each frame is, and cuts those that must not stay."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import inf
from typing import Any

import zmq
from zmq.utils import z85

from zchat.broker.core.core import Core
from zchat.broker.edge.descriptor import read_by_libzmq, shut
from zchat.broker.edge.descriptors import limit
from zchat.broker.edge.door import CHECK_EVERY, Door
from zchat.broker.edge.zap import PROPERTY, REQUESTS_AT_ONCE, Zap, ZapRequest, login_of
from zchat.broker.figures.counters import Counters
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import CUT_AFTER, CUT_NOTED_EVERY, UNGREETED
from zchat.broker.port import Cut, Peer
from zchat.transport.keys import guest_name

FILES_FOR_NEWCOMERS = 2
"""At most one file descriptor in so many is a newcomer's."""

_WITH_LAST_WORDS = {Cut.STRANGER, Cut.FOREIGN, Cut.ENDED}

MADE_ROOM = 64
"""Newcomers that are given up at once when descriptors are scarce."""


class Doorkeeper:
    """Everything about a broker's connections that isn't frames. The loop's thread alone.

    It must be made before the ROUTER is bound, and asked of each frame of a connection that has no session, and of each
    while it is `checking`.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        router: zmq.Socket[bytes],
        gate: Gate,
        secret: str = "",
        *,
        logins: bool = False,
    ) -> None:
        self.connections = Connections()
        self._gate = gate
        self.door = Door(context, router, self.connections, secret, logins=logins)
        self._zap = Zap(context)
        self._polled = [(self._zap.fd, zmq.POLLIN), *self.door.polled]
        self._cut: Counter[Cut] = Counter()  # and not logged yet
        self._noted = -inf
        self.due = 0.0
        """When `check` is to be called at the latest by a thread that is awake and hasn't polled since."""
        self.wake = inf
        """When a thread that sleeps is to wake for it."""

    @property
    def polled(self) -> list[tuple[Any, int]]:
        """What can be read when somebody comes or goes: then `check` is to be called."""
        return self._polled if not self.door.shut else [*self._polled, *self.door.polled[1:]]

    def peer(self, routing_id: bytes, frame: zmq.Frame, *, known: bool) -> Peer | None:
        """Return whose a frame is, None if it is not to be read; `known`: the routing id has a session."""
        try:
            number = int(str(frame.get(PROPERTY)))
        except (zmq.ZMQError, ValueError):
            return None
        return self.connections.peer(number, int(frame.get(zmq.SRCFD)), routing_id, known=known)

    def polled_nothing(self, now: float) -> None:
        """Record that nothing can be read: nobody has come or gone."""
        self.due = min(now + CHECK_EVERY, self.wake)

    def cut(self, peer: Peer, why: Cut, now: float) -> None:
        """Have a connection cut, after the time that a last word needs."""
        self.connections.cut(peer.connection, why, now)
        self.wake = min(self.wake, now + CUT_AFTER)

    def check(self, now: float, core: Core) -> None:
        """Let in who asks, unless descriptors are scarce; cut who is to be cut."""
        counters, connections = core.counters, self.connections
        # Who asks now was accepted before: so the monitor is read after the requests, and they are answered last.
        requests = self._zap.requests()
        was_shut = self.door.shut
        self.door.check(now, counters, core.log_lines)
        for peer in self.door.take_vanished():
            core.vanished(peer)
        for request in requests:
            self._answer(request, now, counters)
        cuts = connections.take_due(now, self._most())
        if self.door.shut and not was_shut:
            cuts += [(connections.give_up_oldest(), Cut.CROWDED) for _ in range(MADE_ROOM)]
        cuts += connections.sample(read_by_libzmq, core.taken, now)
        self._shut(cuts, core)
        if self._cut and now - self._noted >= CUT_NOTED_EVERY:
            self._note(now, core)
        self.due = 0.0 if len(requests) == REQUESTS_AT_ONCE else now + CHECK_EVERY
        self.wake = min(self.door.wake, connections.due())
        if self._cut:
            self.wake = min(self.wake, self._noted + CUT_NOTED_EVERY)

    def _answer(self, request: ZapRequest, now: float, counters: Counters) -> None:
        key = None if request.key is None else z85.encode(request.key).decode()
        if key is None:
            admission = self._gate.admit_without_key(partial(login_of, request.address))
        else:
            admission = self._gate.admit(key, guest_name(key), now)
        if admission.let_in:
            number = self.connections.admit(admission.user, key, request.address, admission.name)
            self._zap.let_in(request, number)
            return
        _count(counters, admission.turned_away)
        self._zap.refuse(request, later=admission.turned_away != "turned_away_unknown_key")

    def drained(self, core: Core) -> None:
        """Record that the ROUTER has nothing left that came before."""
        if self.connections.unsettled:
            self.connections.drained()
            self._shut(self.connections.judge(core.taken, drained=True), core)

    def _most(self) -> int:
        """Return how many connections may be newcomers."""
        files = limit()
        return UNGREETED if files is None else min(UNGREETED, files // FILES_FOR_NEWCOMERS)

    def _shut(self, cuts: list[tuple[int, Cut]], core: Core) -> None:
        for fd, why in cuts:
            if fd != -1 and shut(fd, self.door.listening, reset=why not in _WITH_LAST_WORDS):
                self._cut[why] += 1
                _count(core.counters, why.counter)

    def _note(self, now: float, core: Core) -> None:
        """Log what was cut since the last time, a line a reason."""
        self._noted = now
        for why, count in self._cut.items():
            if why is not Cut.ENDED:
                text = f"cut {count} connection{'s' * (count > 1)} {why.words}"
                core.log_lines.add("cut", text, reason=why.counter, count=count)
        self._cut.clear()

    def close(self) -> None:
        """Let nobody in any more; the ROUTER is closed next."""
        self.door.close()
        self._zap.close()


def _count(counters: Counters, name: str) -> None:
    setattr(counters, name, getattr(counters, name) + 1)
