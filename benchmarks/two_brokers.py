"""Over one Redis: who writes is at one broker and who reads at another, in turn with both at the same; and what CPU a
delivery takes where there are readers at each broker.

The Redis flushes its disk every second, and answers from memory.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from _contenders import ROOM, Publisher, Talker, Zchat
from _ends import Server, running
from _logs import RedisLog
from _run import free_port, in_turn, options, reached, report, run
from latency import latencies
from throughput import deliveries


@dataclass(frozen=True)
class Brokers(Zchat):
    """zchat by some brokers on one store, a process each: the first is the writers', the last the readers'.

    `everywhere`: readers are at each of the brokers, in turn.
    """

    count: int = 1
    everywhere: bool = False

    def __str__(self) -> str:
        return "zchat, one broker" if self.count == 1 else f"zchat, {self.count} brokers"

    @contextmanager
    def broker(self, store: str) -> Iterator[Server]:
        urls = [f"tcp://127.0.0.1:{free_port()}" for _ in range(self.count)]
        line = [sys.executable, "-m", "zchat", "broker", "--store", store]
        with ExitStack() as stack:
            for url in urls:
                stack.enter_context(running(*line, "--bind", url))
                reached(int(url.rpartition(":")[2]))
            yield Server(" ".join(urls))

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with super().publisher(url.split()[0], user) as room:
            yield room

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        number = int(user.split()[-1]) if self.everywhere else -1
        with super().subscriber(url.split()[number % self.count], user, last, room) as joined:
            yield joined


def costs(contender: Brokers, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the CPU of a run with as many subscribers at each broker, and a process for those of each: of the brokers
    a delivery, of Redis a message."""
    subscribers = arguments.subscribers * contender.count
    clients = {"subscribers": subscribers, "subscriber_processes": contender.count}
    figures = deliveries(contender, argparse.Namespace(**vars(arguments) | clients))
    redis = figures.pop("store µs")
    brokers = figures.pop("server µs") - redis
    return {"brokers' µs a delivery": brokers, "Redis' µs a message": redis * subscribers, **figures}


def main() -> None:
    parser = options("Measure two brokers over one Redis beside one.")
    parser.add_argument("--subscribers", type=int, default=10)
    parser.add_argument("--messages", type=int, default=200_000, help="messages of a run of deliveries")
    parser.add_argument("--delays", type=int, default=2000, help="messages of a run of latency (default 2000)")
    parser.add_argument("--loose", action="store_true", help="go on where the pace isn't kept, to see that it runs")
    parser.set_defaults(store="redis-everysec", publishers=1, subscriber_processes=1)
    arguments = parser.parse_args()
    if missing := RedisLog.missing():
        print(f"two brokers are left out: {missing} isn't installed", file=sys.stderr)
        return
    contenders = [Brokers(arguments.store, count=count) for count in (2, 1)]
    report(
        f"deliveries a second over Redis: subscribers {arguments.subscribers}, messages {arguments.messages:,} "
        f"of {arguments.size} bytes",
        in_turn({str(each): partial(deliveries, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )
    everywhere = [Brokers(arguments.store, count=count, everywhere=True) for count in (2, 1)]
    report(
        f"CPU over Redis: subscribers {arguments.subscribers} at each broker, messages {arguments.messages:,} "
        f"of {arguments.size} bytes",
        in_turn({str(each): partial(costs, each, arguments) for each in everywhere}, arguments.rounds),
        arguments.json,
    )
    paced = argparse.Namespace(**{**vars(arguments), "messages": arguments.delays})
    report(
        f"latency over Redis, one message of {arguments.size} bytes a millisecond",
        in_turn({str(each): partial(latencies, each, paced) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
