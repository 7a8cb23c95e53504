"""The store over Redis, with servers that are killed, stand still, lose what they had or are full."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.store.driver import BOB, Driver, block, duplicate
from tests.broker.store.redis.stranger import NO_REDIS, Stranger
from tests.mortal import Mortal
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat import Client, Gap, Message
from zchat.broker import Broker
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store import open_store
from zchat.broker.store.contract import (
    Failed,
    ForgottenProducer,
    Full,
    Health,
    LogPage,
    Marked,
    RoomLog,
    Stored,
    Trimmed,
)
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.news import Kicked, Typed


def asked(driver: Driver, number: int, *texts: str) -> list[Any]:
    """Ask to store a block, and return where the answer will be."""
    answers: list[Any] = []
    driver.store.append(block(number, *texts), answers.append)
    return answers


def opened_anew(driver: Driver) -> bool:
    return driver.store.new


def test_what_was_acknowledged_survives_a_kill_of_the_server_and_what_waits_is_stored_once_it_is_back(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    before = [store.stored(number, f"{number}") for number in range(1, 30)]
    store.mark(7)
    own_server.kill()
    answers = asked(store, 30, "30")
    own_server.start()
    store.wait(lambda: answers)
    assert isinstance(answers[0], Stored)
    assert answers[0].block.first == 30
    assert answers[0].epoch != before[0].epoch, "the server has begun anew"
    assert store.append(29, "29") == duplicate(before[28])
    assert store.texts() == [f"{number}" for number in range(1, 31)]
    assert store.marks() == [("General", "bob", 7)]
    assert store.logs == [RoomLog("General", 1, 30, (Epoch(before[0].epoch, 1), Epoch(answers[0].epoch, 30)), "")]


def test_a_cut_connection_loses_doubles_and_reorders_nothing(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    store.store.follow("General", True)
    for number in range(1, 161, MAX_REQUESTS):  # as many as a client has on their way
        answers = [asked(store, each, f"{each}") for each in range(number, number + MAX_REQUESTS)]
        own_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        store.wait(lambda answers=answers: all(answers))  # type: ignore[misc]
        assert [answer[0].block.first for answer in answers] == list(range(number, number + MAX_REQUESTS))
    assert store.texts() == [f"{number}" for number in range(1, 161)]
    assert [report[1].last for report in store.reports.of("grew")] == list(range(1, 161))


def test_a_server_that_stands_still_for_a_while_has_stored_every_block_once(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server, silence=0.3)
    store.store.follow("General", True)
    store.stored(1, "a")
    own_server.pause()
    answers = [asked(store, number, f"{number}") for number in range(2, 10)]
    time.sleep(0.7)  # the connection is given up meanwhile, and blocks are with the server all the same
    own_server.resume()
    store.wait(lambda: all(answers))
    assert [answer[0].block.first for answer in answers] == list(range(2, 10))
    assert all(isinstance(answer[0], Stored) for answer in answers)
    assert len(store.texts()) == 9
    assert len(store.reports.of("grew")) == 9


def test_what_can_not_be_stored_for_long_fails_and_what_was_stored_all_the_same_is_reported(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(own_server, silence=0.3)
    for room in ("General", "Other"):
        store.store.follow(room, True)
    store.stored(1, "a")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.1)
    own_server.pause()
    new: list[Any] = []
    patience = sys.getswitchinterval()
    sys.setswitchinterval(1.0)  # both are handed over before the thread that writes takes the first, and sent together
    try:
        answers = asked(store, 2, "b")
        store.store.append(block(1, "new", room="Other", producer=BOB), new.append)
    finally:
        sys.setswitchinterval(patience)
    store.wait(lambda: answers and new)
    assert isinstance(answers[0], Failed)
    assert "the server can't be used" in answers[0].reason
    own_server.resume()
    store.wait(lambda: len(store.reports.of("grew")) == 3)
    grown = {(room, each.last): Stored(each, epoch) for room, each, epoch, _ in store.reports.of("grew")}
    assert set(grown) == {("General", 1), ("General", 2), ("Other", 1)}
    assert store.reports.of("appeared") == [(RoomLog("Other", 1, 0, (), ""),)]
    assert [message.body for message in store.messages("Other")] == ["new"]
    assert store.append(2, "b") == duplicate(grown["General", 2])
    assert store.stored(3, "c").block.first == 3


def test_while_there_is_no_server_each_call_fails_and_once_it_is_back_storing_goes_on(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(own_server)
    stored = store.stored(1, "a")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.0)
    own_server.kill()
    store.wait(lambda: store.reports.of("failed"))
    assert isinstance(store.append(2, "b"), Failed)
    assert isinstance(store.mark(1), Failed)
    assert isinstance(store.impose("ban"), Failed)
    assert isinstance(store.trim(keep=1), Failed)
    assert isinstance(store.answer(store.store.read, "General", 0, 1, 100), Failed)
    own_server.start()
    store.wait(lambda: store.reports.of("recovered"))
    assert store.append(1, "a") == duplicate(stored)
    assert store.stored(2, "b").block.first == 2
    assert store.mark(2) == Marked(2)
    assert store.texts() == ["a", "b"]


def test_while_something_else_answers_in_the_servers_place_each_call_fails_and_once_it_is_back_storing_goes_on(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(own_server)
    store.stored(1, "a")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.0)
    own_server.kill()
    for what, answers in NO_REDIS.items():
        with Stranger(own_server.path, **answers):
            appended: Any = store.append(2, "b")
            assert "it answers, but not as Redis does" in appended.reason, what
            if "greeting" in answers:
                read = store.answer(store.store.read, "General", 0, 1, 100)
                assert "it answers, but not as Redis does" in read.reason, what
    own_server.start()
    store.wait(lambda: store.reports.of("recovered"))
    assert store.stored(2, "b").block.first == 2
    assert store.texts() == ["a", "b"]


def test_a_full_server_is_busy_reading_and_trimming_go_on_and_storing_does_once_there_is_memory(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    store.say("a", "b", "c")
    store.impose("ban")
    own_server.call("CONFIG", "SET", "maxmemory", "1")
    assert store.append(1, "d") == Full("the server has no memory left")
    assert store.mark(1) == Full("the server has no memory left")
    assert store.impose("mute") == Full("the server has no memory left")
    assert store.texts() == ["a", "b", "c"]
    own_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.append(1, "d") == Full("the server has no memory left")
    store.reopen()
    assert store.lift("ban").sanction is not None
    store.store.forget(BOB)
    assert store.trim(keep=1) == Trimmed(3, False)
    own_server.call("CONFIG", "SET", "maxmemory", "0")
    assert store.stored(1, "d").block.first == 4


def test_a_server_that_can_not_write_to_its_disk_stores_nothing_reading_goes_on_and_so_does_storing_once_it_can(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(own_server)
    store.say("a", "b")
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", 0.0)
    (own_server.path.parent / "dump.rdb").mkdir()
    own_server.calls([("CONFIG", "SET", "save", "3600 1"), ("BGSAVE",)])
    eventually(lambda: b"rdb_last_bgsave_status:err" in own_server.call("INFO", "persistence"), "the saving has failed")
    answer = store.append(1, "c")
    assert isinstance(answer, Failed)
    assert "MISCONF" in answer.reason
    assert store.texts() == ["a", "b"]
    own_server.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    assert store.stored(1, "c").block.first == 3


def test_a_server_that_has_lost_everything_goes_on_with_empty_rooms(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    store.say("a", "b")
    store.mark(2)
    own_server.call("FLUSHALL")
    assert store.append(2, "c") == ForgottenProducer()
    assert store.reports.of("parted") == [(RoomLog("General", 1, 0, (), ""),)]
    assert store.stored(1, "d").block.first == 1
    assert store.texts() == ["d"]
    assert store.marks() == []


def test_a_server_that_has_lost_the_end_of_a_log_goes_on_from_there(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server, acknowledge="memory")
    store.say("a")
    lost = store.stored(1, "lost")
    own_server.lose(b"lost")
    again = store.stored(1, "c", producer=BOB)
    assert again.block.first == 2
    assert again.epoch != lost.epoch
    ((log,),) = store.reports.of("parted")
    assert (log.name, log.first, log.last, log.epochs) == ("General", 1, 1, (Epoch(lost.epoch, 1),))
    assert store.texts() == ["a", "c"]
    assert store.append(1, "lost") != duplicate(lost), "its producer went with it"


def test_a_reader_is_sent_what_a_server_has_lost_and_then_what_comes(own_server: RedisServer) -> None:
    with (
        Broker("tcp://127.0.0.1:*", store=f"{own_server.url}?acknowledge=memory") as broker,
        Client(broker.url, user="alice") as alice,
        Client(broker.url, user="bob") as bob,
    ):
        reading, sending = alice.join("General"), bob.join("General")
        sending.send("a")
        sending.send("lost")
        events = alice.events(timeout=60)
        seen: list[Any] = []
        while len(seen) < 2:
            seen += [event for event in [next(events)] if isinstance(event, Message)]
        own_server.lose(b"lost")
        sending.send("c")
        while len(seen) < 4:
            seen += [event for event in [next(events)] if isinstance(event, Message | Gap)]
        assert reading.position.seq == 2
    gap, message = seen[2:]
    assert (gap.after, gap.upto, gap.reason) == (2, 1, "tail_lost")
    assert (message.seq, message.body) == (2, "c")


def test_what_is_told_of_the_server_follows_it(own_server: RedisServer, opened: Callable[..., Driver]) -> None:
    store = opened(own_server, silence=0.3)
    store.stored(1, "a")
    well = store.store.health()
    assert (well.connected, well.waiting, well.attachments, well.tends) == (True, 0, 0, True)
    assert well.silent < DEADLINE
    assert not opened(own_server, silence=0.3).store.health().tends
    own_server.pause()
    answers = asked(store, 2, "b")
    eventually(lambda: not store.store.health().connected, "it is looked for")
    assert store.store.health().waiting == 1
    silent = store.store.health().silent
    assert store.store.health().silent > silent
    own_server.resume()
    store.wait(lambda: answers)
    again = store.store.health()
    assert (again.connected, again.waiting) == (True, 0)
    assert again.attachments >= 1
    store.store.close()
    assert store.store.health() == Health()


def test_more_than_may_wait_is_refused_at_once(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUEUE_BLOCKS", "QUEUE_OTHERS", "QUEUE_READS", "QUEUE_TRIMS"):
        monkeypatch.setattr(f"zchat.broker.store.redis.store.{name}", 2)
    store = opened(own_server)
    store.stored(1, "a")
    own_server.pause()
    answers: list[list[Any]] = [[] for _ in range(12)]
    for number in range(3):
        store.store.append(block(number + 2, "b"), answers[number].append)
        store.store.set_read_mark("General", "bob", 1, answers[3 + number].append)
        store.store.read("General", 0, 1, 100, answers[6 + number].append)
        store.store.trim("General", 0, 0, answers[9 + number].append)
    assert [len(each) for each in answers] == [0, 0, 1] * 4
    assert [answers[number][0] for number in (2, 5, 8)] == [
        Full("too many blocks wait for the server"),
        Full("too many read marks and sanctions wait for the server"),
        Full("too many reads wait for the server"),
    ]
    assert answers[11] == [Failed("too many trims wait for the server")]
    own_server.resume()
    store.wait(lambda: all(answers))


def test_bytes_that_wait_are_bounded_and_one_block_is_always_taken(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.QUEUE_BYTES", 100)
    store = opened(own_server)
    own_server.pause()
    first, second = asked(store, 1, "x" * 200), asked(store, 2, "y")
    assert (first, second) == ([], [Full("too many blocks wait for the server")])
    own_server.resume()
    store.wait(lambda: first)
    assert isinstance(first[0], Stored)


def test_closing_does_not_wait_for_a_server_that_stands_still(
    own_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    store = opened(own_server)
    store.stored(1, "a")
    own_server.pause()
    answers = asked(store, 2, "b")
    began = time.monotonic()
    store.store.close(0.1)
    assert time.monotonic() - began < 2
    assert answers == [Failed("the server did not answer before the store was closed")]
    own_server.resume()


def test_closed_it_does_nothing_more(redis_server: RedisServer, opened: Callable[..., Driver]) -> None:
    redis_server.call("FLUSHALL")
    store = opened(redis_server)
    store.store.close()
    closed = Failed("the store is closed")
    answers: list[Any] = []
    store.store.append(block(1, "a"), answers.append)
    store.store.set_read_mark("General", "bob", 1, answers.append)
    store.store.read("General", 0, 1, 100, answers.append)
    store.store.trim("General", 0, 0, answers.append)
    store.store.forget(BOB)
    store.expire()
    assert answers == [closed] * 4


def test_names_that_differ_in_case_alone_are_one_room_spelt_as_it_was_first(
    redis_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    redis_server.call("FLUSHALL")
    store = opened(redis_server)
    store.stored(1, "a", room="Straße")
    assert store.stored(1, "b", room="STRASSE", producer=BOB).block.first == 2
    assert store.mark(2, room="strasse") == Marked(2)
    assert [log.name for log in store.reopen()] == ["Straße"]
    assert isinstance(store.answer(store.store.read, "STRASSE", 0, 9, 100), LogPage)


def test_two_prefixes_are_two_stores(redis_server: RedisServer, opened: Callable[..., Driver]) -> None:
    redis_server.call("FLUSHALL")
    one, other = opened(redis_server, prefix="one"), opened(redis_server, prefix="other")
    one.say("a", "b")
    assert other.stored(1, "c").block.first == 1
    assert (one.texts(), other.texts()) == (["a", "b"], ["c"])


def test_times_are_the_servers(redis_server: RedisServer) -> None:
    redis_server.call("FLUSHALL")
    driver = Driver(lambda _: open_store(redis_server.url), keeps=True)
    before, stored, after = redis_server.call("TIME"), driver.stored(1, "a"), redis_server.call("TIME")
    earliest, latest = (int(seconds) * 1_000_000 + int(micro) for seconds, micro in (before, after))
    assert earliest <= stored.block.timestamp <= latest
    driver.store.close()


def test_a_broker_that_did_not_start_leaves_nothing_in_the_server(
    redis_server: RedisServer, opened: Callable[..., Driver]
) -> None:
    redis_server.call("FLUSHALL")
    store = opened(redis_server)
    assert opened_anew(store)
    store.store.undo_open()
    assert redis_server.keys() == {}
    store.open()
    store.stored(1, "a")
    store.reopen()
    assert not opened_anew(store)
    store.store.undo_open()
    store.open()
    assert store.texts() == ["a"]


def test_a_broker_that_is_killed_is_followed_by_another_that_has_it_all(redis_server: RedisServer) -> None:
    redis_server.call("FLUSHALL")
    with Mortal(redis_server.url) as broker, Client(broker.url, user="alice") as alice:
        room = alice.join("General")
        for number in range(5):
            room.send(f"{number}")
        broker.kill()
        redis_server.call("DEL", "zchat:{40821}:holder")  # as after some seconds
        broker.start()
        room.send("5")
        bodies = [message.body for message in room.history(limit=10)]
    assert bodies == [f"{number}" for number in range(6)]


def test_news_of_a_later_version_change_nothing(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened(own_server), opened(own_server)
    first.say("a")
    second.wait(lambda: second.reports.of("reached"))  # it listens
    with monkeypatch.context() as later:
        later.setattr("zchat.broker.store.redis.requests.words_of", lambda news: ("Z",))
        first.store.tell(Typed("General", "alice", True))
        first.wait(lambda: first.store._news == 0)  # type: ignore[attr-defined]
    first.store.tell(Typed("General", "bob", True))
    second.wait(lambda: second.reports.of("told"))
    assert second.reports.of("told") == [(Typed("General", "bob", True),)]


def test_news_are_told_to_nobody_if_too_many_wait(
    own_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.QUEUE_NEWS", 2)
    first, second = opened(own_server), opened(own_server)
    first.say("a")
    second.wait(lambda: second.reports.of("reached"))  # it listens
    own_server.pause()
    try:
        for user in ("alice", "bob", "carol"):
            first.store.tell(Typed("General", user, True))
    finally:
        own_server.resume()
    second.wait(lambda: len(second.reports.of("told")) == 2)
    assert second.reports.of("told") == [(Typed("General", user, True),) for user in ("alice", "bob")]
    first.wait(lambda: first.store._news == 0)  # type: ignore[attr-defined]
    first.store.tell(Kicked("General", "bob", "Alice", ""))
    second.wait(lambda: len(second.reports.of("told")) == 3)
    assert second.reports.of("told")[-1] == (Kicked("General", "bob", "Alice", ""),)
