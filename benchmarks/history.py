"""Replay: one client reads a whole room from its beginning, zchat in its two ways in turn with JetStream and Redis."""

from __future__ import annotations

import argparse
import time
from functools import partial

from _contenders import served
from _logs import Batches, History, Log, logs
from _run import Failed, Pipe, in_turn, options, report, run, workers


def fill(pipe: Pipe, contender: Log, url: str, size: int, messages: int) -> None:
    """Send all messages and say that they are stored."""
    text = "x" * size
    with contender.publisher(url, "writer") as room:
        room.send_many(text for _ in range(messages))
    pipe.say()


def read(pipe: Pipe, contender: Log, url: str, limit: int, messages: int) -> None:
    """Read the room from its beginning when told to, and say how many nanoseconds it took."""
    with contender.replay(url, messages, limit) as replay:
        pipe.say()
        pipe.hear()
        start = time.perf_counter_ns()
        count = replay()
        took = time.perf_counter_ns() - start
        if count != messages:
            raise Failed(f"{messages:,} messages are stored, {count:,} came")
        pipe.say(took)
        pipe.wait_for_the_end()


def replayed(contender: Log, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the messages read a second of one run, and the CPU that each took."""
    messages = max(1, arguments.messages // contender.slowness)
    with workers() as start, served(contender, start) as url:
        writer = start(fill, contender, url, arguments.size, messages)
        reader = start(read, contender, url, arguments.limit, messages)
        writer.hear()
        reader.hear()
        before = start.cpu()
        took = reader.ask()
        return {"messages/s": messages / took * 1e9, **start.spent(before, messages)}


def main() -> None:
    parser = options("Measure how fast one client reads a whole room.")
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages in the room (default 1000000)")
    parser.add_argument("--limit", type=int, default=1000, help="messages a call (default 1000)")
    parser.set_defaults(store="sqlite")
    arguments = parser.parse_args()
    contenders: list[Log] = [Batches(arguments.store), *logs(), History(arguments.store)]
    report(
        f"replay of {arguments.messages:,} messages of {arguments.size} bytes, limit {arguments.limit}",
        in_turn({str(each): partial(replayed, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
