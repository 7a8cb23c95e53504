"""One message to a room of thousands: when the last of its members has it, zchat in turn with plain pyzmq.

The members are DEALERs in a few processes, which take the message's frame from the socket and don't decode it: the
server is measured. A message is sent every second or so; a figure is the median of a run's messages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

import msgpack
import zmq

from _contenders import ROOM, Contender, Yardstick, Zchat, served
from _run import DEADLINE, Failed, Pipe, in_turn, options, report, run, workers
from crowd import GREETING, Crowd, shares

PUSH = msgpack.packb("push")
"""What the frame of a message begins with, after the number of its fields."""

Take = Callable[[], None]
"""What returns once every member of a process has the next message."""


@contextmanager
def members(url: str, numbers: range, total: int) -> Iterator[tuple[Take, Callable[[], None]]]:
    """Give zchat's members of one process: what takes a message, and what is to be called meanwhile."""
    crowd = Crowd(url, numbers)
    crowd.join()
    crowd.until(lambda: crowd.right(total), f"told that there are {total}")

    def take() -> None:
        frames = []
        for user in crowd.users:
            frame = user.socket.recv()
            while not frame.startswith(PUSH, 1):
                user.core.receive(frame, time.monotonic())
                frame = user.socket.recv()
            frames.append((user.core, frame))
        taken.extend(frames)

    def rest() -> None:
        while taken:
            core, frame = taken.pop()
            core.receive(frame, time.monotonic())
        crowd.turn(0.01)

    taken: list[Any] = []
    yield take, rest


@contextmanager
def plain_members(url: str, numbers: range) -> Iterator[tuple[Take, Callable[[], None]]]:
    """Give the yardstick's: they acknowledge nothing, which its window allows for some messages."""
    with zmq.Context() as context:
        context.set(zmq.MAX_SOCKETS, len(numbers) + 10)
        sockets: list[zmq.Socket[bytes]] = []
        for start in range(0, len(numbers), GREETING):
            some = [context.socket(zmq.DEALER) for _ in numbers[start : start + GREETING]]
            for socket in some:
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.RCVTIMEO, int(DEADLINE * 1000))
                socket.connect(url)
                socket.send(b"S")
            sockets += some
            for socket in some:
                socket.recv()

        def take() -> None:
            for socket in sockets:
                socket.recv()

        yield take, lambda: time.sleep(0.01)
        for socket in sockets:
            socket.close(0)


def attend(pipe: Pipe, contender: Contender, url: str, numbers: range, total: int) -> None:
    """Join with all members of this process; then say when the last of them has each message that is announced."""
    joined = members(url, numbers, total) if isinstance(contender, Zchat) else plain_members(url, numbers)
    with joined as (take, rest):
        pipe.say()
        while True:
            while not pipe.waiting():
                rest()
            pipe.hear()
            pipe.say()
            try:
                take()
            except zmq.Again:
                raise Failed("not every member has the message") from None
            pipe.say(time.perf_counter_ns())


def write(pipe: Pipe, contender: Contender, url: str, text: str) -> None:
    """Say a message whenever told to, and when its sending began."""
    with contender.publisher(url, "writer") as room:
        pipe.say()
        while True:
            pipe.hear()
            began = time.perf_counter_ns()
            room.send(text)
            pipe.say(began)


def reaches(contender: Contender, arguments: argparse.Namespace) -> dict[str, float]:
    """Return how long messages took to the last member, and the CPU of each delivery, of one run."""
    with workers() as start, served(contender, start) as url:
        numbers = shares(arguments.members, arguments.processes)
        total = arguments.members + 1
        if isinstance(contender, Zchat):  # the writer is a member, whom the others count
            writer = start(write, contender, url, "x" * arguments.size)
            writer.hear()
        crowds = [start(attend, contender, url, share, total) for share in numbers]
        for crowd in crowds:
            crowd.hear()
        if not isinstance(contender, Zchat):  # its window begins with those who are there
            writer = start(write, contender, url, "x" * arguments.size)
            writer.hear()
        took = []
        cpu: dict[str, float] = {}
        for _ in range(arguments.messages):
            time.sleep(arguments.pause)
            for crowd in crowds:
                crowd.ask()
            before = start.cpu()
            began = writer.ask()
            took.append(max(crowd.hear() for crowd in crowds) - began)
            cpu = start.spent(before, arguments.members)
    return {"ms to the last": median(took) / 1e6, "slowest ms": max(took) / 1e6, **cpu}


def main() -> None:
    parser = options("Measure how soon the last of many members has a message, zchat in turn with plain pyzmq.")
    parser.add_argument("--members", type=int, default=8000)
    parser.add_argument("--messages", type=int, default=10, help="in a round (default 10)")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before each (default 0.5)")
    parser.add_argument("--processes", type=int, default=2, help="that the members are in (default 2)")
    parser.set_defaults(rounds=2)
    arguments = parser.parse_args()
    contenders: list[Contender] = [Zchat(arguments.store), Yardstick()]
    report(
        f"one message of {arguments.size} bytes to {arguments.members:,} members of {ROOM}",
        in_turn({str(each): partial(reaches, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
