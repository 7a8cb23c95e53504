"""The thread that writes: what it sends at once, and what it does while the server is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.store.driver import Driver, block
from tests.redis_server import RedisServer
from zchat.broker.store.contract import PRODUCER_DAY, Commit, NotStored, Stored
from zchat.broker.store.redis.connections.server import Connection


def commits(driver: Driver) -> list[Commit]:
    return [commit for (commit,) in driver.reports.of("committed")]


def appended(driver: Driver, server: RedisServer, *texts: str) -> list[Any]:
    """Append blocks while the server stands still, the first of which it was sent before the others came."""
    answers: list[Any] = []
    server.pause()
    for number, text in enumerate(texts, 1):
        driver.store.append(block(number, text), answers.append)
    server.resume()
    driver.wait(lambda: len(answers) == len(texts))
    return answers


def test_what_arrives_while_the_server_answers_goes_to_it_together(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    answers = appended(store, own_server, *"abcdefgh")
    assert [answer.block.first for answer in answers] == list(range(1, 9))
    assert len(commits(store)) < 8


@pytest.mark.parametrize(("bound", "most"), [("BATCH_CALLS", 2), ("BATCH_BYTES", 3000)])
def test_a_batch_takes_no_more_than_its_bound(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(f"zchat.broker.store.redis.committer.{bound}", most)
    store = opened(own_server)
    appended(store, own_server, *("x" * 2000 for _ in range(8)))
    assert len(commits(store)) >= 4
    assert max(commit.size for commit in commits(store)) < 4100
    assert sum(commit.size for commit in commits(store)) == 8 * len(block(1, "x" * 2000).bodies)


def test_a_broker_that_lost_its_scripts_or_its_attachment_goes_on(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    store.stored(1, "a")
    own_server.call("SCRIPT", "FLUSH")
    assert store.stored(2, "b").block.first == 2
    own_server.calls([("HDEL", key, "run") for key in own_server.call("KEYS", "*:info")])
    again = store.stored(3, "c")
    assert again.block.first == 3
    assert store.reports.of("failed") == []
    assert [log.epochs[-1].epoch for log in store.reopen()] == [again.epoch]


@pytest.mark.parametrize("odd", [5, b"OK", None, [], [[]]])
def test_what_was_answered_as_no_script_answers_is_sent_again_and_stored_once(
    redis_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch, odd: object
) -> None:
    redis_server.call("FLUSHALL")
    store = opened(redis_server)
    store.stored(1, "a")
    receive = Connection.receive
    left = [odd]

    def confused(self: Connection) -> Any:
        reply = receive(self)
        stored = isinstance(reply, list) and reply[:1] == [b"stored"]
        return left.pop() if stored and left else reply

    monkeypatch.setattr(Connection, "receive", confused)
    assert store.stored(2, "b").block.first == 2
    assert left == []
    assert store.texts() == ["a", "b"]


def test_a_script_that_a_user_may_not_run_any_more_fails_what_it_was_for(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(own_server)
    store.stored(1, "a")
    own_server.call("ACL", "SETUSER", "default", "-xadd")
    answer: Any = store.append(2, "b")
    assert answer.reason.startswith("the server refuses it: ")
    own_server.call("ACL", "SETUSER", "default", "+xadd")
    assert isinstance(store.append(2, "b"), Stored)


def test_producers_are_forgotten_some_at_a_time_by_the_time_of_their_last_block(
    redis_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.call("FLUSHALL")
    monkeypatch.setattr("zchat.broker.store.redis.committer.EXPIRED_AT_ONCE", 64)
    store = opened(redis_server)
    for number in range(3):
        store.stored(1, "a", producer=bytes([number]) * 16)
        store.clock.now += 1
    store.clock.now += PRODUCER_DAY
    known = []
    for _ in range(3):
        store.expire()
        asked = [store.append(2, producer=bytes([number]) * 16) for number in range(3)]
        known.append([isinstance(answer, NotStored) for answer in asked])
    assert known == [[False, True, True], [False, False, True], [False, False, False]]
