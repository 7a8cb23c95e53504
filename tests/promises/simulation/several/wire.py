"""Connections to the simulated server: the real ones, over simulated streams that break at any byte."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from redis import exceptions

from tests.promises.simulation.network import Line
from tests.promises.simulation.several.threads import Fiber, current, wait_for, wake
from zchat.broker.store.redis.connections import server as real

if TYPE_CHECKING:
    from tests.promises.simulation.several.server import Server

HANDSHAKE = 1.5
"""How many times as long as a command to make a connection takes."""


class Stream(Line):
    """Carry bytes one way."""

    def cut_at_a_byte(self) -> None:
        """Carry no more than a part of what is under way, and then the end."""
        under_way = [frame for frame in self.frames if isinstance(frame, bytes)]
        at = self.world.random.randint(0, sum(map(len, under_way)))
        self.frames.clear()
        for frame in under_way:
            if at > 0:
                self.frames.append(frame[:at])
            at -= len(frame)
        self.frames.append(b"")
        self.world.after(self.latency, self._arrive)
        self.ended = True


class Raw:
    """Be a connection of redis-py's, to the server of the process whose thread makes it."""

    def __init__(self, **options: Any) -> None:
        self.program = program = current().program
        self.where = options["host"], options["port"]
        self._silence: float = options["socket_timeout"]
        self._parser = self._sock = self
        self._reader = hiredis.Reader(replyError=exceptions.ResponseError)
        self._waiting: deque[Fiber] = deque()
        self._replies: deque[Any] = deque()
        self.server: Server = program.servers[self.where]  # type: ignore[attr-defined]
        self.lost = self.closed = False
        world = program.world
        latency = world.random.choice((0.0001, 0.0005, 0.002))
        self.up = Stream(world, latency, self._at_server)
        self.down = Stream(world, latency, self._at_broker)
        self.at_server = hiredis.Reader()
        self.channels: set[bytes] = set()

    # -- what redis-py's connection has ----------------------------------------------------------------

    def connect(self) -> None:
        """Connect."""
        server = self.server
        if server.stopped_until > server.world.now or server.unreachable:
            wait_for(lambda: False, deque(), self._silence)
            raise exceptions.TimeoutError("Timeout connecting to server")
        wait_for(lambda: False, deque(), self.up.latency * HANDSHAKE)
        if not server.up:
            raise exceptions.ConnectionError("Connection refused")
        server.connections.append(self)
        self.program.at_end.append(self._program_ended)

    def send_packed_command(self, packed: list[bytes]) -> None:
        """Send."""
        if not self.program.alive:
            wait_for(lambda: False, deque(), 0.0)
        if self.lost or self.closed:
            raise exceptions.ConnectionError("Broken pipe")
        for piece in packed:
            self.up.send(piece)

    def read_response(self) -> Any:
        """Return the next reply."""
        if not wait_for(lambda: self._replies or self.lost, self._waiting, self._silence):
            raise exceptions.TimeoutError("Timeout reading from socket")
        if not self._replies:
            raise exceptions.ConnectionError("Connection closed by server")
        reply = self._replies.popleft()
        if isinstance(reply, exceptions.ResponseError):
            raise reply
        return reply

    def waits(self, seconds: float) -> bool:
        """Return whether something is to be read, or comes in so many seconds."""
        return wait_for(lambda: self._replies or self.lost, self._waiting, seconds)

    def begin(self) -> None:
        """Begin with a reply."""

    def holds(self) -> bool:
        """Return whether something was read that is left."""
        return bool(self._replies)

    def shutdown(self, how: int) -> None:
        """End both ways."""
        self.lost = True
        wake(self._waiting)

    def disconnect(self) -> None:
        """Close: what was sent still arrives, perhaps much later."""
        if not self.closed:
            self.closed = self.lost = True
            self.down.dead = True
            if self in self.server.connections:
                self.server.connections.remove(self)
                self.channels.clear()

    # -- what happens to it ----------------------------------------------------------------------------

    def cut(self) -> None:
        """Break it at some byte each way."""
        self.up.cut_at_a_byte()
        self.down.cut_at_a_byte()
        if self in self.server.connections:
            self.server.connections.remove(self)

    def _program_ended(self) -> None:
        if not self.closed:
            self.cut()

    def _at_server(self, piece: bytes) -> None:
        self.server.arrived(self, piece)

    def _at_broker(self, piece: bytes) -> None:
        if not piece:
            self.lost = True
        self._reader.feed(piece)
        while (reply := self._reader.gets()) is not False:
            self._replies.append(reply)
        wake(self._waiting)


class Module:
    """Be redis-py."""

    Connection = UnixDomainSocketConnection = SSLConnection = Raw


def waits(connection: real.Connection, seconds: float) -> bool:
    """Be `Connection._waits`."""
    return bool(connection._raw.waits(seconds))


def packed(reply: Any) -> bytes:
    """Return a reply as a server sends it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, str):
        return reply.encode() + b"\r\n"  # a status, or an error
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(packed, reply))
