"""New names comply with today's rules; names that a store holds from before stay valid."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.broker.raw import ANY
from zchat import Client
from zchat.broker import Broker
from zchat.broker.rooms import directory
from zchat.broker.store.sqlite import schema
from zchat.errors import BadName, NoSuchRoom
from zchat.names import check_held_name

SENDER = "writer²"
FOLDED = "\u017fender"  # that begins with a long s; folded, the name keeps the rules
READER = "reader\ufe00"
DIRECT = "dire\u0441t"  # with a Cyrillic letter
ROOM = "Room\u3000½"
NEW = "alice\ufe00"
GONE = "trimmed²"


def url_of(path: Path) -> str:
    return f"sqlite:{path / 'zchat.db'}"


@contextmanager
def fewer_rules() -> Iterator[None]:
    """Have brokers take names as zchat 0.1.0 does within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "check_name", check_held_name)
        yield


def make_old(path: Path, *, searched: bool = False) -> None:
    """Give a file the tables of zchat 0.1.0, or with what was `searched` those of the versions after it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column in (("rooms", "maker"), ("producers", "user"), ("marks", "moved")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("DROP TABLE sanctions")
        if searched:
            connection.execute("CREATE TABLE searched (room INTEGER, first INTEGER)")
            connection.execute("INSERT INTO old_senders VALUES (?)", (GONE,))
        else:
            connection.execute("DROP TABLE old_senders")
        connection.execute("PRAGMA user_version = 2")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker on a store that was written when names had fewer rules."""
    with fewer_rules(), Broker(ANY, store=url_of(tmp_path)) as broker, Client(broker.url, user=SENDER) as sender:
        sender.join(ROOM).send("hello")
        with Client(broker.url, user=FOLDED) as other:
            other.join("General").send("hello")
        with Client(broker.url, user=DIRECT) as other:
            other.direct("plain").send("psst")
        with Client(broker.url, user=READER) as reader:
            reader.mark_read(ROOM, 1)
    make_old(tmp_path / "zchat.db")
    with Broker(ANY, store=url_of(tmp_path)) as broker:
        yield broker


def test_rooms_and_users_that_a_store_holds_stay_valid(old: Broker) -> None:
    for user in (SENDER, SENDER.upper(), FOLDED, READER, DIRECT, "plain"):
        with Client(old.url, user=user) as client:
            assert client.join(ROOM.upper()).name == ROOM
            assert [message.body for message in client.history(ROOM)] == ["hello"]
    with Client(old.url, user="newcomer") as client:
        client.direct(SENDER).send("hello")
        client.direct(DIRECT).send("hello")


def test_they_stay_so_over_further_starts(old: Broker, tmp_path: Path) -> None:
    old.stop()
    for _ in range(2):
        with Broker(ANY, store=url_of(tmp_path), rooms=[ROOM]) as broker, Client(broker.url, user=SENDER) as client:
            assert client.join(ROOM).name == ROOM


def test_those_that_a_version_after_0_1_0_had_found_stay_valid(old: Broker, tmp_path: Path) -> None:
    old.stop()
    make_old(tmp_path / "zchat.db", searched=True)
    with Broker(ANY, store=url_of(tmp_path)) as broker:
        for user in (SENDER, DIRECT, GONE):
            with Client(broker.url, user=user) as client:
                client.join("General").send("hello")


def test_a_file_is_searched_for_them_once(old: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(old.url, user="plain") as client:
        client.join("General").send("hello")
    old.stop()

    def search(connection: sqlite3.Connection) -> set[str]:
        raise AssertionError("it was searched at its upgrade")

    monkeypatch.setattr(schema, "_search_old_senders", search)
    with Broker(ANY, store=url_of(tmp_path)) as broker, Client(broker.url, user=SENDER) as client:
        client.join("General").send("hello")


def test_new_ones_are_refused(old: Broker) -> None:
    with pytest.raises(BadName, match=r"U\+FE00"):
        Client(old.url, user=NEW)
    with Client(old.url, user="plain") as client:
        with pytest.raises(BadName, match=r"U\+FE00"):
            client.join(NEW)
        with pytest.raises(BadName, match=r"U\+FE00"):
            client.direct(NEW)
        with pytest.raises(NoSuchRoom):
            client.history(NEW)


def test_a_broker_makes_no_room_of_its_options_that_breaks_the_rules() -> None:
    with pytest.raises(BadName, match=r"U\+FE00"), Broker(ANY, store="memory:", rooms=[NEW]):
        pass
