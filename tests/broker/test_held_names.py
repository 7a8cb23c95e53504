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


def url_of(path: Path) -> str:
    return f"sqlite:{path / 'zchat.db'}"


@contextmanager
def fewer_rules() -> Iterator[None]:
    """Have brokers take names, and write files, as zchat 0.1.0 does within the block."""

    def begin_epochs(connection: sqlite3.Connection, epochs: list[tuple[int, int, int]]) -> None:
        connection.executemany("INSERT INTO epochs VALUES (?, ?, ?)", epochs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "check_name", check_held_name)
        patch.setattr(schema, "old_senders", lambda connection: [])
        patch.setattr(schema, "begin_epochs", begin_epochs)
        yield


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


def test_senders_are_searched_for_again_if_the_disk_had_no_place_to_note_them(old: Broker, tmp_path: Path) -> None:
    old.stop()
    path = tmp_path / "zchat.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE old_senders")
        connection.execute("DROP TABLE searched")
    with closing(schema.connect(path, "FULL")) as connection:
        connection.execute("PRAGMA query_only = 1")
        assert sorted(schema.old_senders(connection)) == [DIRECT, SENDER, FOLDED]
    with closing(schema.connect(path, "FULL")) as connection:
        assert sorted(schema.old_senders(connection)) == [DIRECT, SENDER, FOLDED]
        connection.execute("DELETE FROM blocks")
        assert sorted(schema.old_senders(connection)) == [DIRECT, SENDER, FOLDED]


def test_a_name_that_an_older_zchat_took_on_the_same_file_meanwhile_stays_valid_too(
    old: Broker, tmp_path: Path
) -> None:
    with Client(old.url, user="plain") as client:
        client.join("General").send("here we have the rules")
    old.stop()
    for number, user in enumerate(("lat\u00b2er", "last\u00b2")):
        with (
            fewer_rules(),
            Broker(ANY, store=url_of(tmp_path)) as broker,
            Client(broker.url, user="plain") as plain,
            Client(broker.url, user=user) as client,
        ):
            plain.join("General").send(number)
            for room in ("General", "Sports"):
                client.join(room).send("hello")
        with Broker(ANY, store=url_of(tmp_path)) as broker:
            for each in (user, SENDER, DIRECT):
                with Client(broker.url, user=each) as client:
                    client.join("General").send("and again")
            with pytest.raises(BadName), Client(broker.url, user=NEW):
                pass


def test_only_what_an_older_zchat_has_written_is_searched(
    old: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(old.url, user="plain") as client:
        client.join("General").send("hello")
    old.stop()

    def search(connection: sqlite3.Connection, epochs: object) -> set[str]:
        raise AssertionError(epochs)

    monkeypatch.setattr(schema, "_search_old_senders", search)
    with Broker(ANY, store=url_of(tmp_path)) as broker, Client(broker.url, user=SENDER) as client:
        client.join("General").send("hello")


def test_the_note_of_them_leaves_the_files_version_as_it_was(old: Broker, tmp_path: Path) -> None:
    old.stop()
    with closing(sqlite3.connect(tmp_path / "zchat.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


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
