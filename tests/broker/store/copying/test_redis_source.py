"""A store over Redis as what is copied: read in bounded parts, and not while it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.store.copying.driver import Places, content, filled, nothing, opened
from tests.broker.store.driver import Driver
from tests.redis_server import RedisServer
from zchat.broker.store.copying import redis_source as module
from zchat.broker.store.copying.copy import COMPARED, COPIED, copy, source_of
from zchat.errors import StoreError


@pytest.mark.parametrize(
    ("bound", "most"),
    [("ROOMS_AT_ONCE", 1), ("FIRST_BLOCKS", 1), ("MORE_BLOCKS", 1), ("MORE_BYTES", 1), ("PRODUCERS_AT_ONCE", 1)],
)
def test_in_whatever_parts_it_is_read_it_is_the_same(
    places: Places, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    url = filled(places, "redis")
    before = content(url)
    monkeypatch.setattr(module, bound, most)
    assert content(url) == before


def test_nothing_is_written_there(places: Places) -> None:
    url = filled(places, "redis")
    before = places.server.keys()
    places.server.call("CONFIG", "SET", "min-replicas-to-write", "1")  # which refuses all that writes
    try:
        copy(url, places.new("sqlite"), nothing)
    finally:
        places.server.call("CONFIG", "SET", "min-replicas-to-write", "0")
    assert places.server.keys() == before


@pytest.mark.parametrize("moment", [COPIED, COMPARED])
def test_a_store_that_a_broker_came_to_meanwhile_is_not_copied(places: Places, moment: str) -> None:
    url, target = filled(places, "redis"), places.new("sqlite")
    came: list[Driver] = []

    def come(what: str, done: int, whole: int) -> None:
        if what == moment and not came:
            came.append(opened(url))
            came[0].stored(1, "meanwhile", producer=b"somebody else's.")
            came[0].store.close()

    if moment == COMPARED:
        assert copy(url, target, come).messages == 13, "it has been copied"
    else:
        with pytest.raises(StoreError, match="was changed while it was copied: stop all brokers on it"):
            copy(url, target, come)
        assert not [each for each in places.folder.iterdir() if ".db" in each.name]


def test_a_broker_that_was_killed_is_no_longer_counted_after_a_while(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = filled(places, "redis")
    key = f"{url.partition('=')[2]}:{{40821}}:brokers"
    places.server.call("ZADD", key, places.server.call("TIME")[0] + b"000", "killed")
    with pytest.raises(StoreError, match=r"is in use by 1 broker: stop them; of one that was killed"), source_of(url):
        pass
    monkeypatch.setattr(module, "QUIET_MS", -2_000)
    with source_of(url) as source:
        assert source.messages() == 13


def test_what_there_is_of_no_room_is_damage(places: Places) -> None:
    url = filled(places, "redis")
    key = f"{url.partition('=')[2]}:{{40821}}:marks"
    places.server.call("HSET", key, "nowhere\0bob", bytes(16))
    with pytest.raises(StoreError, match="a room, 'nowhere', is missing"):
        content(url)


def test_a_server_that_is_not_there_or_is_something_else_is_named(places: Places, tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"can't be used as a store: .* start it, or name another server"),
        source_of(f"redis+unix://{tmp_path}/nobody"),
    ):
        pass
    places.server.call("SET", "other:{40821}:format", "2")
    with pytest.raises(StoreError, match="is of another format"), source_of(f"{places.server.url}?prefix=other"):
        pass


def test_a_server_that_dies_meanwhile_is_named(places: Places, needs: object, tmp_path: Path) -> None:
    with RedisServer(needs("redis-server"), tmp_path) as server:  # type: ignore[operator]
        driver = opened(server.url)
        driver.stored(1, "a")
        driver.store.close()
        with source_of(server.url) as source:
            server.kill()
            with pytest.raises(StoreError, match="can't be used as a store"):
                list(source.records())
