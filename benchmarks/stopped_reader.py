"""What one stopped reader costs the others: throughput and the broker's memory, with and without it in turn.

A publisher sends as fast as it can; a hundred readers take every message. In every other run one
of them, in a process of its own, stands still from the first message on (SIGSTOP). Time runs from
the first send until the others have everything; then the stopped one goes on, and must get
everything too. The broker's memory is the most that it had (Linux), beyond what it had before: at
full speed the readers are all somewhat behind, each at another place, and what is on its way to
them outweighs any one of them; `--rate` makes it comparable.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Thread

import zchat
from _contenders import ROOM, Zchat, paced
from _run import DEADLINE, Failed, Pipe, Row, options, report, run, store_url, workers

SILENCE = 20.0
"""Seconds without a message after which a reader gives up: something is lost or stuck."""

TOGETHER = 100
"""Messages that the publisher makes between two looks at the clock, if it is paced."""


def serve(pipe: Pipe, store: str) -> None:
    """Run a broker until the pipe is closed; say its url and its process."""
    with Zchat(store).broker(store) as broker:
        pipe.say((broker.url, os.getpid()))
        pipe.wait_for_the_end()


def publish(pipe: Pipe, url: str, text: str, messages: int, rate: int) -> None:
    """Send when told to, `rate` messages a second (0: all it can); say when it began."""
    with zchat.Client(url, user="publisher") as client:
        room = client.join(ROOM)
        pipe.say()
        pipe.hear()
        began = time.monotonic()
        room.send_many(paced(text, messages, rate, TOGETHER), timeout=DEADLINE)
        pipe.say(began)
        pipe.wait_for_the_end()


def read(pipe: Pipe, url: str, name: str, count: int, messages: int) -> None:
    """Take all messages with `count` readers; say which process this is, and when all have all."""
    taken = [0] * count

    def take(room: zchat.Room, number: int) -> None:
        for message in room.messages(timeout=SILENCE):
            taken[number] += message.seq == taken[number] + 1
            if message.seq == messages:
                break

    with ExitStack() as stack:
        rooms = [stack.enter_context(zchat.Client(url, user=f"{name} {number}")).join(ROOM) for number in range(count)]
        threads = [Thread(target=take, args=(room, number), daemon=True) for number, room in enumerate(rooms)]
        for thread in threads:
            thread.start()
        pipe.say(os.getpid())
        for thread in threads:
            thread.join(DEADLINE)
        if set(taken) != {messages}:
            raise Failed(f"of {messages:,} messages the readers of {name} have {min(taken):,} to {max(taken):,}")
        pipe.say(time.monotonic())
        pipe.wait_for_the_end()


def most_memory(process: int) -> int:
    """Return the most bytes that a process had since its peak was reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


def measure(arguments: argparse.Namespace, stopped: bool) -> dict[str, float]:
    """Return the figures of one run."""
    messages, readers = arguments.messages, arguments.readers - 1
    with store_url(arguments.store) as store, workers() as start:
        url, broker = start(serve, store).hear()
        others = start(read, url, "other", readers, messages)
        one = start(read, url, "one", 1, messages)
        publisher = start(publish, url, "x" * arguments.size, messages, arguments.rate)
        others.hear()
        reader = one.hear()
        publisher.hear()
        Path(f"/proc/{broker}/clear_refs").write_text("5")  # the peak is what it has now
        memory = most_memory(broker)
        if stopped:
            os.kill(reader, signal.SIGSTOP)
        try:
            publisher.tell()
            began, ended = publisher.hear(), others.hear()
            grown = most_memory(broker) - memory
        finally:
            if stopped:
                os.kill(reader, signal.SIGCONT)
        one.hear()
    return {"deliveries/s": messages * readers / (ended - began), "seconds": ended - began, "MB": grown / 1e6}


def main() -> None:
    parser = options("Measure what one stopped reader costs the others and the broker.")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--messages", type=int, default=100_000, help="messages in a run (default 100000)")
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
    pace = f"{arguments.rate:,} a second" if arguments.rate else "full speed"
    report(
        f"one reader of {arguments.readers} stopped, store {arguments.store}, messages {arguments.messages:,}, {pace}, "
        f"rounds {arguments.rounds}; it costs the broker {extra:.1f} MB at the median",
        rows,
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
