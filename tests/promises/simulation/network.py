"""The network between the cores: what libzmq and TCP do to frames, for good and for bad."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from tests.promises.simulation.world import World
from zchat.broker.port import Peer, Sent

RETRY = 0.05
"""Seconds between two of libzmq's tries to reach a broker that doesn't listen."""

BYE = b"\x92\xa3bye"
"""How a goodbye begins."""

NO_SESSION = b"\xaano_session"
"""What a refusal for want of a session holds: the broker was started anew, and nobody had told the client yet."""


class Owner(Protocol):
    """Have a DEALER."""

    def arrived(self, frame: bytes) -> None:
        """Take a frame."""

    def broken(self) -> None:
        """Take note, if the socket's monitor has told it, that the TCP connection is broken."""


class Line:
    """Carry frames one way, in order: `latency` seconds each, more or less."""

    __slots__ = ("_last", "dead", "frames", "latency", "stalled_until", "take", "world")

    def __init__(self, world: World, latency: float, take: Callable[[bytes], None]) -> None:
        self.world = world
        self.latency = latency
        self.take = take
        self.frames: deque[bytes] = deque()
        self.stalled_until = 0.0
        self.dead = False
        self._last = 0.0

    def send(self, frame: bytes) -> None:
        """Put a frame on the way; on a dead line it stays there."""
        self.frames.append(frame)
        if not self.dead:
            world = self.world
            self._last = max(self._last, world.now + self.latency * (0.5 + world.random.random()))
            world.after(self._last - world.now, self._arrive)

    def _arrive(self) -> None:
        if self.dead or not self.frames:
            return
        if self.stalled_until > self.world.now:
            self.world.after(self.stalled_until - self.world.now, self._arrive)
            return
        self.take(self.frames.popleft())


class Connection:
    """Join a DEALER to the ROUTER, which knows it by a routing id."""

    def __init__(self, network: Network, dealer: Dealer, routing_id: bytes, number: int) -> None:
        world = network.world
        latency = world.random.choice((0.0002, 0.001, 0.005, 0.02))
        self.network = network
        self.dealer = dealer
        self.peer = Peer(routing_id, "", connection=number)
        self.up = Line(world, latency, self._at_broker)
        self.down = Line(world, latency, self._at_client)

    def _at_broker(self, frame: bytes) -> None:
        self.network.world.note("up", self.peer.routing_id, frame)
        if frame.startswith(BYE):
            self.network.byes.add(self.dealer)
        self.network.at_broker(self.peer, frame)

    def _at_client(self, frame: bytes) -> None:
        self.network.world.note("down", self.peer.routing_id, frame)
        if NO_SESSION in frame:
            self.network.byes.discard(self.dealer)
        self.dealer.owner.arrived(frame)

    @property
    def waiting(self) -> int:
        """Return how many frames have not reached the client's thread."""
        return len(self.down.frames) + self.dealer.owner_backlog()

    def cut(self, forgotten_after: float) -> None:
        """Break: what is under way is lost; the ROUTER learns of it after that many seconds."""
        self.up.dead = self.down.dead = True
        self.network.world.after(forgotten_after, self.network.forget, self)
        self.dealer.lost(self)

    def let_go(self, stragglers: float | None) -> None:
        """Take note that the DEALER was closed.

        What it sent still arrives, `stragglers` seconds late, or (None) never.
        """
        self.down.dead = True
        if stragglers is None:
            self.up.dead = True
        else:
            self.up.stalled_until = max(self.up.stalled_until, self.network.world.now + stragglers)
        self.network.world.after((stragglers or 0.0) + 0.1, self.network.forget, self)


class Network:
    """Hold all connections, and be the broker's port.

    `room` is how many frames a pipe to a client takes. `listening` tells whether a broker is
    there; `at_broker` is called with what reaches it, `ended` with each peer whose connection it
    knows to have ended; `byes` are the sockets whose goodbye did reach it, over a connection with
    a session. `free` are routing ids of connections that have ended: whoever claims one gets it.
    """

    def __init__(self, world: World, room: int) -> None:
        self.world = world
        self.room = room
        self.listening = False
        self.connections: dict[bytes, Connection] = {}
        self.at_broker: Callable[[Peer, bytes], None] = lambda peer, frame: None
        self.ended: Callable[[Peer], None] = lambda peer: None
        self.free: list[bytes] = []
        self._ids = 0
        self._numbers = 0
        self.byes: set[Dealer] = set()

    def connect(self, dealer: Dealer) -> Connection:
        """Make a connection under a routing id that was never there."""
        if dealer.claims:
            routing_id = dealer.claims
            self.free.remove(routing_id)
        else:
            self._ids += 1
            routing_id = b"\0" + self._ids.to_bytes(4, "big")
        self._numbers += 1
        connection = self.connections[routing_id] = Connection(self, dealer, routing_id, self._numbers)
        return connection

    def forget(self, connection: Connection) -> None:
        """Have the ROUTER know that a connection has ended, and its routing id free."""
        routing_id = connection.peer.routing_id
        if self.connections.get(routing_id) is connection:
            del self.connections[routing_id]
            self.free.append(routing_id)
            self.ended(connection.peer)

    def has_ended(self, peer: Peer) -> bool:
        """Tell whether the ROUTER knows that a peer's connection has ended."""
        connection = self.connections.get(peer.routing_id)
        return connection is None or connection.peer is not peer

    def shut(self, peer: Peer) -> None:
        """Have the broker close a connection: what is under way is lost."""
        connection = self.connections.get(peer.routing_id)
        if connection is not None and connection.peer is peer:
            connection.cut(0.0)

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Send one frame to one peer, as the ROUTER does."""
        connection = self.connections.get(routing_id)
        if connection is None:
            return Sent.GONE
        if connection.waiting >= self.room:
            return Sent.FULL
        connection.down.send(frame)
        return Sent.SENT

    def down(self) -> None:
        """Break everything: the broker is gone."""
        self.listening = False
        self.free.clear()
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            connection.up.dead = True
            if self.world.random.random() < 0.5:  # what the kernel had sent still arrives, or not
                connection.down.dead = True
            connection.dealer.lost(connection)


class Dealer:
    """Be a client's socket: it connects by itself again and again, and sends what waited under a new routing id.

    One that `claims` a routing id connects once.
    """

    def __init__(
        self, network: Network, owner: Owner, backlog: Callable[[], int], notice: float, claims: bytes = b""
    ) -> None:
        self.network = network
        self.claims = claims
        """The routing id that it gives itself, none for one that the ROUTER makes."""
        self.owner = owner
        self.owner_backlog = backlog
        self.connection: Connection | None = None
        self._old: Connection | None = None
        self.closed = False
        self._queue: deque[bytes] = deque()
        self._notice = notice
        self._connect()

    def send(self, frame: bytes) -> None:
        """Send, or keep until there is a connection."""
        if self.connection is None:
            self._queue.append(frame)
        else:
            self.connection.up.send(frame)

    def lost(self, connection: Connection) -> None:
        """Take note that a connection is broken: try again; the owner is told only now and then."""
        if self.closed or self.connection is not connection:
            return
        self.connection = None
        self._old = connection
        if self.claims:
            return
        world = self.network.world
        world.after(RETRY * world.random.random(), self._connect)
        if world.random.random() < self._notice:
            world.after(0.001, self._tell)

    def close(self, stragglers: float | None) -> None:
        """Close; see `Connection.let_go`."""
        self.closed = True
        if self._old is not None:
            self._old.down.dead = True
        if self.connection is not None:
            self.connection.let_go(stragglers)
            self.connection = None

    def _tell(self) -> None:
        if not self.closed:
            self.owner.broken()

    def _connect(self) -> None:
        if self.closed or self.connection is not None:
            return
        if not self.network.listening:
            self.network.world.after(RETRY, self._connect)
            return
        if self._old is not None:
            self._old.down.dead = True
        self.connection = self.network.connect(self)
        while self._queue:
            self.connection.up.send(self._queue.popleft())
