"""What one message costs the cores: two clients and a broker without sockets, threads or clocks.

It is counted in calls, in bytes and in system calls, not timed: on a busy machine these are as many as on one that
rests. Each message is alone, as one a millisecond is: it is said, carried out, delivered, taken and acknowledged before
the next. What it costs now, with the Python that runs this, is recorded by

    python -m tests.promises.budget
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import zchat
from tests.promises.test_both_cores import Client, Net
from tests.running import DEADLINE, ROOT

RECORD = Path(__file__).with_suffix(".json")
"""What was recorded: by version of Python and part of the way, what `Cost` has."""

MESSAGES = 200
"""Messages that are counted: what comes once in a while, a heartbeat for instance, weighs little."""

INTERVAL = 0.001
"""Seconds between two messages."""

PACKAGE = Path(zchat.__file__).parent.as_posix() + "/"
VERSION = ".".join(map(str, sys.version_info[:2]))

FEW, MANY = 200, 1200
"""Messages of two runs, by whose difference system calls are counted: without those that a start takes."""


class Cost(NamedTuple):
    """What a part of a message's way costs: calls of the package's functions, those that they make of C's, and the
    bytes that are taken at most while it lasts."""

    calls: float
    calls_of_c: float
    bytes: float


Costs = dict[str, Cost]


def parts() -> tuple[Net, dict[str, Callable[[], Any]]]:
    """Return the clients' and the broker's world, and the parts of a message's way, in order, once carried out."""
    net = Net(window=10, room=1_000)
    sender, reader = Client(net, 1), Client(net, 2)
    net.settle([sender, reader])

    def carry_out() -> None:
        net.core.receive(sender.id, [sender.outbox.popleft()], net.now)
        net.core.tick(net.now, True)
        net.core.turn(net.now)

    def credited() -> None:
        while reader.outbox:
            net.core.receive(reader.id, [reader.outbox.popleft()], net.now)
        net.core.tick(net.now, True)
        net.core.turn(net.now)

    way: dict[str, Callable[[], Any]] = {
        "sender: say": lambda: sender.say("a line of text"),
        "broker: store, push, answer": carry_out,
        "reader: receive": lambda: reader.receive(1),
        "reader: take": lambda: reader.take(1),
        "sender: acknowledged": lambda: sender.receive(1),
        "broker: credit": credited,
    }
    for part in way.values():  # what the first message alone costs
        part()
    return net, way


def measured() -> Costs:
    """Return what a message costs now, by part of its way. One thread, in which nothing else is traced."""
    net, way = parts()
    counts: dict[str, Counter[str]] = {name: Counter() for name in way}
    for _ in range(MESSAGES):
        net.now += INTERVAL
        for name, part in way.items():
            _count(part, counts[name])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(MESSAGES):
            net.now += INTERVAL
            for name, part in way.items():
                _weigh(part, counts[name])
    finally:
        tracemalloc.stop()
        gc.enable()
    kinds = "call", "c_call", "bytes"
    return {name: Cost(*(round(each[kind] / MESSAGES, 2) for kind in kinds)) for name, each in counts.items()}


def _weigh(part: Callable[[], Any], counts: Counter[str]) -> None:
    """Carry out a part, and add up the bytes that it takes at most."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    part()
    counts["bytes"] += tracemalloc.get_traced_memory()[1] - before


def system_calls(strace: str) -> float:
    """Return how many system calls a message takes in all parts together, as the program `strace` counts them."""
    counted = []
    for messages in (FEW, MANY):
        with tempfile.NamedTemporaryFile() as report:
            line = [strace, "-f", "-qq", "-o", report.name, sys.executable, "-m", __spec__.name, "--run", str(messages)]
            subprocess.run(line, check=True, cwd=ROOT, timeout=DEADLINE, env=os.environ | {"PYTHONHASHSEED": "0"})
            counted.append(len(Path(report.name).read_text().splitlines()))
    return (counted[1] - counted[0]) / (MANY - FEW)


def run(messages: int) -> None:
    """Have so many messages go their way."""
    net, way = parts()
    for _ in range(messages):
        net.now += INTERVAL
        for part in way.values():
            part()


def _count(part: Callable[[], Any], counts: Counter[str]) -> None:
    """Carry out a part, and count the calls of the package's functions, and those that they make of C's."""

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            counts[event] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        part()
    finally:
        sys.setprofile(before)


def recorded() -> dict[str, Costs]:
    """Return what was recorded, by version of Python."""
    found: dict[str, dict[str, list[float]]] = json.loads(RECORD.read_text())
    return {version: {name: Cost(*cost) for name, cost in costs.items()} for version, costs in found.items()}


def main() -> None:
    """Record what a message costs now; with `--run`, have messages go their way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=int, metavar="MESSAGES")
    messages = parser.parse_args().run
    if messages is not None:
        run(messages)
        return
    record = recorded() if RECORD.exists() else {}
    record[VERSION] = measured()
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=2) + "\n")
    for name, cost in record[VERSION].items():
        print(f"{name:<30}", *(f"{each:10.2f}" for each in cost))


if __name__ == "__main__":
    main()
