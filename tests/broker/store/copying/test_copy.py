"""Copies from store to store: what they have, how a broker goes on with them, and what is refused."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zchat
from tests.broker.store.copying.driver import Places, content, filled, in_order, nothing, opened
from tests.broker.store.driver import BOB
from tests.redis_server import RedisServer
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker
from zchat.broker.store.contract import (
    BAN,
    CLOSED,
    MUTE,
    Duplicate,
    ForgottenProducer,
    Imposed,
    Lifted,
    Marked,
    OutOfSequence,
    Sanction,
    Stored,
)
from zchat.broker.store.copying.copy import COMPARED, COPIED, copy, source_of, target_of
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    Result,
    RoomRecord,
)
from zchat.broker.store.copying.sqlite_target import SqliteTarget, sqlite_target
from zchat.broker.store.epochs import Epoch, Epochs
from zchat.errors import StoreError, UsageError
from zchat.names import fold
from zchat.wire.values import pack

WAYS = [("sqlite", "redis"), ("redis", "sqlite"), ("sqlite", "sqlite"), ("redis", "redis")]

each_way = pytest.mark.parametrize("way", WAYS, ids=" to ".join)


@each_way
def test_a_copy_has_all_that_the_store_had_and_the_store_stays_as_it_was(places: Places, way: tuple[str, str]) -> None:
    source, target = filled(places, way[0]), places.new(way[1])
    before = content(source)
    found = copy(source, target, nothing)
    assert content(target) == before
    assert content(source) == before
    counts = (found.rooms, found.messages, found.read_marks, found.sanctions, found.producers)
    assert counts == (3, 13, 2, 3, 4)
    assert found.newest > 1_700_000_000_000_000


@each_way
def test_a_store_goes_on_with_a_copy_as_if_nothing_had_happened(places: Places, way: tuple[str, str]) -> None:
    source, target = filled(places, way[0]), places.new(way[1])
    copy(source, target, nothing)
    old = opened(source)
    known = old.append(21, "after a restart")
    logs, marks, sanctions = sorted(old.logs), sorted(old.store.read_marks()), old.store.sanctions()
    blocks = {log.name: [block[:4] for block in old.blocks(room=log.name)] for log in logs}
    texts = old.texts()
    old.store.close()

    new = opened(target)
    assert sorted(new.logs) == logs
    assert sorted(new.store.read_marks()) == marks
    assert new.store.sanctions() == sanctions
    assert {name: [block[:4] for block in new.blocks(room=name)] for name in blocks} == blocks
    assert new.texts() == texts
    assert isinstance(known, Duplicate)
    assert new.append(21, "after a restart") == known, "sent before, and sent again"
    assert new.append(3, "too long ago") == OutOfSequence(22)
    assert new.append(2, "never seen", producer=b"nobody's yet....") == ForgottenProducer()
    (general,) = (log for log in logs if log.name == "General")
    stored = new.append(22, "goes on")
    assert isinstance(stored, Stored)
    assert stored.block.first == general.last + 1
    assert stored.epoch not in [epoch.epoch for epoch in general.epochs], "a new epoch, as after each restart"
    assert isinstance(new.append(2, "on", room="Straße", producer=BOB), Stored)
    assert new.stored(2, "on", room="Empty").block.first == 2
    assert new.mark(3) == Marked(7), "a mark never goes back"
    imposed = new.impose(BAN, "frank")
    assert isinstance(imposed, Imposed)
    assert imposed.sanction.number == max(each.number for each in sanctions) + 1
    assert new.lift(CLOSED, "", "straße") == Lifted(next(each for each in sanctions if each.kind == CLOSED))
    new.reopen()
    assert new.texts() == [*texts, "goes on"]
    new.store.close()


@each_way
def test_clients_resume_where_they_were_without_a_gap(places: Places, way: tuple[str, str]) -> None:
    source, target = places.new(way[0]), places.new(way[1])
    with Broker("tcp://127.0.0.1:*", store=source) as broker, zchat.Client(broker.url, user="alice") as alice:
        general = alice.join("General")
        general.send_many(["one", "two", "three"])
        with zchat.Client(broker.url, user="bob") as bob:
            read = bob.join("General", after=zchat.START)
            assert [next(read.messages(timeout=DEADLINE)).body for _ in range(2)] == ["one", "two"]
            position = read.position
    copy(source, target, nothing)
    with Broker("tcp://127.0.0.1:*", store=target) as broker, zchat.Client(broker.url, user="bob") as bob:
        read = bob.join("General", after=position)
        with zchat.Client(broker.url, user="alice") as alice:
            alice.join("General").send("four")
        received = [next(read.messages(timeout=DEADLINE)) for _ in range(2)]
        assert [(message.body, message.seq) for message in received] == [("three", 3), ("four", 4)]


def test_the_names_of_old_senders_stay_valid(places: Places) -> None:
    database, redis, again = places.new("sqlite"), places.new("redis"), places.new("sqlite")
    filling(database, [OldSender("a\u202eb")])
    copy(database, redis, nothing)
    copy(redis, again, nothing)
    for url in (database, redis, again):
        store = opened(url)
        assert store.store.old_senders() == ["a\u202eb"]
        store.store.close()


# -- there and back ------------------------------------------------------------------------------------


def filling(url: str, records: list[Record]) -> None:
    """Make a store of records."""
    with sqlite_target(Path(url.removeprefix("sqlite:")), ()) as target:
        for record in records:
            target.put(record)
        list(target.records())
        target.complete()


numbers = st.integers(0, (1 << 53) - 1)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
packed = st.binary(max_size=300)
producers = st.binary(min_size=16, max_size=16)


@st.composite
def rooms(draw: st.DrawFn, name: str) -> list[Record]:
    """Return records of one room, with a log that may have lost its beginning, or all that it had."""
    first = draw(st.one_of(st.just(1), st.integers(1, 1 << 30)))
    counts = draw(st.lists(st.integers(1, 100), max_size=20))
    last = first + sum(counts) - 1
    begun = sorted(draw(st.sets(st.integers(1, last + 1), max_size=5)))
    epochs = tuple(Epoch(draw(st.integers(1, (1 << 53) - 1)), each) for each in begun)
    records: list[Record] = [RoomRecord(name, draw(names), first, last, draw(numbers), epochs)]
    marks = draw(st.dictionaries(names, st.tuples(st.integers(0, last), numbers), max_size=5))
    records += [ReadMarkRecord(user, *mark) for user, mark in marks.items()]
    for producer in draw(st.sets(producers, max_size=4)):
        at = Epochs(epochs).at
        places = draw(st.lists(st.tuples(st.integers(1, max(1, last)), st.integers(1, 9), numbers), max_size=16))
        results = tuple(Result(*place, at(place[0])) for place in places)
        number = draw(st.integers(max(1, len(results)), 1 << 40))
        records.append(ProducerRecord(producer, draw(names), number, draw(numbers), results))
    for count in counts:
        sender, producer = draw(names), draw(producers)
        suffix = pack((sender, producer, draw(packed)))[1:]
        records.append(BlockRecord(first, first + count - 1, draw(numbers), producer, suffix))
        first += count
    return records


def folded(names: tuple[str, str, str]) -> tuple[str, ...]:
    return tuple(map(fold, names))


@st.composite
def stores(draw: st.DrawFn) -> list[Record]:
    """Return the records of a store."""
    spelt = draw(st.lists(names, max_size=6, unique_by=fold))
    records = [record for name in spelt for record in draw(rooms(name))]
    kinds = st.sampled_from((BAN, MUTE, CLOSED))
    whom = draw(st.lists(st.tuples(names, names, kinds), max_size=6, unique_by=folded))
    for number, (room, user, kind) in enumerate(whom, draw(st.integers(1, 1000))):
        texts = draw(names), draw(names), draw(names)
        records.append(Sanction(room, user, kind, draw(numbers), texts[0], draw(numbers), texts[1], texts[2], number))
    return records + [OldSender(user) for user in sorted(draw(st.sets(names, max_size=3)))]


def keys_of(url: str, server: RedisServer) -> dict[bytes, Any]:
    """Return all that lies under the prefix of a URL, by the rest of the key."""
    prefix = url.partition("?prefix=")[2].encode() + b":"
    kept = {key.removeprefix(prefix): value for key, value in server.keys().items() if key.startswith(prefix)}
    return {key: sorted(value) if key.endswith(b":senders") else value for key, value in kept.items()}


@settings(max_examples=40, deadline=None)
@given(stores())
def test_there_and_back_is_the_same(redis_server: RedisServer, tmp_path_factory: Any, records: list[Record]) -> None:
    redis_server.call("FLUSHALL")
    places = Places(tmp_path_factory.mktemp("copies"), redis_server)
    database, first, second, again = (places.new(kind) for kind in ("sqlite", "redis", "redis", "sqlite"))
    filling(database, records)
    before = content(database)
    assert before == in_order(records)
    for source, target in ((database, first), (first, second), (second, again)):
        copy(source, target, nothing)
        assert content(target) == before
    kept = [keys_of(url, redis_server) for url in (first, second)]
    assert kept[0] == kept[1], "from server to server not a byte is another"


def test_what_redis_alone_keeps_of_a_producer_goes_from_redis_to_redis(places: Places) -> None:
    source, target = filled(places, "redis"), places.new("redis")
    copy(source, target, nothing)
    new = opened(target)
    assert new.append(21, "other bytes") == OutOfSequence(22), "it is known that these were others"
    new.store.close()


# -- how it goes ---------------------------------------------------------------------------------------


@each_way
def test_it_says_how_far_it_is_and_ends_when_the_caller_wants_it_to(places: Places, way: tuple[str, str]) -> None:
    source, target = filled(places, way[0]), places.new(way[1])
    said: list[tuple[str, int, int]] = []
    copy(source, target, lambda *each: said.append(each))
    assert {each[0] for each in said} == {COPIED, COMPARED}
    assert max(said)[1:] == max(each for each in said if each[0] == COMPARED)[1:] == (13, 13)
    for end in (COPIED, COMPARED):
        other = places.new(way[1])

        def stop(what: str, done: int, whole: int, end: str = end) -> None:
            if what == end and done > 2:
                raise InterruptedError

        before = places.server.keys(), sorted(places.folder.iterdir())
        with pytest.raises(InterruptedError):
            copy(source, other, stop)
        assert (places.server.keys(), sorted(places.folder.iterdir())) == before, "nothing is left"
        copy(source, other, nothing)
        assert content(other) == content(target)


# -- what is refused -----------------------------------------------------------------------------------


@each_way
def test_a_store_that_a_broker_has_open_is_not_copied(places: Places, way: tuple[str, str]) -> None:
    source, target = places.new(way[0]), places.new(way[1])
    driver = opened(source)
    driver.stored(1, "a")
    with pytest.raises(StoreError, match=r"a broker has .* open; stop it|is in use by 1 broker: stop them"):
        copy(source, target, nothing)
    driver.store.close()
    assert copy(source, target, nothing).messages == 1


@each_way
def test_nothing_is_overwritten(places: Places, way: tuple[str, str]) -> None:
    source, target = filled(places, way[0]), filled(places, way[1])
    before = content(target)
    for again in (False, True):
        with pytest.raises(StoreError, match=r"exists, and nothing is overwritten|there is a store under the prefix"):
            copy(source, target, nothing, again=again)
    assert content(target) == before


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_store_is_not_copied_into_itself_by_whatever_name(places: Places, kind: str) -> None:
    source = filled(places, kind)
    with pytest.raises(UsageError, match="can't be copied into itself"):
        copy(source, source, nothing)
    other = source.replace("/", "/./", 1) if kind == "sqlite" else f"{source}&acknowledge=memory"
    with pytest.raises(StoreError, match="can't be copied into itself"):
        copy(source, other, nothing)


@pytest.mark.parametrize("url", ["memory:", "sqlite:", "papyrus:scroll", "sqlite::memory:", "redis:", ""])
def test_what_is_no_store_that_keeps_anything_is_wrong_usage(places: Places, url: str) -> None:
    source = filled(places, "sqlite")
    with pytest.raises(UsageError):
        copy(url, places.new("sqlite"), nothing)
    with pytest.raises(UsageError):
        copy(source, url, nothing)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_store_that_is_not_there_is_not_made(places: Places, kind: str) -> None:
    source = places.new(kind)
    before = places.server.keys(), sorted(places.folder.iterdir())
    with pytest.raises(StoreError, match=r"there is no file|there is no store under the prefix"):
        copy(source, places.new("sqlite"), nothing)
    assert (places.server.keys(), sorted(places.folder.iterdir())) == before


def damaged(source: str, query: str) -> None:
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection:
        connection.execute(query)
        connection.commit()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM blocks WHERE first = (SELECT max(first) FROM blocks WHERE id >> 40 = 1)", "no message"),
        ("DELETE FROM blocks WHERE id IN (SELECT id FROM blocks LIMIT 1)", "no message"),
        ("DELETE FROM rooms WHERE name = 'Straße'", "a room, number 2, is missing"),
        ("DROP TABLE marks", "can't be read as a database of zchat"),
        ("PRAGMA user_version = 3", "was written by an older zchat .* start zchat broker --store .* once"),
        ("PRAGMA user_version = 99", "was written by a newer zchat"),
        ("PRAGMA application_id = 1", "is a database of another program"),
    ],
)
def test_a_database_that_is_not_whole_or_of_another_version_is_not_copied(places: Places, query: str, why: str) -> None:
    source = filled(places, "sqlite")
    damaged(source, query)
    for kind in ("sqlite", "redis"):
        target = places.new(kind)
        with pytest.raises(StoreError, match=why):
            copy(source, target, nothing)
        damaged_again = pytest.raises(StoreError, match="there is no")
        with damaged_again, source_of(target):
            pass


def test_a_database_of_zchat_0_1_0_is_to_be_opened_by_a_broker_first(places: Places) -> None:
    source = places.new("sqlite")
    path = Path(source.removeprefix("sqlite:"))
    path.write_bytes((ROOT / "tests" / "data" / "store-0.1.0.db").read_bytes())
    with pytest.raises(StoreError, match="was written by an older zchat"):
        copy(source, places.new("redis"), nothing)
    elsewhere = path.with_name("a copy.db")
    elsewhere.write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match=re.escape(f"zchat broker --store 'sqlite:{elsewhere}' once")):
        copy(f"sqlite:{elsewhere}", places.new("redis"), nothing)
    opened(source).store.close()
    redis, again = places.new("redis"), places.new("sqlite")
    assert copy(source, redis, nothing).messages == 47
    copy(redis, again, nothing)
    assert content(again) == content(source)


def test_a_copy_that_is_not_read_back_as_it_was_written_is_none(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = filled(places, "redis"), places.new("sqlite")
    put: Callable[[SqliteTarget, Record], None] = SqliteTarget.put

    def other(self: SqliteTarget, record: Record) -> None:
        put(self, record._replace(seq=0) if isinstance(record, ReadMarkRecord) else record)

    monkeypatch.setattr(SqliteTarget, "put", other)
    with pytest.raises(StoreError, match="is not as it was written"):
        copy(source, target, nothing)
    assert not [each for each in places.folder.iterdir() if ".db" in each.name]


def test_both_ends_are_open_at_once_and_let_go_of_afterwards(places: Places) -> None:
    source, target = filled(places, "sqlite"), places.new("redis")
    with source_of(source) as reading, target_of(target, reading, again=False):
        with pytest.raises(StoreError, match="another broker has"):
            opened(source)
        with pytest.raises(StoreError, match="is a copy that is not complete"):
            opened(target)
    opened(source).store.close()
