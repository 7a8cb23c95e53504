"""What is done to a fleet, and what came of it: each is a function that returns its figures."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.promises.faults.audit import Verdict
from tests.promises.faults.fleet import Fleet, check_file
from tests.promises.faults.processes import Memory, Served, resume, suspend
from tests.promises.faults.proxy import Proxy
from tests.redis_server import RedisServer
from tests.running import DEADLINE
from zchat.broker.store.copying.copy import copy

BETWEEN = 20_000
"""Messages that flow between two faults at least."""

WARM = 80_000
"""Messages after which the store's caches and the room's tail are full."""


@dataclass
class Figures:
    """Hold what a scenario came to: the log's verdict first, then each reader's."""

    verdicts: list[Verdict]
    seconds: float
    garbage: int
    flowing: list[float] = field(default_factory=list)
    memory: int = 0
    others: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)
    file: str = "ok"

    @property
    def rate(self) -> float:
        """Return the messages acknowledged a second, faults and all."""
        return self.verdicts[0].messages / self.seconds

    @property
    def clean(self) -> bool:
        """Tell whether nothing is lost, twice, late or changed anywhere, and the file is good."""
        return all(verdict.clean for verdict in self.verdicts) and self.file == "ok"


def _figures(fleet: Fleet, broker: Served) -> Figures:
    verdicts = fleet.settle()
    counters = broker.stop()
    file = check_file(broker.path) if broker.path.exists() else "ok"
    return Figures(verdicts, fleet.seconds, fleet.garbage, counters=counters, file=file)


def killed(
    folder: Path, *, restarts: int, publishers: int, between: int = BETWEEN, seed: int = 0, store: str | None = None
) -> Figures:
    """Kill the broker and start it again, many times, under load; `flowing` is how long each return took.

    From the moment at which the new broker says that it listens to the one at which a message that
    it has stored reaches its reader.
    """
    broker = Served(folder, store=store)
    return _begun_again(broker, lambda number: broker.kill(), restarts, publishers, 1, between, seed)


def moved(
    folder: Path, server: RedisServer, *, moves: int, publishers: int, between: int = BETWEEN, seed: int = 0
) -> Figures:
    """Copy the broker's store into another one, from a file to a server and back, many times, under load.

    With a file the broker is killed before, with a server ended, and started on the copy then. `flowing` is as in
    `killed`.
    """
    broker = Served(folder)

    def move(number: int) -> None:
        on_server = number % 2
        if on_server:  # of one that is killed it isn't known for a while that it has ended
            broker.stop()
        else:
            broker.kill()
        target = f"sqlite:{folder}/{number}.db" if on_server else f"{server.url}?prefix=p{number}"
        copy(broker.store, target, lambda what, done, whole: None)
        broker.store = target

    return _begun_again(broker, move, moves, publishers, 2, between, seed)


def _begun_again(
    broker: Served, end: Callable[[int], None], times: int, publishers: int, readers: int, between: int, seed: int
) -> Figures:
    """Have a broker ended by `end`, which is given the number of the time, and start it again, under load."""
    chance = random.Random(seed)
    try:
        broker.start()
        with Fleet(broker, publishers=publishers, readers=readers, seed=seed) as fleet:
            flowing: list[float] = []
            for number in range(times):
                fleet.flow(between + chance.randrange(between))
                end(number)
                started = time.time()
                listening = broker.start()
                flowing.append(fleet.beat(started) - listening)
            fleet.flow(between)
            figures = _figures(fleet, broker)
        figures.flowing = flowing
        return figures
    finally:
        broker.forget()


def one_of_two_killed(
    folder: Path, server: RedisServer, *, restarts: int, publishers: int, between: int = BETWEEN, seed: int = 0
) -> Figures:
    """Kill one of two brokers that share a store and start it again, then the other one, many times, under load.

    Clients know both. `flowing` is how long a client whose broker was killed took to come to the other one: from that
    moment to the one at which a message that was stored then reaches its reader.
    """
    chance = random.Random(seed)
    brokers: list[Served] = []
    try:
        for name in ("first", "second"):
            (folder / name).mkdir()
            brokers.append(Served(folder / name, store=server.url))
            brokers[-1].start()
        urls = [broker.url for broker in brokers]
        with Fleet(brokers[0], publishers=publishers, readers=2, url=urls, seed=seed) as fleet:
            flowing: list[float] = []
            for number in range(restarts):
                broker = brokers[number % 2]
                fleet.flow(chance.randrange(between))
                broker.kill()
                killed = time.time()
                flowing.append(fleet.beat(killed) - killed)
                server.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
                broker.start()
            fleet.flow(between)
            figures = _figures(fleet, brokers[0])
            brokers[1].stop()
        figures.flowing = flowing
        return figures
    finally:
        for broker in brokers:
            broker.forget()


def server_killed(
    folder: Path, server: RedisServer, *, restarts: int, publishers: int, between: int = BETWEEN, seed: int = 0
) -> Figures:
    """Kill the server that a broker's store is over, many times, under load; cut its connections, and suspend it.

    `flowing` is how long each return took: from the moment at which the server answers again to the
    one at which a message that was stored then reaches its reader.
    """
    chance = random.Random(seed)
    broker = Served(folder, store=server.url)
    try:
        broker.start()
        with Fleet(broker, publishers=publishers, readers=2, seed=seed) as fleet:
            flowing: list[float] = []
            for _ in range(restarts):
                fleet.flow(chance.randrange(between))
                server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                fleet.flow(chance.randrange(between))
                server.pause()
                time.sleep(chance.uniform(0.0, 1.0))
                server.resume()
                fleet.flow(chance.randrange(between))
                server.kill()
                killed = time.time()
                server.start()
                answering = time.time()
                flowing.append(max(0.0, fleet.beat(killed) - answering))
            fleet.flow(between)
            figures = _figures(fleet, broker)
        figures.flowing = flowing
        return figures
    finally:
        broker.forget()


def stopped_reader(
    folder: Path, *, seconds: float, before: float, publishers: int, rate: int = 0, seed: int = 0
) -> Figures:
    """Stop one of three readers in a busy room for some seconds, then let it go on.

    `memory`: bytes that the broker's memory then had at most beyond what it had at most in the
    seconds `before`; `others`: messages a second of the others meanwhile, as a ratio to before.
    """
    broker = Served(folder)
    try:
        broker.start()
        with Fleet(broker, publishers=publishers, readers=3, seed=seed, greet=False, rate=rate) as fleet:
            victim, *others = fleet.readers
            memory = Memory(broker.pid)
            fleet.flow(WARM)
            memory.reset()
            usual_rate, usual = _rate(fleet, before), memory.most
            memory.reset()
            suspend(victim.pid)
            try:
                others_rate = _rate(fleet, seconds)
                fleet.flow(BETWEEN, *others)
                with_stopped = memory.most
            finally:
                resume(victim.pid)
            fleet.flow(BETWEEN)
            figures = _figures(fleet, broker)
        figures.memory = with_stopped - usual
        figures.others = others_rate / usual_rate
        return figures
    finally:
        broker.forget()


def _rate(fleet: Fleet, seconds: float) -> float:
    """Return how many messages a second the last reader takes over so many seconds."""
    reader = fleet.readers[-1]
    start, began = reader.latest("at"), time.monotonic()
    time.sleep(seconds)
    rate: float = (reader.latest("at") - start) / (time.monotonic() - began)
    return rate


def bad_network(folder: Path, *, rounds: int, publishers: int, seed: int = 0) -> Figures:
    """Cut, halve, delay and half-open the connections of everybody, in turn; `flowing` is how long each outage was."""
    broker = Served(folder)
    try:
        broker.start()
        with (
            Proxy(broker.port) as proxy,
            Fleet(broker, publishers=publishers, readers=2, url=proxy.url, seed=seed) as fleet,
        ):
            flowing: list[float] = []
            for number in range(rounds):
                for fault in (proxy.cut, proxy.halve, partial(proxy.deafen, number)):
                    fleet.flow(BETWEEN)
                    began = time.time()
                    before = proxy.accepted
                    _until_accepted(proxy, before + fault())
                    flowing.append(fleet.beat(began) - began)
                    proxy.delay = 0.05 * (number % 2 + 1)
                    fleet.flow(BETWEEN // 10)
                    proxy.delay = 0.0
            fleet.flow(BETWEEN)
            figures = _figures(fleet, broker)
        figures.flowing = flowing
        return figures
    finally:
        broker.forget()


def _until_accepted(proxy: Proxy, count: int) -> None:
    """Wait until everybody whose connection was hit has come back over another."""
    deadline = time.monotonic() + DEADLINE
    while proxy.accepted < count:
        assert time.monotonic() < deadline, f"{count - proxy.accepted} connections were not made again"
        time.sleep(0.01)


def stopped_broker(folder: Path, *, seconds: float, publishers: int, seed: int = 0) -> Figures:
    """Stop the broker for a while, then let it go on; `flowing` is how long that took."""
    broker = Served(folder)
    try:
        broker.start()
        with Fleet(broker, publishers=publishers, readers=2, seed=seed, greet=False) as fleet:
            fleet.flow(BETWEEN)
            suspend(broker.pid)
            try:
                time.sleep(seconds)
            finally:
                continued = time.time()  # before: a message that waited is stored at once
                resume(broker.pid)
            flowing = fleet.beat(continued) - continued
            fleet.flow(BETWEEN)
            figures = _figures(fleet, broker)
        figures.flowing = [flowing]
        return figures
    finally:
        broker.forget()
