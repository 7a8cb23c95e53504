"""The gateway for browsers: what it carries, what it costs, and what one browser costs the others.

Broker, gateway, publisher and browsers are a process each, so that on two cores they share those. The browsers are bare
sockets, all in one process; the publisher sends messages one by one, each once the one before is acknowledged. A
browser that doesn't receive every message ends the run with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeAlias

import zchat
from _browsers import browse, many_files, stamped
from _contenders import ROOM, Zchat, served
from _faces import Footprint
from _run import Pipe, Worker, in_turn, options, report, run, workers
from zchat.web.core.letting_in import LettingIn, Patterns
from zchat.web.serving import Settings, serve

SETTLE = 1.0
"""Seconds after which what joining brings has come."""

FEW = 10
"""Browsers that read while others come in."""

TABLES = ("rates", "crowd", "joining", "stopped")


def gate(pipe: Pipe, url: str) -> None:
    """Run a gateway; say its port, then its CPU seconds and KiB whenever asked."""
    many_files()
    asyncio.run(_serve(pipe, url))


async def _serve(pipe: Pipe, url: str) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    settings = Settings([url], "127.0.0.1", 0, LettingIn(open_to_all=True, public=Patterns([ROOM])), {})

    def figures() -> None:
        try:
            while True:
                pipe.hear()
                now = Footprint()
                pipe.say((now.cpu, now.memory / 1024))
        except (EOFError, OSError):
            loop.call_soon_threadsafe(stop.set)

    def started(page: str, metrics: str | None) -> None:
        pipe.say(int(page.rsplit(":", 1)[1].strip("/")))
        threading.Thread(target=figures, daemon=True).start()

    await serve(settings, started, stop)


def publish(pipe: Pipe, url: str, size: int) -> None:
    """Send as many messages as asked, so many a second; say when the first was due, in ns, and how long a send took."""
    with zchat.Client(url, user="publisher") as client:
        room = client.join(ROOM, reads=False)
        pipe.say()
        while True:
            rate, count = pipe.hear()
            began = time.monotonic_ns()
            for number in range(count):
                early = began + number * 1e9 / rate - time.monotonic_ns()
                if early > 0:
                    time.sleep(early / 1e9)
                room.send(stamped(size))
            pipe.say(began)


class Scene(NamedTuple):
    """A gateway before a broker, and who publishes."""

    start: Callable[..., Worker]
    gateway: Worker
    port: int
    publisher: Worker

    def browsers(self, count: int, name: str | None) -> tuple[Worker, float]:
        """Open browsers; return them, and after how many seconds they had joined."""
        browsers = self.start(browse, self.port, name)
        took: float = browsers.ask(("open", count))
        browsers.ask(("drain", SETTLE))
        return browsers, took

    def messages(self, browsers: Worker, rate: int, count: int, readers: int) -> dict[str, float]:
        """Return the figures of so many messages, at a rate, to so many browsers that read."""
        browsers.ask(("read", count))
        cpu = self.gateway.ask()[0]
        self.publisher.tell((rate, count))
        delays, ended = browsers.hear()
        began = self.publisher.hear()
        seconds = (ended - began) / 1e9
        cpu = self.gateway.ask()[0] - cpu
        p50, p99 = quantiles(delays)
        return {
            "deliveries/s": count * readers / seconds,
            "carried": min(1.0, count / rate / seconds),
            "p50 ms": p50,
            "p99 ms": p99,
            "% of a core": cpu / seconds * 100,
            "us a delivery": cpu / count / readers * 1e6,
        }


def quantiles(delays: list[int]) -> tuple[float, float]:
    """Return the median of delays in ns, and what 1 % of them exceed, both in ms."""
    delays.sort()
    return delays[len(delays) // 2] / 1e6, delays[len(delays) * 99 // 100] / 1e6


Contenders: TypeAlias = dict[str, Callable[[], dict[str, float]]]


@contextmanager
def scene(arguments: argparse.Namespace) -> Iterator[Scene]:
    """Give a scene for one run."""
    with workers() as start, served(Zchat(arguments.store), start) as url:
        gateway = start(gate, url)
        port = gateway.hear()
        publisher = start(publish, url, arguments.size)
        publisher.hear()
        yield Scene(start, gateway, port, publisher)


def carried(arguments: argparse.Namespace, rate: int, name: str | None) -> dict[str, float]:
    """Return what a rate costs to all browsers."""
    with scene(arguments) as on:
        browsers, _ = on.browsers(arguments.browsers, name)
        on.messages(browsers, rate, rate, arguments.browsers)  # caches and clocks settle
        return on.messages(browsers, rate, int(rate * arguments.seconds), arguments.browsers)


def costs(arguments: argparse.Namespace, count: int, name: str | None) -> dict[str, float]:
    """Return what it costs to have so many browsers, and then to send them 10 messages a second."""
    with scene(arguments) as on:
        cpu, memory = on.gateway.ask()
        browsers, took = on.browsers(count, name)
        cpu_in, memory_in = on.gateway.ask()
        figures = on.messages(browsers, 10, int(10 * arguments.seconds), count)
        return {
            "KiB each": (memory_in - memory) / count,
            "ms of CPU to join": (cpu_in - cpu) / count * 1000,
            "all in after s": took,
            **{name: figures[name] for name in ("p50 ms", "p99 ms", "% of a core", "us a delivery")},
        }


def beside_joining(arguments: argparse.Namespace, joining: int, name: str | None) -> dict[str, float]:
    """Return what browsers have of a hundred messages a second while others come in at once."""
    with scene(arguments) as on:
        browsers, _ = on.browsers(FEW, None)
        count = int(100 * arguments.seconds)
        browsers.ask(("read", count))
        on.publisher.tell((100, count))
        newcomers = on.start(browse, on.port, name)
        took = newcomers.ask(("open", joining)) if joining else 0.0
        delays, _ = browsers.hear()
        on.publisher.hear()
        p50, p99 = quantiles(delays)
        return {"p50 ms": p50, "p99 ms": p99, "longest ms": delays[-1] / 1e6, "all in after s": took}


def beside_stopped(arguments: argparse.Namespace, stopped: int) -> dict[str, float]:
    """Return what the others have beside browsers that stand still, and by how much the gateway grows."""
    with scene(arguments) as on:
        browsers, _ = on.browsers(arguments.browsers, None)
        reading = arguments.browsers - stopped
        on.messages(browsers, 100, 100, arguments.browsers)
        if stopped:
            browsers.ask(("stop", stopped))
        before = on.gateway.ask()[1]
        figures = on.messages(browsers, 100, int(100 * arguments.seconds), reading)
        return {**figures, "MiB grown": (on.gateway.ask()[1] - before) / 1024}


def tables(arguments: argparse.Namespace) -> Iterator[tuple[str, Contenders]]:
    """Yield the title and the contenders of each table."""
    kinds = {"users": "user", "watchers": None}
    most = arguments.browsers
    rates: Contenders = {
        f"{rate} a second, {kind}": partial(carried, arguments, rate, name)
        for rate in arguments.rates
        for kind, name in kinds.items()
    }
    yield f"messages to {most} browsers", rates
    crowds = ((arguments.watchers, "watchers"), (most, "users"))
    crowd: Contenders = {f"{count} {kind}": partial(costs, arguments, count, kinds[kind]) for count, kind in crowds}
    yield "what a browser costs", crowd
    joining: Contenders = {"nobody": partial(beside_joining, arguments, 0, None)}
    joining |= {f"{most} {kind}": partial(beside_joining, arguments, most, name) for kind, name in kinds.items()}
    yield f"{FEW} browsers, 100 messages a second, while others come in at once", joining
    stopped: Contenders = {f"{count} stopped": partial(beside_stopped, arguments, count) for count in (0, 1)}
    yield f"{most} browsers, 100 messages a second", stopped


def main() -> None:
    parser = options("Measure the gateway for browsers.")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="only these (default: all)")
    parser.add_argument("--browsers", type=int, default=500, help="at once (default 500)")
    parser.add_argument("--watchers", type=int, default=5000, help="whose cost is measured (default 5000)")
    parser.add_argument(
        "--rates", nargs="+", type=int, default=[100, 350], help="messages a second (default 100 and 350)"
    )
    parser.add_argument("--seconds", type=float, default=5, help="of a run (default 5)")
    parser.set_defaults(rounds=3)
    arguments = parser.parse_args()
    for name, (title, contenders) in zip(TABLES, tables(arguments), strict=True):
        if name in arguments.tables:
            report(title, in_turn(contenders, arguments.rounds), arguments.json)


if __name__ == "__main__":
    run(main)
