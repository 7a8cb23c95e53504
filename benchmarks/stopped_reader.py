"""What one stopped reader costs the others: throughput and the broker's memory, with and without it in turn.

A publisher sends as fast as it can for some seconds; a hundred readers take every message. In every
other run one of them, in a process of its own, stands still from the first message on (SIGSTOP).
The others' deliveries a second are counted meanwhile; then the stopped one goes on, and must get
everything. The broker's memory is the most that it had (Linux), beyond what it had before: at full
speed the readers are all somewhat behind, each at another place, and what is on its way to them
outweighs any one of them; `--rate` makes it comparable.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Thread

import zchat
from _contenders import ROOM, Zchat
from _run import DEADLINE, Failed, Pipe, Row, options, report, run, store_url, workers

SILENCE = 20.0
"""Seconds without a message after which a reader gives up: something is lost or stuck."""

TOGETHER = 100
"""Messages that the publisher makes between two looks at the clock."""


def serve(pipe: Pipe, store: str) -> None:
    """Run a broker until the pipe is closed; say its url and its process."""
    with Zchat(store).broker(store) as broker:
        pipe.say((broker.url, os.getpid()))
        pipe.wait_for_the_end()


def publish(pipe: Pipe, url: str, text: str, seconds: float, rate: int) -> None:
    """Send for some seconds when told to, `rate` messages a second (0: all it can); say how many are stored."""
    with zchat.Client(url, user="publisher") as client:
        room = client.join(ROOM)
        pipe.say()
        pipe.hear()
        began = time.monotonic()

        def texts() -> Iterator[str]:
            count = 0
            while (now := time.monotonic()) < began + seconds:
                if rate and now < began + count / rate:
                    time.sleep(began + count / rate - now)
                for _ in range(TOGETHER):
                    yield text
                count += TOGETHER

        pipe.say(room.send_many(texts(), timeout=DEADLINE))
        pipe.wait_for_the_end()


def read(pipe: Pipe, url: str, name: str, count: int) -> None:
    """Take all messages with `count` readers; say which process, how many when asked, and when all have all."""
    taken = [0] * count
    total: list[int] = []

    def take(room: zchat.Room, number: int) -> None:
        for message in room.messages(timeout=SILENCE):
            taken[number] += 1
            if message.seq != taken[number]:
                return
            if total and taken[number] == total[0]:
                break

    with ExitStack() as stack:
        rooms = [stack.enter_context(zchat.Client(url, user=f"{name} {number}")).join(ROOM) for number in range(count)]
        threads = [Thread(target=take, args=(room, number), daemon=True) for number, room in enumerate(rooms)]
        for thread in threads:
            thread.start()
        pipe.say(os.getpid())
        while (end := pipe.hear()) is None:
            pipe.say((sum(taken), time.monotonic()))
        total.append(end)
        deadline = time.monotonic() + DEADLINE
        while min(taken) < end and time.monotonic() < deadline:
            time.sleep(0.01)
        if set(taken) != {end}:
            raise Failed(f"of {end:,} messages the readers of {name} have {min(taken):,} to {max(taken):,}")
        pipe.say()
        pipe.wait_for_the_end()


def most_memory(process: int) -> int:
    """Return the most bytes that a process had since its peak was reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


def measure(arguments: argparse.Namespace, stopped: bool) -> dict[str, float]:
    """Return the figures of one run."""
    text = "x" * arguments.size
    with store_url(arguments.store) as store, workers() as start:
        url, broker = start(serve, store).hear()
        others = start(read, url, "other", arguments.readers - 1)
        one = start(read, url, "one", 1)
        publisher = start(publish, url, text, arguments.seconds, arguments.rate)
        others.hear()
        reader = one.hear()
        publisher.hear()
        Path(f"/proc/{broker}/clear_refs").write_text("5")  # the peak is what it has now
        memory = most_memory(broker)
        if stopped:
            os.kill(reader, signal.SIGSTOP)
        try:
            publisher.tell()
            before, began = others.ask()
            stored = publisher.hear()
            after, ended = others.ask()
            grown = most_memory(broker) - memory
        finally:
            if stopped:
                os.kill(reader, signal.SIGCONT)
        for worker in (others, one):
            worker.ask(stored)
    return {"deliveries/s": (after - before) / (ended - began), "stored/s": stored / (ended - began), "MB": grown / 1e6}


def main() -> None:
    parser = options("Measure what one stopped reader costs the others and the broker.")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of one run (default 10)")
    parser.add_argument("--rate", type=int, default=0, help="messages sent a second (default 0: as many as can be)")
    parser.set_defaults(rounds=10, store="sqlite")
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"one stopped": [], "all reading": []}
    for number in range(arguments.rounds):
        pair = list(runs.items())
        for name, figures in pair if number % 2 else reversed(pair):  # neither is always the one that comes first
            figures.append(measure(arguments, name == "one stopped"))
    rows: list[Row] = []
    for name, figures in runs.items():
        main_figures = [each["deliveries/s"] for each in figures]
        medians = {key: median(each[key] for each in figures) for key in figures[0]}
        ratio = medians["deliveries/s"] / median(each["deliveries/s"] for each in runs["all reading"])
        rows.append({"run": name, **medians, "least": min(main_figures), "most": max(main_figures), "ratio": ratio})
    extra = median(one["MB"] - other["MB"] for one, other in zip(runs["one stopped"], runs["all reading"], strict=True))
    pace = f"{arguments.rate:,} messages a second" if arguments.rate else "full speed"
    report(
        f"one of {arguments.readers} readers stopped for {arguments.seconds:g} s, store {arguments.store}, {pace}, "
        f"rounds {arguments.rounds}; it costs the broker {extra:.1f} MB at the median",
        rows,
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
