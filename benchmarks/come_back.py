"""Ten thousand users join a room, do nothing for a while, and come back after their broker was killed.

The users are those of `crowd.py`: client cores in a few processes, each with a DEALER of its own; with the writer they
are as many as a broker lets in. The broker is killed (SIGKILL) and at once begun again at the same port, over the same
file; a writer then says one message. Time runs from the kill until every user has that message, and the right count of
members.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import zchat
from _contenders import ROOM
from _faces import Footprint
from _run import DEADLINE, Pipe, free_port, in_turn, options, report, run, store_url, workers
from crowd import Crowd, shares
from zchat.broker import Broker
from zchat.protocol import reconnect

PATIENCE = 5.0
"""Seconds until a greeting is tried again: a client tries after one, but here thousands share a thread and its time."""


def serve(pipe: Pipe, port: int, store: str) -> None:
    """Run a broker; say what it uses, at the start and whenever asked."""
    with Broker(f"tcp://127.0.0.1:{port}", store=store):
        while True:
            used = Footprint()
            pipe.say((used.at, used.cpu, used.memory))
            pipe.hear()


def attend(pipe: Pipe, url: str, numbers: range, members: int) -> None:
    """Greet with all users; join when told to, then come back when told that the broker is gone; say when all have."""
    reconnect.GREET_SECONDS = PATIENCE
    crowd = Crowd(url, numbers, come_back=True)
    pipe.say()
    crowd.turn_until_told(pipe)
    crowd.join()
    crowd.until(lambda: crowd.right(members), f"told that there are {members}")
    pipe.say(time.monotonic())
    crowd.turn_until_told(pipe)
    for user in crowd.users:
        user.core.lost("the broker was killed")
    crowd.until(lambda: all(user.reading.pushes for user in crowd.users) and crowd.right(members), "back")
    pipe.say(time.monotonic())
    pipe.wait_for_the_end()


def write(pipe: Pipe, url: str) -> None:
    """Join the room, and say one message there when told to."""
    with zchat.Client(url, user="writer") as client:
        room = client.join(ROOM)
        pipe.say()
        pipe.hear()
        room.send("here again", timeout=DEADLINE)
        pipe.wait_for_the_end()


def comes_back(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one run."""
    users, port = arguments.users, free_port()
    url = f"tcp://127.0.0.1:{port}"
    with store_url(arguments.store) as store, workers() as start:
        broker = start(serve, port, store)
        _, _, empty = broker.hear()
        writer = start(write, url)
        writer.hear()
        crowds = [start(attend, url, share, users + 1) for share in shares(users, arguments.processes)]
        for crowd in crowds:
            crowd.hear()
        began = time.monotonic()
        for crowd in crowds:
            crowd.tell()
        joined = max(crowd.hear() for crowd in crowds) - began
        at, cpu, full = broker.ask()
        time.sleep(arguments.idle)
        later, used, _ = broker.ask()
        killed = time.monotonic()
        broker.kill()
        again = start(serve, port, store)
        for worker in (*crowds, writer):
            worker.tell()
        again.hear()
        back = max(crowd.hear() for crowd in crowds) - killed
    return {
        "s to come back": back,
        "s to join": joined,
        "KiB each": (full - empty) / users / 1024,
        "% of a core idle": (used - cpu) / (later - at) * 100,
    }


def main() -> None:
    parser = options("Measure what many users cost that do nothing, and how soon they are back after a restart.")
    parser.add_argument("--users", type=int, default=9_999)
    parser.add_argument("--processes", type=int, default=2, help="that the users are in (default 2)")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds in which they do nothing (default 5)")
    parser.set_defaults(rounds=1, store="sqlite")
    arguments = parser.parse_args()
    report(
        f"{arguments.users:,} users join one room, idle, and come back after the broker was killed, "
        f"store {arguments.store}",
        in_turn({"zchat": partial(comes_back, arguments)}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
