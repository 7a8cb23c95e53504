"""How long a newcomer takes beside thousands of connections that never become clients.

A process of its own opens 5,000 of them as fast as it can and keeps them, each kind in a run of its own; those that the
broker ends are opened again, so many a second. Meanwhile newcomers come, one after the other: the time is from the call
of `Client` until a message of theirs is stored.
"""

from __future__ import annotations

import argparse
import math
import os
import selectors
import socket
import time
from contextlib import suppress
from statistics import median

from _contenders import ROOM, Zchat, key_folder
from _run import Pipe, Row, options, report, run, workers
from zchat.files import raise_limit

LONG_COMMAND = b"\x06"
READY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
FRAME = 1 << 20
"""Bytes of the frame that is begun."""


def greeting(mechanism: bytes) -> bytes:
    """Return the 64 bytes with which a peer of ZMTP 3 begins."""
    return b"\xff" + bytes(8) + b"\x7f\x03\0" + mechanism.ljust(20, b"\0") + bytes(32)


def kinds(*, keys: bool) -> dict[str, bytes]:
    """Return what each kind says before its silence."""
    begun = greeting(b"CURVE" if keys else b"NULL")
    ended = b"\x05HELLO\1\0" + os.urandom(192) if keys else READY
    return {
        "silent": b"",
        "10 bytes": begun[:10],
        "a greeting": begun,
        "a frame of 1 MiB begun": begun + LONG_COMMAND + FRAME.to_bytes(8, "big") + bytes(FRAME // 16),
        "a garbage HELLO" if keys else "a handshake": begun + bytes((4, len(ended))) + ended,
    }


def open_halves(pipe: Pipe, url: str, said: bytes, count: int, again: int) -> None:
    """Open `count` connections and keep as many, of those that were ended `again` a second; say how many there were."""
    raise_limit()
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    opened = 0
    pipe.say()
    began = 0.0
    with selectors.DefaultSelector() as selector:
        while not pipe.waiting():
            missing = count - len(selector.get_map())
            if began:
                missing = min(missing, int((time.monotonic() - began) * again) - (opened - count))
            for _ in range(min(missing, 100)):
                half = socket.create_connection(place)
                half.setblocking(False)
                with suppress(OSError):  # cut already, or as much as fits is sent
                    half.send(said)
                selector.register(half, selectors.EVENT_READ)
                opened += 1
            if not began and opened >= count:
                began = time.monotonic()
            for key, _ in selector.select(0.0 if missing > 0 else 0.01):
                half = key.fileobj  # type: ignore[assignment]
                try:
                    if half.recv(4096):
                        continue
                except OSError:
                    pass
                selector.unregister(half)
                half.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    pipe.say(opened)


def come(pipe: Pipe, contender: Zchat, url: str, tries: int) -> None:
    """Come as often as told, each time as another user; say how many seconds each took."""
    pipe.say()
    pipe.hear()
    seconds = []
    for number in range(tries):
        began = time.monotonic()
        with contender.publisher(url, f"newcomer {number}") as room:
            room.send("here I am")
            seconds.append(time.monotonic() - began)
    pipe.say(seconds)


def serve(pipe: Pipe, contender: Zchat) -> None:
    """Run a broker with as many descriptors as it may have; say its url."""
    raise_limit()
    with contender.broker("memory:") as broker:
        pipe.say(broker.url)
        pipe.wait_for_the_end()


def measure(contender: Zchat, said: bytes, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one run."""
    with workers() as start:
        url = start(serve, contender).hear()
        newcomers = start(come, contender, url, arguments.tries)
        newcomers.hear()
        halves = start(open_halves, url, said, arguments.connections, arguments.again)
        halves.hear()
        newcomers.tell()
        seconds = sorted(newcomers.hear())
        opened = halves.ask()
    p99 = seconds[math.ceil(0.99 * len(seconds)) - 1]
    return {"p99 ms": p99 * 1e3, "p50 ms": median(seconds) * 1e3, "longest ms": seconds[-1] * 1e3, "opened": opened}


def main() -> None:
    parser = options("Measure how long newcomers take beside connections that never become clients.")
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--again", type=int, default=1_000, help="opened again a second (default 1000)")
    parser.add_argument("--tries", type=int, default=100, help="newcomers in a run (default 100)")
    parser.set_defaults(rounds=1)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with key_folder([f"newcomer {number}" for number in range(arguments.tries)]) as folder:
        for contender in (Zchat("memory:"), Zchat("memory:", folder)):
            rows_of = kinds(keys=contender.keys is not None)
            for name, said in rows_of.items():
                figures = [measure(contender, said, arguments) for _ in range(arguments.rounds)]
                medians = {key: median(each[key] for each in figures) for key in figures[0]}
                rows.append({"connections": f"{'keys' if contender.keys else 'no keys'}, {name}", **medians})
    report(f"a newcomer beside {arguments.connections:,} half-open connections, room {ROOM}", rows, arguments.json)


if __name__ == "__main__":
    run(main)
