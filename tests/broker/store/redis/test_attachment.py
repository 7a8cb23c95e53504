"""Attaching to a server: one broker has the store, and what another one had sent is carried out no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.broker.raw import ANY
from tests.broker.store.driver import ALICE, BOB, Driver, block
from tests.redis_server import RedisServer
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.broker.store import open_store
from zchat.broker.store.contract import Sanction
from zchat.broker.store.redis.attachment import HOLD_MS, Attachment, Taken
from zchat.broker.store.redis.partitions import PARTITIONS, Keys
from zchat.broker.store.redis.url import parse
from zchat.cli.failures import hinting_at
from zchat.errors import StoreError

HOLDER = "zchat:{40821}:holder"


def attached(server: RedisServer, broker: bytes = b"me") -> Attachment:
    return Attachment(parse(server.url), Keys("zchat"), broker)


@pytest.fixture
def fresh(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


def test_a_second_broker_is_refused_as_soon_as_the_first_says_again_that_it_has_the_store(
    fresh: RedisServer, opened: Callable[..., Driver]
) -> None:
    first = opened(fresh)
    first.stored(1, "a")
    why = r"another broker has what is under the prefix zchat: stop it, or choose another prefix \(--store URL\)"
    with pytest.raises(StoreError, match=why), hinting_at({StoreError: "--store URL"}):
        open_store(fresh.url).open(lambda: None)
    assert first.stored(2, "b").block.first == 2


def test_a_store_whose_broker_was_killed_is_free_after_a_while(
    fresh: RedisServer, opened: Callable[..., Driver]
) -> None:
    fresh.call("SET", HOLDER, "another", "PX", "400")
    store = opened(fresh)
    assert store.stored(1, "a").block.first == 1
    assert fresh.call("GET", HOLDER) != b"another"


def test_a_broker_that_stood_still_while_another_took_the_store_stores_nothing_more_and_ends(
    fresh: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.committer.HOLD_EVERY", 60.0)
    first = opened(fresh)
    first.stored(1, "a")
    fresh.call("DEL", HOLDER)
    second = opened(fresh)
    with pytest.raises(StoreError, match="another broker has what is under the prefix zchat"):
        first.append(2, "b")
    second.stored(2, "c")
    assert second.texts() == ["a", "c"]


def test_a_broker_whose_store_another_has_taken_logs_that_on_one_line_as_it_ends(
    fresh: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.committer.HOLD_EVERY", 0.05)

    def run() -> None:
        with Broker(ANY, store=fresh.url) as broker:
            fresh.call("SET", HOLDER, "another", "PX", "600000")
            assert broker.wait(DEADLINE)

    with pytest.raises(StoreError, match="another broker has what is under the prefix zchat"):
        run()
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "another broker has what is under the prefix zchat" in logged.getMessage()
    assert logged.exc_info is None


def test_what_an_earlier_attachment_had_sent_is_not_carried_out(fresh: RedisServer) -> None:
    first = attached(fresh)
    second = attached(fresh)
    assert first.fence(0) != second.fence(0)
    assert [second.fence(each).generation - first.fence(each).generation for each in range(PARTITIONS)] == [1] * 64
    first.connection.close()
    second.release()
    assert fresh.call("GET", HOLDER) is None


def test_another_broker_is_named_for_as_long_as_it_has_the_store(fresh: RedisServer) -> None:
    first = attached(fresh)
    with pytest.raises(Taken) as caught:
        attached(fresh, b"other")
    assert 0 < caught.value.left <= HOLD_MS
    first.hold()
    first.release()
    attached(fresh, b"other").release()


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
    assert [sanction.user for sanction in found.sanctions()] == ["bob"]
    assert isinstance(found.sanctions()[0], Sanction)
    assert {(producer, user, room) for producer, user, room, _ in found.producers()} == {
        (ALICE, "alice", "general"),
        (BOB, "alice", "other"),
    }
    assert sum(each.logs for each in found.counts) == 2
    assert sum(each.others for each in found.counts) == 2
    found.release()
