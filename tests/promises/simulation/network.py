"""The network between the cores: what libzmq and TCP do to frames, for good and for bad."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tests.promises.simulation.world import World
from zchat.broker.port import Sent
from zchat.transport.keys import guest_name

if TYPE_CHECKING:
    from tests.promises.simulation.entrance import Entrance

RETRY = 0.05
"""Seconds between two of libzmq's tries to reach a broker that doesn't listen."""

BYE = b"\x92\xa3bye"
"""How a goodbye begins."""

NO_SESSION = b"\xaano_session"
"""What a refusal for want of a session holds: the broker was started anew, and nobody had told the client yet."""


REFUSED, REFUSED_FOR_NOW = b"AUTH 400", b"AUTH 500"
"""What a handshake ends with that isn't let in."""


class Owner(Protocol):
    """Have a DEALER."""

    def arrived(self, frame: bytes) -> None:
        """Take a frame."""

    def broken(self) -> None:
        """Record, if the socket's monitor has reported it, that the TCP connection is broken."""

    def refused(self, *, later: bool) -> None:
        """Record that the broker lets nobody in with this key, for now or for good."""


class Line:
    """Carry frames one way, in order: `latency` seconds each, more or less."""

    __slots__ = ("_last", "dead", "ended", "frames", "latency", "stalled_until", "take", "world")

    def __init__(self, world: World, latency: float, take: Callable[[bytes], None]) -> None:
        self.world = world
        self.latency = latency
        self.take = take
        self.frames: deque[bytes | Callable[[], object]] = deque()
        self.stalled_until = 0.0
        self.dead = False
        self.ended = False
        self._last = 0.0

    def send(self, frame: bytes) -> None:
        """Put a frame on the way; on a dead line it stays there, on one that has ended it is lost."""
        if not self.ended:
            self._put(frame)

    def _put(self, what: bytes | Callable[[], object]) -> None:
        self.frames.append(what)
        if not self.dead:
            world = self.world
            self._last = max(self._last, world.now + self.latency * (0.5 + world.random.random()))
            world.after(self._last - world.now, self._arrive)

    def end_at_a_byte(self, then: Callable[[], object]) -> int:
        """Carry no more than a part of what is under way, and then have its end noticed.

        Return how many bytes arrive of a frame that isn't complete.
        """
        under_way = [frame for frame in self.frames if isinstance(frame, bytes)]
        at = self.world.random.randint(0, sum(map(len, under_way)))
        self.frames.clear()
        for frame in under_way:
            if at < len(frame):
                break
            at -= len(frame)
            self.frames.append(frame)
        complete = len(self.frames) == len(under_way)
        self._put(then)
        self.ended = True
        return 0 if complete else at

    def _arrive(self) -> None:
        if self.dead or not self.frames:
            return
        if self.stalled_until > self.world.now:
            self.world.after(self.stalled_until - self.world.now, self._arrive)
            return
        what = self.frames.popleft()
        if isinstance(what, bytes):
            self.take(what)
        else:
            what()


class Connection:
    """Join a DEALER to the ROUTER, which knows it by a routing id once it is let in: before, its handshake is made."""

    address = "192.0.2.1"

    def __init__(self, network: Network, dealer: Dealer, fd: int) -> None:
        world = network.world
        latency = world.random.choice((0.0002, 0.001, 0.005, 0.02))
        self.network = network
        self.dealer = dealer
        self.fd = fd
        self.key = dealer.key
        self.since = world.now
        self.routing_id = b""
        self.number = 0
        self.is_open = False
        self.closed = False
        self.received = 0
        self.up = Line(world, latency, self._at_broker)
        self.down = Line(world, latency, self._at_client)
        world.after(latency * (1 + 2 * world.random.random()), self._knock)

    # -- the handshake -------------------------------------------------------------------------------

    def find_guest(self) -> str:
        """Return the name of its key's owner as a guest."""
        return guest_name(self.key) if self.key else ""

    def find_login(self) -> str:
        """Return that of no process: it comes over a network."""
        return ""

    def _knock(self) -> None:
        world = self.network.world
        if self.up.stalled_until > world.now:
            world.after(self.up.stalled_until - world.now, self._knock)
        elif not self.closed and not self.up.dead and not self.up.ended:
            self.network.knocked(self)

    def let_in(self, number: int, routing_id: bytes) -> None:
        """Take the answer of the ROUTER, which knows it by a routing id from now on."""
        self.number, self.routing_id = number, routing_id
        self.network.world.after(self.down.latency, self._opened)

    def _opened(self) -> None:
        world = self.network.world
        if self.down.stalled_until > world.now:
            world.after(self.down.stalled_until - world.now, self._opened)
        elif not self.down.dead and not self.down.ended:
            self.is_open = True
            self.dealer.opened(self)

    def refuse(self, *, later: bool) -> None:
        """Take the answer that it isn't let in."""
        self.down.send(REFUSED_FOR_NOW if later else REFUSED)
        self.up.dead = True
        self.network.world.after(self.down.latency, self.network.forget, self)

    # -- frames --------------------------------------------------------------------------------------

    def _at_broker(self, frame: bytes) -> None:
        self.network.world.note("up", self.routing_id, frame)
        self.received += len(frame)
        if frame.startswith(BYE):
            self.network.byes.add(self.dealer)
        self.network.at_broker(self, frame)

    def _at_client(self, frame: bytes) -> None:
        self.network.world.note("down", self.routing_id, frame)
        if frame in (REFUSED, REFUSED_FOR_NOW):
            self.dealer.refused(self, later=frame == REFUSED_FOR_NOW)
            return
        if NO_SESSION in frame:
            self.network.byes.discard(self.dealer)
        self.dealer.owner.arrived(frame)

    @property
    def waiting(self) -> int:
        """Return how many frames have not reached the client's thread."""
        return len(self.down.frames) + self.dealer.owner_backlog()

    # -- its end -------------------------------------------------------------------------------------

    def cut(self, forgotten_after: float) -> None:
        """Break: what is under way is lost; the ROUTER learns of it after that many seconds."""
        self.up.dead = self.down.dead = True
        self.network.world.after(forgotten_after, self.network.forget, self)
        self.dealer.lost(self)

    def cut_at_a_byte(self, forgotten_after: float) -> None:
        """Break somewhere in what is under way each way: what comes before still arrives, and then the end."""
        world = self.network.world
        self.received += self.up.end_at_a_byte(lambda: world.after(forgotten_after, self.network.forget, self))
        self.down.end_at_a_byte(lambda: self.dealer.lost(self))

    def let_go(self, stragglers: float | None) -> None:
        """Record that the DEALER was closed.

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

    `room` is how many frames a pipe to a client takes. `entrance` is that of the broker that
    listens, if one does; `at_broker` is called with what reaches it; `byes` are the sockets whose
    goodbye did reach it, over a connection with a session. `connections` are those that were let
    in, by routing id, `by_fd` all that were accepted. `free` are routing ids of connections that
    have ended: a peer that claims one gets it.
    """

    def __init__(self, world: World, room: int) -> None:
        self.world = world
        self.room = room
        self.entrance: Entrance | None = None
        self.connections: dict[bytes, Connection] = {}
        self.by_fd: dict[int, Connection] = {}
        self.at_broker: Callable[[Connection, bytes], None] = lambda connection, frame: None
        self.free: list[bytes] = []
        self._ids = 0
        self.byes: set[Dealer] = set()

    @property
    def listening(self) -> bool:
        """Tell whether a broker is there."""
        return self.entrance is not None

    def connect(self, dealer: Dealer) -> Connection:
        """Have a connection accepted, under the lowest descriptor that is free."""
        assert self.entrance is not None
        fd = 0
        while fd in self.by_fd:
            fd += 1
        connection = self.by_fd[fd] = Connection(self, dealer, fd)
        self.entrance.accepted(connection)
        return connection

    def knocked(self, connection: Connection) -> None:
        """Have the broker asked whether it lets a connection in."""
        if self.entrance is not None:
            self.entrance.knocked(connection)

    def let_in(self, connection: Connection, number: int) -> None:
        """Let a connection in under a routing id that was never there, or the one that it claims if that is free."""
        if connection.closed:
            return
        routing_id = connection.dealer.claims
        if not routing_id:
            self._ids += 1
            routing_id = b"\0" + self._ids.to_bytes(4, "big")
        elif routing_id in self.free:
            self.free.remove(routing_id)
        else:
            connection.cut(0.0)
            return
        self.connections[routing_id] = connection
        connection.let_in(number, routing_id)

    def forget(self, connection: Connection) -> None:
        """Have the ROUTER know that a connection has ended, and its routing id and its descriptor free."""
        if connection.closed:
            return
        connection.closed = connection.up.dead = True
        del self.by_fd[connection.fd]
        if connection.routing_id:
            del self.connections[connection.routing_id]
            self.free.append(connection.routing_id)
        if self.entrance is not None:
            self.entrance.ended(connection)

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
        self.entrance = None
        self.free.clear()
        self.connections = {}
        connections, self.by_fd = self.by_fd, {}
        for connection in connections.values():
            connection.closed = connection.up.dead = True
            if self.world.random.random() < 0.5:  # what the kernel had sent still arrives, or not
                connection.down.dead = True
            connection.dealer.lost(connection)


class Dealer:
    """Be a client's socket: it connects by itself again and again, and sends what waited under a new routing id.

    One that `claims` a routing id connects once.
    """

    def __init__(
        self, network: Network, owner: Owner, backlog: Callable[[], int], notice: float, key: str | None = None,
        claims: bytes = b"",
    ) -> None:  # fmt: skip
        self.network = network
        self.key = key
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
        if self.connection is None or not self.connection.is_open:
            self._queue.append(frame)
        else:
            self.connection.up.send(frame)

    def opened(self, connection: Connection) -> None:
        """Send what waited: the broker has let the connection in."""
        if not self.closed and self.connection is connection:
            while self._queue:
                connection.up.send(self._queue.popleft())

    def refused(self, connection: Connection, *, later: bool) -> None:
        """Record that the broker doesn't let the connection in, and notify its owner."""
        if not self.closed and self.connection is connection:
            self.connection = None
            self.owner.refused(later=later)

    def lost(self, connection: Connection) -> None:
        """Record that a connection is broken: try again; the owner is notified only now and then."""
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
