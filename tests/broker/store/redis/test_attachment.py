"""Attaching to a server: what was sent before is carried out no more, and of several brokers one tends the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.broker.store.driver import ALICE, BOB, Driver, block
from tests.redis_server import RedisServer
from tests.running import ROOT, eventually
from zchat.broker.store.contract import Sanction
from zchat.broker.store.redis import attachment
from zchat.broker.store.redis.attachment import Attachment
from zchat.broker.store.redis.connections.url import parse
from zchat.broker.store.redis.partitions import PARTITIONS, Keys
from zchat.errors import StoreError

HOLDER = "zchat:{40821}:holder"
FORMAT = "zchat:{40821}:format"
PAGE = ROOT / "docs" / "redis.md"


def attached(server: RedisServer, broker: bytes = b"me") -> Attachment:
    return Attachment(parse(server.url), Keys("zchat"), broker)


@pytest.fixture
def fresh(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


def test_of_two_brokers_one_tends_the_store_and_once_it_ended_the_other_does(fresh: RedisServer) -> None:
    first, second = attached(fresh), attached(fresh, b"other")
    assert (first.tends, second.tends) == (True, False)
    first.hold()
    assert (first.tends, second.tends) == (True, False)
    first.release()
    second.hold()
    assert second.tends
    second.release()
    assert fresh.call("EXISTS", HOLDER, "zchat:{40821}:brokers") == 0
    assert [
        field for key in fresh.call("KEYS", "*:info") for field in fresh.call("HKEYS", key) if field[:2] == b"g:"
    ] == []


def test_a_broker_that_was_killed_tends_the_store_for_a_while_and_is_taken_for_ended_after_another(
    fresh: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.attachment.HOLD_MS", 400)
    killed = attached(fresh, b"killed")
    killed.connection.close()
    second = attached(fresh)
    assert not second.tends

    def tends() -> bool:
        second.hold()
        return second.tends

    eventually(tends, "the lease ends")
    assert fresh.call("HEXISTS", "zchat:{40821}:info", "g:killed") == 1
    monkeypatch.setattr("zchat.broker.store.redis.attachment.ENDED_MS", 1)
    eventually(lambda: tends() and fresh.call("ZSCORE", "zchat:{40821}:brokers", "killed") is None, "it is missed")
    assert [fresh.call("HEXISTS", shelf.info, "g:killed") for shelf in Keys("zchat").shelves] == [0] * PARTITIONS
    second.release()


def test_what_an_earlier_attachment_had_sent_is_not_carried_out(fresh: RedisServer) -> None:
    first = attached(fresh)
    second = attached(fresh)
    assert first.fence(0) != second.fence(0)
    assert [second.fence(each).generation - first.fence(each).generation for each in range(PARTITIONS)] == [1] * 64
    first.connection.close()
    second.release()
    assert fresh.call("GET", HOLDER) is None


def test_a_snapshot_has_all_of_a_partition_but_the_logs(fresh: RedisServer, opened: Callable[..., Driver]) -> None:
    store = opened(fresh)
    stored = store.stored(1, "a", "b")
    store.answer(store.store.append, block(1, "c", room="Other", producer=BOB)._replace(maker="carol"))
    store.mark(1)
    store.impose("ban")
    store.store.close()
    found = attached(fresh)
    snapshots = found.snapshots(range(PARTITIONS))
    rooms = {room: state for snapshot in snapshots.values() for room, state in snapshot.rooms.items()}
    assert {room: (state.name, state.maker, state.ends.last) for room, state in rooms.items()} == {
        "general": ("General", "", 2),
        "other": ("Other", "carol", 1),
    }
    assert rooms["general"].epochs == ((stored.epoch, 1),)
    marks = {mark: seq for snapshot in snapshots.values() for mark, (seq, _) in snapshot.marks.items()}
    assert marks == {("general", "bob"): 1}
    (kept,) = [snapshot.sanctions for snapshot in snapshots.values() if snapshot.sanctions is not None]
    assert [(sanction.user, type(sanction)) for sanction in kept] == [("bob", Sanction)]
    assert {(producer, user, room) for producer, user, room, _ in found.producers()} == {
        (ALICE, "alice", "general"),
        (BOB, "alice", "other"),
    }
    assert sum(each.logs for each in found.changes) == 2
    assert sum(each.others for each in found.changes) == 2
    found.release()


@pytest.mark.parametrize("left", [b"log", b"seen", b"ends"])
def test_no_store_begins_over_what_is_left_of_another_one(
    fresh: RedisServer, opened: Callable[..., Driver], left: bytes
) -> None:
    store = opened(fresh)
    store.stored(1, "a", room="Big Room")
    store.store.close()
    fresh.call("DEL", *(key for key in fresh.call("KEYS", "*") if key.split(b":")[2] != left))
    before = fresh.keys()
    assert before
    with pytest.raises(StoreError, match=r"the prefix zchat, the key .zchat:.*: choose another prefix, or remove"):
        attached(fresh)
    assert fresh.keys() == before
    (advice,) = re.findall(r'^redis-cli EVAL "(.*)" 0 \'(.*)\'$', PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    fresh.call("EVAL", advice[0], 0, advice[1])
    found = attached(fresh)
    assert found.new
    found.release()


def test_a_store_begins_where_brokers_came_and_went_and_anything_else_lies(fresh: RedisServer) -> None:
    attached(fresh, b"killed").connection.close()
    fresh.call("DEL", FORMAT)
    others = ("zchat2:{40821}:log:a", "zchat:{other}:log:a", "zchat:log:a")
    for key in others:
        fresh.call("SET", key, "theirs")
    found = attached(fresh)
    assert found.new
    found.release()
    assert [fresh.call("GET", key) for key in others] == [b"theirs"] * 3


def test_a_store_that_another_broker_begins_at_the_same_moment_is_attached_to(
    fresh: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = attachment.keys_of

    def late(*arguments: Any) -> Iterator[list[bytes]]:
        """Look once the other one has stored something."""
        monkeypatch.setattr(attachment, "keys_of", look)
        opened(fresh).stored(1, "a")
        return look(*arguments)

    monkeypatch.setattr(attachment, "keys_of", late)
    found = attached(fresh)
    assert not found.new
    assert sum(each.logs for each in found.changes) == 1
    found.release()
