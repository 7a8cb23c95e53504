"""The thread that reads, over a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.store.driver import EVERYTHING, Driver
from tests.redis_server import RedisServer
from zchat.broker.store.contract import Failed, LogPage
from zchat.broker.store.redis.connections.server import Connection
from zchat.broker.store.redis.partitions import Keys, partition_of


@pytest.fixture
def store(redis_server: RedisServer, opened: Callable[..., Driver]) -> Driver:
    redis_server.call("FLUSHALL")
    return opened(redis_server)


def test_more_pages_than_are_read_ahead_all_come(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        store.stored(number, f"{number}")
    pages: list[Any] = []
    for index in range(200):
        store.store.read("General", index % 3, EVERYTHING, 0, pages.append)
    store.wait(lambda: len(pages) == 200)
    assert [page.blocks[0].first for page in pages if isinstance(page, LogPage)] == [
        index % 3 + 1 for index in range(200)
    ]


def test_a_page_is_full_however_large_its_blocks_are(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.reader.ENTRIES", 3)
    for number in range(1, 21):
        store.stored(number, "x" * (1 if number <= 10 else 5000))
    small = len(store.blocks()[0].data)
    assert [each.first for each in store.blocks(max_bytes=10 * small)] == list(range(1, 11))
    assert [each.first for each in store.blocks(after=10, max_bytes=4 * 6000)] == [11, 12, 13, 14]
    assert [each.first for each in store.blocks()] == list(range(1, 21))


def test_reading_goes_on_after_its_connection_was_cut(store: Driver, redis_server: RedisServer) -> None:
    store.say("a", "b")
    for _ in range(3):
        redis_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert store.texts() == ["a", "b"]


def test_no_more_is_read_than_a_page_takes_up_however_the_sizes_of_blocks_change(
    store: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 101):
        store.stored(number, "x" * (50_000 if number % 3 else 1))
        store.stored(number, "x", room="Small")
    received: list[int] = []
    ask = Connection.ask

    def counted(self: Connection, commands: Any) -> Any:
        replies = ask(self, commands)
        if commands[0][0] == "XRANGE":
            received.append(sum(len(fields[3]) for _, fields in replies[0]))
        return replies

    monkeypatch.setattr(Connection, "ask", counted)
    pages = 0
    for room in ("General", "Small"):
        after = 0
        while blocks := store.blocks(after=after, max_bytes=1 << 16, room=room):
            after = blocks[-1].last
            pages += 1
        assert after == 100
    assert pages < 70
    assert max(received[1:]) < 5 * 50_000, "of the first nothing is known"
    assert sum(received) < 3 * 67 * 50_000


def test_a_page_ends_where_what_lay_between_was_trimmed_while_it_was_read(
    store: Driver, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.reader.ENTRIES", 2)
    for number in range(1, 9):
        store.stored(number, f"{number}")
    keys = Keys(store.store._url.prefix)  # type: ignore[attr-defined]
    log = keys.log(partition_of("general"), b"general")
    ask = Connection.ask

    def trimmed_then(self: Connection, commands: Any) -> Any:
        if commands[0][0] == "XRANGE" and commands[0][2] == b"(2-0":
            redis_server.call("XTRIM", log, "MINID", "6-0")
        return ask(self, commands)

    monkeypatch.setattr(Connection, "ask", trimmed_then)
    assert [block.first for block in store.blocks()] == [1, 2]
    assert [block.first for block in store.blocks(after=2)] == [6, 7, 8], "whose reader is told of the gap"


def test_nothing_is_read_of_a_run_of_the_server_that_this_broker_is_not_attached_to(
    store: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.say("a")
    reads = store.store._reads  # type: ignore[attr-defined]
    reads.move(reads._url, b"another run")
    pages: list[Any] = []
    store.store.read("General", 0, EVERYTHING, 1000, pages.append)
    store.wait(lambda: pages)
    [failed] = pages
    assert isinstance(failed, Failed)
    assert "has begun anew" in failed.reason
