"""What it takes to have ten thousand users join one room, over as many real connections, all at once.

The users are client cores in a few processes, each with a DEALER of its own; threads for ten
thousand would measure the threads. They greet first; then all of them join at once. Time runs from
the first join until every one of them has the right count of members, and stays with it.
"""

from __future__ import annotations

import argparse
import os
import select
import time
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import zmq

from _contenders import ROOM
from _run import DEADLINE, Failed, Pipe, in_turn, options, report, run, store_url, workers
from zchat.broker import Broker
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.threads import Bell
from zchat.transport.dealer import HANDSHAKE_MS
from zchat.wire.notices import GapNotice, Push
from zchat.wire.replies import Welcome

TICK_EVERY = 0.25
"""Seconds between two looks at what time brings to the users: they ping every second or so."""

GREETING = 200
"""Users that greet at a time, so that the greetings before don't measure the accept queue."""


class Heard(Inbox[Bell]):
    """What a user is sent; counts the notifications."""

    def __init__(self) -> None:
        super().__init__(Bell(), lambda reading: None, lambda membership: None)
        self.pushes = 0

    def push(self, notice: Push | GapNotice) -> None:
        self.pushes += 1
        super().push(notice)


class User:
    """Be one user: a core, its connection, its room."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self.socket = crowd.connected(self)
        self.withdrawn = False
        self.greeted = False
        self.frames = 0
        self.why: object = None
        self.reading = Heard()
        producer, token = os.urandom(16), os.urandom(16)
        self.core = ClientCore(self, f"user {number}", producer, token, 0, Random(number))
        self.core.start(time.monotonic())

    def receive(self) -> None:
        """Take all that has arrived."""
        now = time.monotonic()
        while int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self.frames += 1
            self.core.receive(self.socket.recv(zmq.NOBLOCK), now)

    def join(self) -> None:
        self.core.join(ROOM, None, True, self, self.reading)

    # -- the core's port, and the caller of its one call -----------------------------------------------

    def send(self, frame: bytes) -> None:
        self.socket.send(frame, zmq.NOBLOCK)
        self._crowd.touched(self)

    def opened(self, welcome: Welcome) -> None:
        self.greeted = True

    def invited(self, room: str, user: str, position: Position) -> None:
        raise Failed(f"{user} wrote to somebody in {room}")

    def mark_refused(self, room: str, error: Exception) -> None:
        """Do nothing: nobody marks anything."""

    def lost(self, error: Exception, was_open: bool) -> None:
        if not self._crowd.come_back:
            raise Failed(f"a connection was lost: {error}")

    def connect(self) -> None:
        self._crowd.drop(self.socket)
        self.socket = self._crowd.connected(self)

    def ended(self, error: Exception | None) -> None:
        self.why = error

    def resolve(self, result: Membership) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        raise Failed(f"a join failed: {error}")


class Crowd:
    """Run some users in one thread; `come_back`: a lost connection is no failure."""

    def __init__(self, url: str, numbers: range, *, come_back: bool = False) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 3 * len(numbers) + 10)
        self._url = url
        self.come_back = come_back
        self._epoll = select.epoll()
        self._tick_at = 0.0
        self.users: list[User] = []
        self._of: dict[int, User] = {}
        self._touched: set[User] = set()
        for start in range(numbers.start, numbers.stop, GREETING):
            for number in range(start, min(start + GREETING, numbers.stop)):
                self.users.append(User(self, number))
            self.until(lambda: all(user.greeted for user in self.users[-GREETING:]), "greeted")

    def connected(self, user: User) -> zmq.Socket[bytes]:
        """Return a fresh connection, what comes over which the user is given."""
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.setsockopt(zmq.RCVTIMEO, int(DEADLINE * 1000))
        socket.connect(self._url)
        descriptor = int(socket.get(zmq.FD))
        self._of[descriptor] = user
        self._epoll.register(descriptor, select.EPOLLIN)
        return socket

    def drop(self, socket: zmq.Socket[bytes]) -> None:
        """Close a connection."""
        descriptor = int(socket.get(zmq.FD))
        self._epoll.unregister(descriptor)
        del self._of[descriptor]
        socket.close()

    def touched(self, user: User) -> None:
        """Record that a user has sent: what arrived meanwhile no longer makes the descriptor readable."""
        self._touched.add(user)

    def turn(self, wait: float) -> None:
        """Wait for frames, hand them to their users, and the time to all now and then."""
        touched, self._touched = self._touched, set()
        ready = self._epoll.poll(0 if touched else wait, len(self._of))
        for user in touched.union(self._of[descriptor] for descriptor, _ in ready):
            user.receive()
        now = time.monotonic()
        if now >= self._tick_at:
            self._tick_at = now + TICK_EVERY
            for user in self.users:
                user.core.tick(now)

    def until(self, true: Any, what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not true():
            if time.monotonic() > deadline:
                raise Failed(f"not all were {what} within {DEADLINE:.0f} s")
            self.turn(0.01)

    def turn_until_told(self, pipe: Pipe) -> Any:
        """Take turns until something is said in the pipe, and return that."""
        while not pipe.waiting():
            self.turn(0.01)
        return pipe.hear()

    def join(self) -> None:
        """Have all users join."""
        for number, user in enumerate(self.users):
            user.join()
            if not number % GREETING:
                self.turn(0.0)

    def right(self, members: int) -> bool:
        return all(user.reading.roster.members == members for user in self.users)


def serve(pipe: Pipe, store: str) -> None:
    """Run a broker; say its url, and when asked how many state frames and bytes of them it has sent."""
    with Broker("tcp://127.0.0.1:*", store=store) as broker:
        pipe.say(broker.url)
        pipe.hear()
        pipe.say((broker.counters.states, broker.counters.state_bytes))
        pipe.wait_for_the_end()


def attend(pipe: Pipe, url: str, numbers: range, members: int) -> None:
    """Greet with all users, join when told to, say when all know the count, and what they were sent."""
    crowd = Crowd(url, numbers)
    pipe.say()
    crowd.turn_until_told(pipe)
    before = sum(user.frames for user in crowd.users)
    crowd.join()
    crowd.until(lambda: crowd.right(members), f"told that there are {members}")
    pipe.say(time.monotonic())
    crowd.turn_until_told(pipe)
    if not crowd.right(members):
        raise Failed("a count became wrong again")
    pipe.say(sum(user.frames for user in crowd.users) - before)
    pipe.wait_for_the_end()


def shares(users: int, processes: int) -> list[range]:
    """Return the numbers of the users that each process has."""
    bounds = [users * number // processes for number in range(processes + 1)]
    return [range(*each) for each in pairwise(bounds)]


def joins(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one run."""
    users, processes = arguments.users, arguments.processes
    with store_url(arguments.store) as store, workers() as start:
        broker = start(serve, store)
        url = broker.hear()
        crowds = [start(attend, url, share, users) for share in shares(users, processes)]
        for crowd in crowds:
            crowd.hear()
        began = time.monotonic()
        for crowd in crowds:
            crowd.tell()
        ended = max(crowd.hear() for crowd in crowds)
        for crowd in crowds:
            crowd.tell()
        frames = sum(crowd.hear() for crowd in crowds)
        states, size = broker.ask()
    return {"seconds": ended - began, "frames": frames, "state frames": states, "MB of state": size / 1e6}


def main() -> None:
    parser = options("Measure what it takes to have many users join one room at once.")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2, help="that the users are in (default 2)")
    arguments = parser.parse_args()
    report(
        f"{arguments.users:,} users join one room, in processes {arguments.processes}, store {arguments.store}",
        in_turn({"zchat": partial(joins, arguments)}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
