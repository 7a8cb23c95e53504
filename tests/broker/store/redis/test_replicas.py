"""Acknowledged once replicas have it: a master and its replica, which is killed, stands still or is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.driver import ALICE, BOB, Driver, block, duplicate
from tests.promises.faults.processes import free_port
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat import Client
from zchat.broker import Broker
from zchat.broker.store import open_store
from zchat.broker.store.contract import Failed, Stored
from zchat.errors import Refused, StoreError

LOG = "zchat:{22868}:log:general"
EVERY_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")


class Pair:
    """A master and its replica."""

    def __init__(self, master: RedisServer, replica: RedisServer) -> None:
        self.master, self.replica = master, replica
        eventually(self.keeps_up, "the replica has all")

    def keeps_up(self) -> bool:
        return b"state=online" in self.master.call("INFO", "replication")

    @property
    def url(self) -> str:
        return f"{self.master.url}?acknowledge=replicas:1"


@pytest.fixture
def pair(needs: Callable[[str], str], tmp_path: Path) -> Iterator[Pair]:
    program, port = needs("redis-server"), free_port()
    folders = [tmp_path / name for name in ("master", "replica")]
    for folder in folders:
        folder.mkdir()
    listens = ("--port", str(port), "--repl-diskless-sync-delay", "0")
    with (
        RedisServer(program, folders[0], *EVERY_SECOND, *listens) as master,
        RedisServer(program, folders[1], *EVERY_SECOND, "--replicaof", f"127.0.0.1 {port}") as replica,
    ):
        yield Pair(master, replica)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have replicas asked often."""
    monkeypatch.setattr("zchat.broker.store.redis.attachment.CONFIRM_MS", 200)


def grown(store: Driver) -> list[int]:
    return [each.first for _, each, _, _ in store.reports.of("grew")]


def asked(store: Driver, number: int, producer: bytes = ALICE) -> list[Any]:
    """Have a block stored, and return where its answer will stand."""
    answers: list[Any] = []
    store.store.append(block(number, f"{number}", producer=producer), answers.append)
    return answers


def test_what_is_answered_is_at_the_replica(pair: Pair, opened: Callable[..., Driver]) -> None:
    store = opened(pair.master, acknowledge="replicas:1")
    for number in range(1, 101):
        store.stored(number, f"{number}")
        assert pair.replica.call("XLEN", LOG) == number
    store.mark(50)
    assert pair.replica.call("HLEN", "zchat:{22868}:marks") == 1


def test_what_is_not_at_the_replica_is_answered_and_shown_to_nobody_until_it_is(
    pair: Pair, opened: Callable[..., Driver], probing: None, quick: None
) -> None:
    first, second = (opened(pair.master, acknowledge="replicas:1") for _ in range(2))
    for store in (first, second):
        store.store.follow("General", True)
    before = first.stored(1, "1")
    second.wait(lambda: grown(second) == [1])
    pair.replica.pause()
    answers = asked(first, 2)
    eventually(lambda: pair.master.call("XLEN", LOG) == 2, "the master has it")
    looks = second.store._feed.looks  # type: ignore[attr-defined]
    located: list[bool] = []
    second.store.locate("General", lambda: located.append(True))
    waited = _confirmations(pair.master) + 10
    eventually(lambda: _confirmations(pair.master) > waited, "the second one has found it, and waits too")
    for store in (first, second):
        store.store.poll(store.reports)
        assert grown(store) == [1]
    assert (answers, located, second.store._feed.looks) == ([], [], looks)  # type: ignore[attr-defined]
    pair.replica.resume()
    first.wait(lambda: answers)
    (stored,) = answers
    assert isinstance(stored, Stored)
    assert (stored.block.first, stored.epoch) == (2, before.epoch)
    for store in (first, second):
        store.wait(lambda store=store: grown(store) == [1, 2])  # type: ignore[misc]
    second.wait(lambda: located)


def _confirmations(server: RedisServer) -> int:
    """Return how often a server was asked to wait for replicas."""
    said = server.call("INFO", "commandstats").decode()
    return int(said.partition("cmdstat_wait:calls=")[2].partition(",")[0] or 0)


def test_a_notice_comes_once_the_replica_has_the_block(pair: Pair, opened: Callable[..., Driver]) -> None:
    first, second = (opened(pair.master, acknowledge="replicas:1") for _ in range(2))
    for store in (first, second):
        store.store.follow("General", True)
    eventually(lambda: pair.master.call("PUBSUB", "SHARDNUMSUB", "zchat:{22868}:feed")[1] == 2, "both listen")
    for number in range(1, 6):
        first.stored(number, "a")
        second.stored(number, "b", producer=BOB)
    for store in (first, second):
        store.wait(lambda store=store: len(grown(store)) == 10)  # type: ignore[misc]
        assert store.store._feed.looks == 0  # type: ignore[attr-defined]


def test_what_is_sent_again_over_a_new_connection_waits_for_the_replica_too(
    pair: Pair, opened: Callable[..., Driver], quick: None
) -> None:
    store = opened(pair.master, acknowledge="replicas:1")
    store.stored(1, "1")
    pair.replica.pause()
    answers = asked(store, 2)
    eventually(lambda: pair.master.call("XLEN", LOG) == 2, "the master has it")
    pair.master.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    waited = _confirmations(pair.master) + 3
    eventually(lambda: _confirmations(pair.master) > waited, "it waits over a new connection")
    store.store.poll(store.reports)
    assert answers == []
    pair.replica.resume()
    store.wait(lambda: answers)
    assert isinstance(answers[0], Stored)
    assert store.texts() == ["1", "2"]


def test_where_the_replica_does_not_come_back_it_fails_and_what_is_sent_again_is_stored_once(
    pair: Pair, opened: Callable[..., Driver], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(pair.master, acknowledge="replicas:1")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.3)
    pair.replica.pause()
    failed = store.append(1, "a")
    assert failed == Failed("the server has it, but 0 of the 1 replicas that are asked for have it")
    assert isinstance(store.mark(1), Failed)
    pair.replica.resume()
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", DEADLINE)
    answer = store.append(1, "a")
    assert store.texts() == ["a"]
    assert answer == duplicate(Stored(store.blocks()[0], answer.epoch))  # type: ignore[union-attr]
    assert store.stored(2, "b").block.first == 2


def test_a_master_that_dies_has_acknowledged_nothing_that_its_replica_lacks(
    pair: Pair, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(pair.master, acknowledge="replicas:1")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.3)
    answers: list[Any] = []
    for number in range(1, 501):
        store.store.append(block(1, f"{number}", producer=number.to_bytes(16, "big")), answers.append)
        if number == 250:
            store.wait(lambda: len(answers) > 50)
            pair.replica.pause()
    eventually(lambda: pair.master.call("XLEN", LOG) > len(answers), "the master has more")
    pair.master.kill()
    pair.replica.resume()
    pair.replica.call("REPLICAOF", "NO", "ONE")
    store.wait(lambda: len(answers) == 500)
    kept = pair.replica.call("XLEN", LOG)
    stored = [each for each in answers if isinstance(each, Stored)]
    assert 50 < len(stored) <= kept
    assert {type(each) for each in answers} == {Stored, Failed}


def test_a_client_is_told_that_its_message_may_be_sent_again(
    pair: Pair, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.3)
    with Broker("tcp://127.0.0.1:*", store=pair.url) as broker, Client(broker.url, user="alice") as client:
        room = client.join("General")
        assert room.send("a").seq == 1
        pair.replica.pause()
        with pytest.raises(Refused, match="0 of the 1 replicas that are asked for have it") as caught:
            room.send("b")
        assert caught.value.retryable
        pair.replica.resume()
        assert room.send("c").seq > 1


def test_a_server_without_its_replicas_or_that_would_empty_them_is_refused(pair: Pair) -> None:
    def refused(url: str) -> str:
        with pytest.raises(StoreError) as caught:
            open_store(url).open(lambda: None)
        return str(caught.value)

    assert refused(pair.url.replace(":1", ":2")).endswith(
        " has 1 replicas, and 2 are to have what is acknowledged: start them, or ask for fewer"
    )
    pair.master.call("CONFIG", "SET", "appendonly", "no")
    assert "its replicas lose all if it is started again" in refused(pair.url)
    pair.replica.kill()
    pair.master.call("CONFIG", "SET", "appendonly", "yes")
    eventually(lambda: not pair.keeps_up(), "the replica is gone")
    assert " has 0 replicas" in refused(pair.url)


def test_a_broker_that_starts_while_the_replica_stands_still_says_so(
    pair: Pair, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.OPEN_SECONDS", 0.3)
    pair.replica.pause()
    with pytest.raises(StoreError, match="0 of the 1 replicas") as caught:
        open_store(pair.url).open(lambda: None)
    assert str(caught.value).endswith("; see that its replicas are there and keep up, or ask for fewer")
