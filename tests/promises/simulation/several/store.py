"""The real store over a simulated server: all of it but the sockets, the threads and the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from tests.promises.simulation.several import wire
from tests.promises.simulation.several.server import Server
from tests.promises.simulation.several.threads import Lock, Places, Program, Queue, Thread, Time
from tests.promises.simulation.world import World
from zchat.broker.store.ledger import MAX_EPOCH
from zchat.broker.store.redis.connections.url import parse
from zchat.broker.store.redis.store import RedisStore

PLACE = ("server", 6379)
URL = "redis://server:6379"

_STORE = "zchat.broker.store.redis"


class SharedStore(RedisStore):
    """Be the store `redis:` of one process, which ends with it."""

    def __init__(self, program: Program, servers: dict[tuple[str, int], Server]) -> None:
        super().__init__(parse(URL))
        self._program = program
        program.servers = servers  # type: ignore[attr-defined]

    def crash(self) -> None:
        """End at once."""
        self._program.end()


def _start(thread: Thread) -> None:
    thread.start()


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """Have all stores over Redis live in a world."""
    random, time = world.random, Time(world)
    replaced = {
        "zchat.threads.check_free": lambda count: None,
        f"{_STORE}.store.os": SimpleNamespace(urandom=random.randbytes),
        f"{_STORE}.attachment.random_epoch": lambda: random.randint(1, MAX_EPOCH),
        f"{_STORE}.committer.random": random,
        f"{_STORE}.committer.SimpleQueue": Queue,
        "zchat.broker.store.pages.SimpleQueue": Queue,
        "zchat.broker.store.pages.Semaphore": Places,
        f"{_STORE}.connections.sentinel.allocate_lock": Lock,
        f"{_STORE}.connections.server.redis": wire.Module,
        f"{_STORE}.connections.server.Connection._waits": wire.waits,
    }
    for module in ("store", "committer", "feed", "reader"):
        replaced[f"{_STORE}.{module}.time"] = time
    for module in (
        f"{_STORE}.committer",
        f"{_STORE}.feed",
        "zchat.broker.store.pages",
        f"{_STORE}.connections.sentinel",
    ):
        replaced[f"{module}.RealThread"] = Thread
        replaced[f"{module}.start"] = _start
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        yield
