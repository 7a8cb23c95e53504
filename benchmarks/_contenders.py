"""The two that are measured in turn: zchat, and the yardstick over plain pyzmq."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yardstick
import zchat
import zchat.broker
from _run import Pipe, Worker, store_url
from zchat.transport import keys

ROOM = "General"


class Publisher(Protocol):
    """Send texts."""

    def send(self, text: str) -> object: ...

    def send_many(self, texts: Iterable[str]) -> int: ...


class Subscriber(Protocol):
    """Give messages: room, seq, timestamp, user and text, in a tuple or a list."""

    def messages(self, timeout: float) -> Iterator[Any]: ...


class Talker(Publisher, Subscriber, Protocol):
    """Do both, in one room."""


@dataclass(frozen=True)
class Zchat:
    """zchat over a kind of store, a fresh one for each run; with the keys of a folder that `key_folder` has made.

    `echo`: who sends is given its own messages too, as all peers do.
    """

    store: str
    keys: Path | None = None
    echo: bool = False
    slowness = 1

    def __str__(self) -> str:
        return f"zchat, {self.store.rstrip(':')}{', keys' if self.keys else ''}"

    def broker(self, store: str) -> AbstractContextManager[Any]:
        return zchat.broker.Broker("tcp://127.0.0.1:*", store=store, keys=self.keys)

    @contextmanager
    def publisher(self, url: str, user: str) -> Iterator[Publisher]:
        with self._client(url, user) as client:
            yield client.join(ROOM)

    @contextmanager
    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> Iterator[Talker]:
        with self._client(url, user) as client:
            yield client.join(room, echo=self.echo)

    def _client(self, url: str, user: str) -> zchat.Client:
        if self.keys is None:
            return zchat.Client(url, user=user)
        key = self.keys / keys.USERS / f"{user}{keys.SECRET}"
        return zchat.Client(url, key=key, server_key=self.keys / f"{keys.SERVER}{keys.PUBLIC}")


@dataclass(frozen=True)
class Yardstick:
    """Plain pyzmq, with a window shared by `publishers`."""

    window: int = yardstick.WINDOW
    publishers: int = 1
    store = "memory:"
    slowness = 1

    def __str__(self) -> str:
        return "yardstick"

    def broker(self, store: str) -> AbstractContextManager[Any]:
        return yardstick.Broker()

    def publisher(self, url: str, user: str) -> AbstractContextManager[Publisher]:
        return yardstick.Publisher(url, user, self._share)

    def subscriber(self, url: str, user: str, last: int) -> AbstractContextManager[Subscriber]:
        return yardstick.Subscriber(url, last, self._share)

    @property
    def _share(self) -> int:
        return max(1, self.window // self.publishers)


class Contender(Protocol):
    """What is measured: a broker, and clients that send and take."""

    @property
    def store(self) -> str: ...

    @property
    def slowness(self) -> int:
        """How many times fewer messages a run of many has, so that it is no longer than others."""

    def broker(self, store: str) -> AbstractContextManager[Any]: ...

    def publisher(self, url: str, user: str) -> AbstractContextManager[Publisher]: ...

    def subscriber(self, url: str, user: str, last: int) -> AbstractContextManager[Subscriber]: ...


def serve(pipe: Pipe, contender: Contender, store: str) -> None:
    """Run a contender's broker in this process until the pipe is closed; the first word is its url."""
    with contender.broker(store) as broker:
        pipe.say(broker.url)
        pipe.wait_for_the_end()


@contextmanager
def served(contender: Contender, start: Callable[..., Worker]) -> Iterator[str]:
    """Give the url of the contender's broker, which runs over a fresh store in a process of its own."""
    with store_url(contender.store) as store:
        broker = start(serve, contender, store)
        yield broker.hear()
        broker.stop()


@contextmanager
def key_folder(users: Iterable[str]) -> Iterator[Path]:
    """Give a broker's folder of keys, with those of some users and their secret halves beside them."""
    with tempfile.TemporaryDirectory(prefix="zchat-benchmark-") as place:
        folder = Path(place)
        keys.make_server(folder)
        for user in users:
            keys.write_pair(folder / keys.USERS, user, keys.make(user))
        yield folder


def paced(text: str, messages: int, rate: float, together: int) -> Iterator[str]:
    """Yield a text so many times, `rate` a second in bursts of `together` (0: as fast as they are taken)."""
    began = time.monotonic()
    for count in range(messages):
        if rate and not count % together:
            time.sleep(max(0.0, began + count / rate - time.monotonic()))
        yield text
