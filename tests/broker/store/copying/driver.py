"""What the tests of copies share: a store with all that a store keeps, and what is in one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tests.broker.store.driver import BOB, Driver
from tests.redis_server import RedisServer
from zchat.broker.store import open_store
from zchat.broker.store.contract import BAN, CLOSED, MUTE, Sanction
from zchat.broker.store.copying.copy import source_of
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    Record,
    RoomRecord,
)

NUMBERS = count()


class Places:
    """Names of stores of both kinds: a file in a folder, a prefix of a server."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder = folder
        self.server = server

    def new(self, kind: str) -> str:
        """Return the URL of a store that is not there yet."""
        number = next(NUMBERS)
        return f"sqlite:{self.folder}/{number}.db" if kind == "sqlite" else f"{self.server.url}?prefix=p{number}"


def nothing(what: str, done: int, whole: int) -> None:
    """Take no note of any progress."""


def opened(url: str) -> Driver:
    """Return a store that is opened as a broker does."""
    return Driver(lambda clock: open_store(url, clock), keeps=True, begins=url.startswith("sqlite"))


def fill(driver: Driver) -> None:
    """Have a store keep something of every kind: several blocks, rooms, epochs, and a beginning that was trimmed."""
    for number in range(1, 21):
        driver.clock.now += 1000
        driver.stored(number, *(f"text {number} {each}" for each in range(number % 4 + 1)))
    driver.stored(1, "x" * 70_000, room="Straße", producer=BOB)
    driver.reopen()
    driver.stored(21, "after a restart")
    driver.stored(1, "by bob", producer=BOB)
    driver.stored(1, "gone", room="Empty")
    driver.trim(keep=1, before=driver.clock.now + 1, room="Empty")
    driver.trim(keep=12)
    driver.mark(7)
    driver.clock.now += 1000
    driver.mark(1, user="carol", room="Straße")
    for kind, user, room in ((BAN, "Bob", "General"), (MUTE, "dave", ""), (BAN, "eve", "General")):
        driver.impose(kind, user, room)
    driver.impose(CLOSED, "", "Straße")
    driver.lift(BAN, "bob")


def filled(places: Places, kind: str) -> str:
    """Return the URL of a store that has something of every kind."""
    url = places.new(kind)
    driver = opened(url)
    fill(driver)
    driver.store.close()
    return url


def content(url: str) -> list[object]:
    """Return all that a store keeps, in an order that is the same for every kind of store."""
    with source_of(url) as source:
        return in_order(source.records())


def in_order(records: Iterable[Record]) -> list[object]:
    """Return records, those of each room with it, in an order that is the same for every kind of store."""
    rooms: dict[str, list[object]] = {}
    rest: list[object] = []
    room: list[object] = []
    for record in records:
        if isinstance(record, RoomRecord):
            room = rooms[record.name] = [record]
        elif isinstance(record, ProducerRecord):
            results = tuple(result._replace(digest=b"") for result in record.results)
            room.append(record._replace(results=results, connection=0))
        elif isinstance(record, Sanction | OldSender):
            rest.append(record)
        else:
            room.append(record)
    for each in rooms.values():
        blocks = [record for record in each if isinstance(record, BlockRecord)]
        each[1:] = sorted(map(repr, (record for record in each[1:] if not isinstance(record, BlockRecord))))
        each += blocks
    return [*(rooms[name] for name in sorted(rooms)), *sorted(map(repr, rest))]
