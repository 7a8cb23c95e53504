"""How long until a broker is up whose store has many rooms: from the start of `zchat broker` until it listens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from threading import Event
from typing import Any

from _run import DEADLINE, Failed, in_turn, options, report, run, store_url
from zchat.broker.store import open_store
from zchat.broker.store.contract import Append, Stored
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

AT_ONCE = 5_000
"""Blocks on their way to the store."""


class Nobody:
    """A watcher that follows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def fill(url: str, rooms: int, size: int) -> None:
    """Store a message in each of so many rooms, by a producer of its own."""
    woken = Event()
    store = open_store(url)
    store.open(woken.set)
    answers: list[Any] = []
    bodies = join_bodies([pack("x" * size)])
    sent = 0
    deadline = time.monotonic() + DEADLINE
    while len(answers) < rooms:
        while sent < min(rooms, len(answers) + AT_ONCE):
            producer = sent.to_bytes(16, "big")
            store.append(Append(f"room {sent}", producer, 1, f"user {sent}", bodies, 1, 1), answers.append)
            sent += 1
        woken.wait(0.01)
        woken.clear()
        store.poll(Nobody())
        if time.monotonic() > deadline:
            raise Failed(f"only {len(answers)} rooms were stored within {DEADLINE:g} s")
    store.close()
    if wrong := [answer for answer in answers if not isinstance(answer, Stored)]:
        raise Failed(f"not stored: {wrong[0]}")


def opening(url: str) -> dict[str, float]:
    """Return how long a broker takes until it listens, and what it then holds."""
    line = [
        sys.executable,
        "-m",
        "zchat",
        "broker",
        "--bind",
        "tcp://127.0.0.1:*",
        "--store",
        url,
        "--log-format",
        "json",
    ]
    began = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        took = time.perf_counter() - began
        if "listening" not in said:
            raise Failed(f"the broker does not start: {said}")
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            (resident,) = (int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return {"seconds": took, "MB": resident / 1024}
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    parser = options("Measure how long a broker takes to be up over a store with many rooms.")
    parser.add_argument("--rooms", type=int, default=100_000)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        contenders: dict[str, Callable[[], dict[str, float]]] = {}
        for kind in ("redis", "sqlite"):
            url = stack.enter_context(store_url(kind))
            fill(url, arguments.rooms, arguments.size)
            contenders[kind] = partial(opening, url)
        rows = in_turn(contenders, arguments.rounds)
    report(f"until a broker listens, over {arguments.rooms:,} rooms", rows, arguments.json)


if __name__ == "__main__":
    run(main)
