"""The entrance: what a broker's doorkeeper decides is carried out here, with libzmq's sockets and their descriptors."""

from __future__ import annotations

from typing import Any

import zmq

from zchat.broker.edge.descriptor import address, shut
from zchat.broker.edge.door import Door
from zchat.broker.edge.zap import PROPERTY, Zap, ZapRequest
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.guard.connections import Connections
from zchat.broker.port import Peer
from zchat.files import limit
from zchat.transport.descriptor import read_by_libzmq


class Entrance:
    """Where a broker's connections come in: its door, and how libzmq asks whether they may. The loop's thread alone.

    It must be made before the ROUTER is bound, and asked of each frame of a connection that has no session, and of each
    while `connections` are being checked. It closes the `door`.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], door: Door, connections: Connections) -> None:
        self._connections = connections
        self._door = door
        self._zap = Zap(context)
        self.polled: list[tuple[Any, int]] = []
        """What can be read when somebody comes or goes: then `check` is to be called."""
        self._poll()

    @property
    def shut(self) -> bool:
        """True while newcomers are turned away."""
        return self._door.shut

    @property
    def wake(self) -> float:
        """When `check` is next needed, whatever happens."""
        return self._door.wake

    def check(self, now: float, counters: Counters, log_lines: LogLines) -> None:
        """Let newcomers in if there are descriptors, or else turn them away; record who has come and gone."""
        self._door.check(now, counters, log_lines)
        self._poll()

    def _poll(self) -> None:
        self.polled = [(self._zap.fd, zmq.POLLIN), *self._door.polled]

    def take_vanished(self) -> list[Peer]:
        """Return the peers whose connections have ended since the last time."""
        return self._door.take_vanished()

    def knocks(self, most: int) -> list[ZapRequest]:
        """Return connections that ask now to be let in, `most` of them at most."""
        return self._zap.requests(most)

    def let_in(self, knock: ZapRequest, number: int) -> None:
        """Let a connection in, under its number."""
        self._zap.let_in(knock, number)

    def refuse(self, knock: ZapRequest, *, later: bool) -> None:
        """Refuse a connection, for good or for now."""
        self._zap.refuse(knock, later=later)

    def peer(self, routing_id: bytes, frame: zmq.Frame, *, known: bool) -> Peer | None:
        """Return whose a frame is, None if it is not to be read; `known`: the routing id has a session."""
        try:
            number = int(str(frame.get(PROPERTY)))
        except (zmq.ZMQError, ValueError):
            return None
        return self._connections.peer(number, int(frame.get(zmq.SRCFD)), routing_id, len(frame), known=known)

    def limit(self) -> int | None:
        """Return how many descriptors this process may have, None for no limit."""
        return limit()

    def read(self, fd: int) -> int:
        """Return how many bytes libzmq has read from a connection, -1 if that isn't known."""
        return read_by_libzmq(fd)

    def address(self, fd: int) -> str:
        """Return where a connection comes from, "" if that isn't known."""
        return address(fd)

    def cut(self, fd: int, *, reset: bool) -> bool:
        """Close a connection; `reset`: with all that is still to be sent. False if it is none of the broker's."""
        return shut(fd, self._door.listening, reset=reset)

    def close(self) -> None:
        """Let nobody in any more; the ROUTER is closed next."""
        self._door.close()
        self._zap.close()
