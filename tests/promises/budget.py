"""What one message costs the cores, counted in calls: two clients and a broker without sockets, threads or clocks.

Calls are counted, not timed: on a busy machine they are as many as on one that rests. Each message is alone, as one a
millisecond is: it is said, carried out, delivered, taken and acknowledged before the next. What it costs now, with the
Python that runs this, is recorded by

    python -m tests.promises.budget
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import zchat
from tests.promises.test_both_cores import Client, Net

RECORD = Path(__file__).with_suffix(".json")
"""What was recorded: by version of Python and part of the way, calls a message of the package's functions and C's."""

MESSAGES = 200
"""Messages that are counted: what comes once in a while, a heartbeat for instance, weighs little."""

INTERVAL = 0.001
"""Seconds between two messages."""

PACKAGE = Path(zchat.__file__).parent.as_posix() + "/"
VERSION = ".".join(map(str, sys.version_info[:2]))

Costs = dict[str, list[float]]


def measured() -> Costs:
    """Return what a message costs now, by part of its way. One thread, in which nothing else is traced."""
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

    parts: dict[str, Callable[[], Any]] = {
        "sender: say": lambda: sender.say("a line of text"),
        "broker: store, push, answer": carry_out,
        "reader: receive": lambda: reader.receive(1),
        "reader: take": lambda: reader.take(1),
        "sender: acknowledged": lambda: sender.receive(1),
        "broker: credit": credited,
    }
    counts: dict[str, Counter[str]] = {name: Counter() for name in parts}
    for part in parts.values():  # once uncounted: what the first message alone costs
        part()
    for _ in range(MESSAGES):
        net.now += INTERVAL
        for name, part in parts.items():
            _count(part, counts[name])
    assert len(reader.got) == MESSAGES + 1
    return {name: [round(each[kind] / MESSAGES, 2) for kind in ("call", "c_call")] for name, each in counts.items()}


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
    found: dict[str, Costs] = json.loads(RECORD.read_text())
    return found


def main() -> None:
    """Record what a message costs now."""
    record = recorded() if RECORD.exists() else {}
    record[VERSION] = measured()
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=2) + "\n")
    for name, (calls, of_c) in record[VERSION].items():
        print(f"{name:<30}{calls:8.2f}{of_c:8.2f}")


if __name__ == "__main__":
    main()
