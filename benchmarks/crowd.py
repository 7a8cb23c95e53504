"""What it takes to have ten thousand users join one room, over as many real connections, all at once.

The users are client cores in a few processes, each with a DEALER of its own; threads for ten
thousand would measure the threads. They greet first; then all of them join at once. Time runs from
the first join until every one of them has the right count of members, and stays with it.
"""

from __future__ import annotations

import argparse
import os
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
from zchat.wire.replies import Welcome

TICK_EVERY = 0.25
"""Seconds between two looks at what time brings to the users: they ping every second or so."""

GREETING = 200
"""Users that greet at a time, so that the greetings before don't measure the accept queue."""


class User:
    """Be one user: a core, its connection, its room."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], url: str, number: int) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(url)
        self.withdrawn = False
        self.greeted = False
        self.frames = 0
        self.why: object = None
        self.reading = Inbox(Bell(), lambda reading: None, lambda membership: None)
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

    def opened(self, welcome: Welcome) -> None:
        self.greeted = True

    def invited(self, room: str, user: str, position: Position) -> None:
        raise Failed(f"{user} wrote to somebody in {room}")

    def mark_refused(self, room: str, error: Exception) -> None:
        """Do nothing: nobody marks anything."""

    def lost(self, error: Exception, was_open: bool) -> None:
        raise Failed(f"a connection was lost: {error}")

    def connect(self) -> None:
        raise Failed("a connection was lost")

    def ended(self, error: Exception | None) -> None:
        self.why = error

    def resolve(self, result: Membership) -> bool:
        return True

    def fail(self, error: Exception) -> None:
        raise Failed(f"a join failed: {error}")


class Crowd:
    """Run some users in one thread."""

    def __init__(self, url: str, numbers: range) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 2 * len(numbers) + 10)
        self._poller = zmq.Poller()
        self._tick_at = 0.0
        self.users: list[User] = []
        self._of: dict[Any, User] = {}
        for start in range(numbers.start, numbers.stop, GREETING):
            for number in range(start, min(start + GREETING, numbers.stop)):
                user = User(self._context, url, number)
                self.users.append(user)
                self._of[user.socket] = user
                self._poller.register(user.socket, zmq.POLLIN)
            self.until(lambda: all(user.greeted for user in self.users[-GREETING:]), "greeted")

    def turn(self, wait: float) -> None:
        """Wait for frames, hand them to their users, and the time to all now and then."""
        for socket, _ in self._poller.poll(int(wait * 1000)):
            self._of[socket].receive()
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
    while not pipe.waiting():
        crowd.turn(0.01)
    pipe.hear()
    before = sum(user.frames for user in crowd.users)
    for number, user in enumerate(crowd.users):
        user.join()
        if not number % GREETING:
            crowd.turn(0.0)
    crowd.until(lambda: crowd.right(members), f"told that there are {members}")
    pipe.say(time.monotonic())
    while not pipe.waiting():
        crowd.turn(0.01)
    pipe.hear()
    if not crowd.right(members):
        raise Failed("a count became wrong again")
    pipe.say(sum(user.frames for user in crowd.users) - before)
    pipe.wait_for_the_end()


def joins(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one run."""
    users, processes = arguments.users, arguments.processes
    with store_url(arguments.store) as store, workers() as start:
        broker = start(serve, store)
        url = broker.hear()
        bounds = [users * number // processes for number in range(processes + 1)]
        shares = [range(*each) for each in pairwise(bounds)]
        crowds = [start(attend, url, share, users) for share in shares]
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
