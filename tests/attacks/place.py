"""A broker under attack, without keys or with: who comes to it, and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import zchat
from tests.attacks.curve import Insider
from tests.attacks.zmtp import Stranger
from tests.broker.raw import ANY, Talk
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.transport import keys

USERS = ("alice", "bob", "carol", "mallory")
"""Whose keys are let in."""


class Approach:
    """The way to a broker, for clients and for others: its address, and its keys if it has some."""

    def __init__(self, url: str, pairs: dict[str, keys.Key], server: str = "") -> None:
        self.url = url
        self.pairs = pairs
        """The pairs of the users that are let in; none without keys."""
        self.server = server
        """The broker's public key; "" without keys."""

    @property
    def mechanism(self) -> bytes:
        """The name of what connections are secured by."""
        return b"CURVE" if self.server else b"NULL"

    def stranger(self, user: str = "mallory") -> Stranger:
        """Return a raw connection, with the key of `user` if there are keys; it has said nothing yet."""
        return self.insider(self.pairs[user]) if self.server else Stranger(self.url)

    def insider(self, key: keys.Key | None = None) -> Insider:
        """Return a raw connection with a key, mallory's if none is given."""
        return Insider(self.url, self.server, key or self.pairs["mallory"])

    def client(self, user: str) -> zchat.Client:
        """Return an honest client."""
        if not self.server:
            return zchat.Client(self.url, user=user, timeout=DEADLINE)
        return zchat.Client(self.url, key=self.pairs[user], server_key=self.server, timeout=DEADLINE)


class Place(Approach):
    """A broker in this process, the way to it, and what it counts."""

    def __init__(self, broker: Broker, pairs: dict[str, keys.Key], server: str = "") -> None:
        super().__init__(broker.url, pairs, server)
        self.broker = broker

    def talk(self) -> Talk:
        """Return two honest clients that talk."""
        return Talk(self.broker, self.client)

    def count(self, name: str) -> int:
        """Return a count of the broker's, by the name that `stats` has for it."""
        return self.broker.figures.counts[name]


@contextmanager
def meanwhile(attack: Callable[[], object]) -> Iterator[None]:
    """Attack over and over until what is done meanwhile is done; at least once."""
    stop = Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while True:
                attack()
                if stop.is_set():
                    return
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def make_keys(folder: Path, users: tuple[str, ...] = USERS) -> tuple[dict[str, keys.Key], str]:
    """Make a broker's folder that lets users in; return their pairs, and the broker's public key."""
    server = keys.make_server(folder)
    pairs = {user: keys.make(user) for user in users}
    for user, pair in pairs.items():
        keys.write_pair(folder / keys.USERS, user, pair)
        (folder / keys.USERS / f"{user}{keys.SECRET}").unlink()
    return pairs, server.public


@contextmanager
def open_place() -> Iterator[Place]:
    """Give a broker without keys."""
    with Broker(ANY) as broker:
        yield Place(broker, {})


@contextmanager
def keyed_place(folder: Path, rules: Path | None = None) -> Iterator[Place]:
    """Give a broker with keys; its folder is made."""
    pairs, server = make_keys(folder)
    with Broker(ANY, keys=folder, rules=rules) as broker:
        yield Place(broker, pairs, server)
