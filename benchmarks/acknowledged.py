"""Messages acknowledged a second: one client hands them over in one `send_many`, nobody reads.

All stores in turn, with JetStream and a Redis stream beside them. The clock stops when `send_many` returns:
everything is stored then, with SQLite on the disk (`synchronous=FULL`).
"""

from __future__ import annotations

import argparse
import time
from functools import partial

from _contenders import Contender, Zchat, served
from _logs import RedisLog, logs
from _run import STORES, Failed, Pipe, in_turn, options, report, run, workers


def publish(pipe: Pipe, contender: Contender, url: str, size: int, messages: int) -> None:
    """Send all messages when told to, and say how many nanoseconds it took."""
    text = "x" * size
    with contender.publisher(url, "writer") as room:
        pipe.say()
        pipe.hear()
        start = time.perf_counter_ns()
        stored = room.send_many(text for _ in range(messages))
        took = time.perf_counter_ns() - start
        if stored != messages:
            raise Failed(f"{messages:,} messages were sent, {stored:,} were stored")
        pipe.say(took)
        pipe.wait_for_the_end()


def acknowledged(contender: Contender, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the messages acknowledged a second of one run, and the CPU that each took."""
    messages = arguments.messages // contender.slowness
    with workers() as start, served(contender, start) as url:
        writer = start(publish, contender, url, arguments.size, messages)
        writer.hear()
        before = start.cpu()
        took = writer.ask()
        return {"acknowledged/s": messages / took * 1e9, **start.spent(before, messages)}


def main() -> None:
    parser = options("Measure messages acknowledged a second, all stores in turn.")
    parser.add_argument("--messages", type=int, default=500_000, help="messages in a round (default 500000)")
    arguments = parser.parse_args()
    stores = [store for store in reversed(STORES) if not store.startswith("redis") or not RedisLog.missing()]
    contenders: list[Contender] = [*logs(), *map(Zchat, stores)]
    report(
        f"messages acknowledged a second: one send_many of {arguments.messages:,} of {arguments.size} bytes",
        in_turn({str(each): partial(acknowledged, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
