"""The broker's entrance: what the network reports of connections, and what its doorkeeper makes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from tests.promises.simulation.network import Connection, Network
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.guard.connections import Connections
from zchat.broker.port import Peer


class Entrance:
    """Be the entrance of one run of the broker; `files` are the descriptors that it may have, None for no limit.

    `ring` is called when there is something for the doorkeeper, `refuses` and `cuts` with what it is about to do; to
    refuse is for now or for good.
    """

    shut = False
    wake = inf

    def __init__(
        self, network: Network, connections: Connections, files: int | None, ring: Callable[[], object],
        refuses: Callable[[Connection, bool], object], cuts: Callable[[Connection], object],
    ) -> None:  # fmt: skip
        self._network = network
        self._connections = connections
        self._files = files
        self._ring = ring
        self._refuses = refuses
        self._cuts = cuts
        self._knocking: deque[Connection] = deque()
        self._events: deque[tuple[bool, int]] = deque()
        self._vanished: list[Peer] = []

    # -- what the network reports ----------------------------------------------------------------------

    def accepted(self, connection: Connection) -> None:
        """Record that a connection was accepted."""
        self._events.append((True, connection.fd))
        self._ring()

    def ended(self, connection: Connection) -> None:
        """Record that a connection has ended."""
        self._events.append((False, connection.fd))
        self._ring()

    def knocked(self, connection: Connection) -> None:
        """Record that a connection asks to be let in."""
        self._knocking.append(connection)
        self._ring()

    @property
    def readable(self) -> bool:
        """Tell whether there is something for the doorkeeper."""
        return bool(self._events or self._knocking)

    # -- what the doorkeeper does ----------------------------------------------------------------------

    def knocks(self, most: int) -> list[Connection]:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        return [self._knocking.popleft() for _ in range(min(most, len(self._knocking)))]

    def check(self, now: float, counters: Counters, log_lines: LogLines) -> None:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        while self._events:
            begins, fd = self._events.popleft()
            if begins:
                self._connections.accepted(fd, now)
            elif (peer := self._connections.closed(fd)) is not None:
                self._vanished.append(peer)

    def take_vanished(self) -> list[Peer]:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        vanished, self._vanished = self._vanished, []
        return vanished

    def let_in(self, knock: Connection, number: int) -> None:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        self._network.let_in(knock, number)

    def refuse(self, knock: Connection, *, later: bool) -> None:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        self._refuses(knock, later)
        if not knock.closed:
            knock.refuse(later=later)

    def limit(self) -> int | None:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        return self._files

    def read(self, fd: int) -> int:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        connection = self._network.by_fd.get(fd)
        return -1 if connection is None else connection.received

    def address(self, fd: int) -> str:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        return ""

    def cut(self, fd: int, *, reset: bool) -> bool:
        """See `zchat.broker.guard.doorkeeper.Entrance`."""
        connection = self._network.by_fd.get(fd)
        if connection is None:
            return False
        self._cuts(connection)
        connection.cut(0.0)
        return True
