"""A store over Redis as what is copied into: marked until it is whole, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.copying.driver import Places, content, filled, nothing, opened
from tests.redis_server import RedisServer
from tests.running import eventually
from tests.sentinels import Watched
from zchat.broker.store.copying import redis_target as module
from zchat.broker.store.copying.copy import COPIED, copy, source_of, target_of
from zchat.broker.store.copying.records import RoomRecord
from zchat.broker.store.copying.redis_target import RedisTarget
from zchat.broker.store.redis import attachment
from zchat.broker.store.redis.connections.server import RIGHTS
from zchat.broker.store.redis.connections.url import parse
from zchat.errors import StoreError

READING = "+@read +@scripting +@connection +time +info"
"""The rights that a user of a server has to have whose store is copied."""


@pytest.fixture
def own_server(needs: Callable[[str], str], tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "server").mkdir()
    with RedisServer(needs("redis-server"), tmp_path / "server") as server:
        yield server


def begun(places: Places) -> str:
    """Return the URL of a copy that was killed."""
    url = places.new("redis")
    target = RedisTarget(parse(url))
    target.begin(again=False)
    target.put(RoomRecord("Left", "", 1, 0, 0, ()))
    target._write()
    target.close()
    return url


@pytest.mark.parametrize(
    ("bound", "most"),
    [("BATCH_COMMANDS", 1), ("BATCH_BYTES", 1), ("CALL_COMMANDS", 1), ("CALL_BYTES", 1), ("SCAN_KEYS", 1)],
)
def test_in_whatever_parts_it_is_written_it_is_the_same(
    places: Places, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    url = filled(places, "redis")
    monkeypatch.setattr(attachment if bound == "SCAN_KEYS" else module, bound, most)
    target = begun(places)
    copy(url, target, nothing, again=True)
    assert content(target) == content(url)


def test_a_copy_that_is_not_complete_is_no_store_and_says_what_to_do(places: Places) -> None:
    source, url = filled(places, "sqlite"), begun(places)
    with pytest.raises(StoreError, match=r"is a copy that is not complete: wait for it, or make it anew \(zchat copy"):
        opened(url)
    with pytest.raises(StoreError, match="is a copy that is not complete"), source_of(url):
        pass
    with pytest.raises(StoreError, match=r"there is a copy that is not complete .*zchat copy --again removes"):
        copy(source, url, nothing)
    copy(source, url, nothing, again=True)
    assert content(url) == content(source)


def test_again_is_of_no_harm_where_nothing_is(places: Places) -> None:
    source, url = filled(places, "sqlite"), places.new("redis")
    copy(source, url, nothing, again=True)
    assert content(url) == content(source)


def test_a_copy_that_another_has_taken_the_place_of_writes_nothing_more(places: Places) -> None:
    source, url = filled(places, "sqlite"), places.new("redis")
    first = RedisTarget(parse(url))
    first.begin(again=False)
    first.put(RoomRecord("First", "", 1, 0, 0, ()))
    copy(source, url, nothing, again=True)
    for late in (lambda: list(first.records()), first.complete):
        with pytest.raises(StoreError, match="another copy into it, or a broker on it, has begun"):
            late()
        first.put(RoomRecord("First", "", 1, 0, 0, ()))
    assert first.give_up(), "there is nothing of it"
    first.close()
    assert content(url) == content(source)


def test_what_is_no_store_is_not_overwritten_either(places: Places) -> None:
    source, url = filled(places, "sqlite"), places.new("redis")
    key = f"{url.partition('=')[2]}:{{5469}}:ends"
    places.server.call("SET", key, "mine")
    before = places.server.keys()
    with pytest.raises(StoreError, match=r"there is something else under the prefix p.*: choose another prefix"):
        copy(source, url, nothing)
    assert places.server.keys() == before


@pytest.mark.parametrize("left", [b"log", b"seen", b"ends", b"brokers"])
def test_what_is_left_of_another_store_is_neither_taken_for_its_own_nor_removed(places: Places, left: bytes) -> None:
    url, same, other = filled(places, "redis"), filled(places, "sqlite"), places.new("sqlite")
    driver = opened(other)
    driver.stored(1, "in a room of another name", room="Other")
    driver.store.close()
    prefix = url.partition("=")[2]
    places.server.call("ZADD", f"{prefix}:{{40821}}:brokers", 1, "killed")
    keys = places.server.call("KEYS", f"{prefix}:*")
    places.server.call("DEL", *(key for key in keys if key.split(b":")[2] != left))
    before = places.server.keys()
    assert before
    for source in (same, other):
        for again in (False, True):
            with pytest.raises(StoreError, match=rf"under the prefix {prefix}, the key .{prefix}:.*, or remove all"):
                copy(source, url, nothing, again=again)
    assert places.server.keys() == before


@pytest.mark.parametrize("moment", ["a broker", "a copy"])
def test_what_begins_at_the_same_moment_has_the_place(
    places: Places, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    url = places.new("redis")
    target, other = RedisTarget(parse(url)), RedisTarget(parse(url))
    ask = RedisTarget._ask

    def asked(self: RedisTarget, commands: list[Any]) -> list[Any]:
        """Return the answers, and have the other one come after the first."""
        found = ask(self, commands)
        if self is target:
            monkeypatch.setattr(RedisTarget, "_ask", ask)
            if moment == "a copy":
                other.begin(again=False)
            else:
                opened(url).store.close()
        return found

    monkeypatch.setattr(RedisTarget, "_ask", asked)
    with pytest.raises(StoreError, match="another copy into it, or a broker on it, has begun"):
        target.begin(again=False)
    for each in (target, other):
        each.close()


def test_two_rooms_whose_names_redis_takes_for_one_are_not_copied(places: Places) -> None:
    url = places.new("redis")
    target = RedisTarget(parse(url))
    target.begin(again=False)
    for name in ("Room", "ROOM"):
        target.put(RoomRecord(name, "", 1, 0, 0, ()))
    assert len(list(target.records())) == 1, "which is seen when both are compared"
    assert target.give_up()
    target.close()


def test_a_server_that_can_not_keep_it_is_refused_before_anything_is_written(own_server: RedisServer) -> None:
    own_server.call("CONFIG", "SET", "appendfsync", "everysec")
    with pytest.raises(StoreError, match="set appendfsync always"):
        RedisTarget(parse(own_server.url))
    assert own_server.keys() == {}


def test_a_server_without_memory_ends_it_and_nothing_is_left(places: Places, own_server: RedisServer) -> None:
    source = places.new("sqlite")
    driver = opened(source)
    for number in range(1, 200):
        driver.stored(number, "x" * 60_000)
    driver.store.close()
    own_server.call("CONFIG", "SET", "maxmemory", str(8 << 20))
    with pytest.raises(StoreError, match="has no memory left: raise maxmemory") as caught:
        copy(source, own_server.url, nothing)
    assert "is left at" not in str(caught.value)
    assert own_server.keys() == {}
    target = RedisTarget(parse(own_server.url))
    target.begin(again=False)
    own_server.call("SET", "others", "x")
    own_server.call("CONFIG", "SET", "maxmemory", "1")
    again = RedisTarget(parse(own_server.url))
    with pytest.raises(StoreError, match="has no memory left"):
        again.begin(again=True)
    assert own_server.call("DBSIZE") == 2, "what was left is removed where there is no memory, too"
    for each in (target, again):
        each.close()
    own_server.call("CONFIG", "SET", "maxmemory", "0")
    copy(source, own_server.url, nothing, again=True)
    assert content(own_server.url) == content(source)


def test_a_server_that_is_killed_has_what_no_broker_takes_for_a_store(
    places: Places, own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_COMMANDS", 1)
    source = filled(places, "sqlite")

    def kill(what: str, done: int, whole: int) -> None:
        if what == COPIED and done == 5:
            own_server.kill()

    with pytest.raises(StoreError, match=r"can't be used as a store: .*; a part of the copy is left at .* --again"):
        copy(source, own_server.url, kill)
    own_server.start()
    assert own_server.keys()
    with pytest.raises(StoreError, match="is a copy that is not complete"):
        opened(own_server.url)
    copy(source, own_server.url, nothing, again=True)
    assert content(own_server.url) == content(source)


def test_removing_what_was_written_takes_no_longer_than_it_may(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMOVE_SECONDS", 0.0)
    source, url = filled(places, "redis"), places.new("redis")

    def end(what: str, done: int, whole: int) -> None:
        if what != COPIED:
            raise StoreError("enough")

    with pytest.raises(StoreError, match=r"enough; a part of the copy is left at .*: zchat copy --again"):
        copy(source, url, end)
    with pytest.raises(StoreError, match="is a copy that is not complete"):
        opened(url)


def test_a_broker_that_begins_a_store_at_the_same_moment_keeps_it_or_gets_none(places: Places) -> None:
    source, url = filled(places, "sqlite"), places.new("redis")
    with source_of(source) as reading, target_of(url, reading, again=False) as target:
        with pytest.raises(StoreError, match="is a copy that is not complete"):
            opened(url)
        list(target.records())
        target.complete()
    driver = opened(url)
    driver.store.close()
    eventually(lambda: not places.server.call("EXISTS", f"{url.partition('=')[2]}:{{40821}}:brokers"), "it has left")


def test_the_rights_of_a_broker_are_enough_and_to_read_is_enough_for_what_is_copied(places: Places) -> None:
    server = places.server
    source, target, back = filled(places, "sqlite"), places.new("redis"), places.new("sqlite")
    prefix = target.partition("=")[2]
    own = (f"~{prefix}:*", f"&{prefix}:*")
    try:
        server.call("ACL", "SETUSER", "broker", "reset", "on", ">secret", *RIGHTS.split(), *own)
        server.call("ACL", "SETUSER", "reader", "reset", "on", ">secret", *READING.split(), own[0])
        place = target.replace("redis+unix:///", "redis+unix://broker:secret@/", 1)
        with pytest.raises(StoreError, match="ended"):
            copy(source, place, ended)
        assert server.call("DBSIZE") == 0, "it is removed"
        copy(source, place, nothing)
        copy(place.replace("broker:", "reader:"), back, nothing)
        assert content(back) == content(source)
    finally:
        server.call("ACL", "DELUSER", "broker", "reader")


def ended(what: str, done: int, whole: int) -> None:
    if what != COPIED:
        raise StoreError("ended")


def test_through_sentinels_it_goes_to_the_master_and_is_no_store_at_one_that_takes_its_place_meanwhile(
    places: Places, needs: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_COMMANDS", 1)
    source = filled(places, "sqlite")
    folder = tmp_path / "watched"
    folder.mkdir()
    with Watched(needs("redis-server"), folder) as watched:
        whole, cut = f"{watched.url}?prefix=whole", f"{watched.url}?prefix=cut"
        copy(source, whole, nothing)
        assert content(whole) == content(source)
        with pytest.raises(StoreError, match="can't be copied into itself"):
            copy(f"redis://127.0.0.1:{watched.ports[0]}?prefix=whole", whole, nothing)

        def kill(what: str, done: int, whole: int) -> None:
            if what == COPIED and done == 5:
                watched.servers[0].kill()

        with pytest.raises(StoreError, match="a part of the copy is left at"):
            copy(source, cut, kill)
        eventually(lambda: watched.knows(watched.ports[1]), "the replica takes its place")
        with pytest.raises(StoreError, match="is a copy that is not complete"):
            opened(cut)
        copy(source, cut, nothing, again=True)
        assert content(cut) == content(whole) == content(source)
