"""Latency from `send` to the other's `messages()`, at one message a millisecond.

Broker, publisher and subscriber are three processes; every message carries the time at which
it was handed to `send`, on the clock that all processes of a machine share (CLOCK_MONOTONIC).
The yardstick sends each message by itself, as it always does. With `--disk`, a message that is under way has been
flushed to disk by zchat's broker; beside it stands what flushing alone takes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from threading import Thread

from _contenders import Contender, Subscriber, Yardstick, Zchat, key_folder, served
from _peers import installed
from _run import DEADLINE, Disturbed, Failed, Pipe, in_turn, options, percentiles, report, run, workers

PACE = 1_000_000
"""Nanoseconds from one message to the next."""

WARM_UP = 200
"""Messages at the beginning that don't count: connections, caches and clocks settle."""

SLOWEST = 1.5
"""How many times as long as planned a run may take: beyond it, it wasn't one message a millisecond."""

WRITER, READER = "writer", "reader"

PAGE = 4096 + 24
"""Bytes that a flush of the yardstick's writes: what SQLite's journal takes for a page."""

NATS = "nats-py"

SILENCE = 10.0
"""Seconds without a message after which the subscriber gives up."""


def publish(pipe: Pipe, contender: Contender, url: str, size: int, messages: int) -> None:
    """Send a message a millisecond; after one that was late the pace begins anew, without a burst."""
    with contender.publisher(url, WRITER) as room:
        pipe.say()
        pipe.hear()
        clock = time.perf_counter_ns
        start = due = clock()
        for _ in range(messages):
            while (early := due - clock()) > 0:
                time.sleep(early / 1e9)
            room.send(f"{clock():0{size}}")
            due = max(due + PACE, clock())
        pipe.say((clock() - start) / (messages * PACE))
        pipe.wait_for_the_end()


def subscribe(pipe: Pipe, contender: Contender, url: str, messages: int) -> None:
    """Take all messages in a thread and say how long each was under way."""
    delays: list[int] = []
    with contender.subscriber(url, READER, messages) as room:
        thread = Thread(target=_take, args=(room, messages, delays), daemon=True)
        thread.start()
        pipe.say()
        thread.join(DEADLINE)
        if len(delays) != messages:
            raise Failed(f"{messages:,} messages were sent, {len(delays):,} came")
        pipe.say(delays)
        pipe.wait_for_the_end()


def _take(room: Subscriber, messages: int, delays: list[int]) -> None:
    clock = time.perf_counter_ns
    for message in room.messages(timeout=SILENCE):
        delays.append(clock() - int(message[4]))
        if len(delays) == messages:
            break


def latencies(contender: Contender, arguments: argparse.Namespace) -> dict[str, float]:
    """Return p50, p99 and p99.9 of one run, in microseconds, and the CPU a message."""
    messages = arguments.messages + WARM_UP
    with workers() as start, served(contender, start) as url:
        reader = start(subscribe, contender, url, messages)
        reader.hear()
        writer = start(publish, contender, url, arguments.size, messages)
        writer.hear()
        before = start.cpu()
        slow = writer.ask()
        delays = reader.hear()[WARM_UP:]
        cpu = start.spent(before, messages)
    if slow > SLOWEST and not arguments.loose:
        raise Disturbed(f"the pace could not be kept: a run took {slow:.1f} times as long as planned")
    return {**percentiles(delays), **cpu}


def flushes(arguments: argparse.Namespace) -> dict[str, float]:
    """Return p50, p99 and p99.9 of `fdatasync` alone, a page a millisecond, in microseconds."""
    clock = time.perf_counter_ns
    delays: list[int] = []
    with tempfile.TemporaryFile(buffering=0) as file:
        due = clock()
        for _ in range(arguments.messages + WARM_UP):
            while (early := due - clock()) > 0:
                time.sleep(early / 1e9)
            file.write(bytes(PAGE))
            began = clock()
            os.fdatasync(file.fileno())
            delays.append(clock() - began)
            due = max(due + PACE, clock())
    return percentiles(delays[WARM_UP:])


def main() -> None:
    parser = options("Measure latency at one message a millisecond, zchat in turn with its peers and plain pyzmq.")
    parser.add_argument("--messages", type=int, default=2000, help="messages in a round (default 2000)")
    parser.add_argument("--keys", action="store_true", help="run zchat with keys and without in turn")
    parser.add_argument("--loose", action="store_true", help="go on where the pace isn't kept, to see that it runs")
    parser.add_argument("--only", choices=["zchat", "yardstick"], help="leave the others out")
    parser.add_argument("--disk", action="store_true", help=f"zchat over SQLite, {NATS} and fdatasync alone, in turn")
    arguments = parser.parse_args()
    if arguments.disk:
        disk: list[Contender] = [Zchat("sqlite"), *(peer for peer in installed() if str(peer) == NATS)]
        measures = {str(each): partial(latencies, each, arguments) for each in disk}
        rows = in_turn({**measures, "fdatasync": partial(flushes, arguments)}, arguments.rounds)
        report(f"latency, each of {arguments.size} bytes on disk when acknowledged", rows, arguments.json)
        return
    with key_folder([WRITER, READER]) if arguments.keys else nullcontext() as folder:
        contenders: list[Contender] = []
        if arguments.only != "yardstick":
            contenders += [Zchat(arguments.store, keys) for keys in ([folder, None] if folder else [None])]
        if arguments.only is None:
            contenders += installed()
        if arguments.only != "zchat":
            contenders.append(Yardstick())
        rows = in_turn({str(each): partial(latencies, each, arguments) for each in contenders}, arguments.rounds)
    report(
        f"latency from send to messages(), one message of {arguments.size} bytes a millisecond", rows, arguments.json
    )


if __name__ == "__main__":
    run(main)
