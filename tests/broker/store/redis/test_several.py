"""Several brokers on one Redis: stores that share it, and brokers with clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.broker.store.driver import ALICE, BOB, Driver, block, duplicate
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat import Client, Message
from zchat.broker import Broker
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.contract import Fenced, ForgottenProducer, Marked, RoomLog, Sanction, Trimmed
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.redis.connections.server import Connection, Trouble
from zchat.broker.store.redis.mirrored_log import CaughtUp
from zchat.broker.store.redis.notices import Notice

FEED = "zchat.broker.store.redis.feed"


@pytest.fixture
def two(
    redis_server: RedisServer, opened: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> tuple[Driver, Driver]:
    """Give two stores on one server, which hear of each other by notices alone."""
    redis_server.call("FLUSHALL")
    monkeypatch.setattr(f"{FEED}.PROBE_EVERY", 600.0)
    stores = opened(redis_server), opened(redis_server)
    eventually(lambda: listeners(redis_server) == 2, "both listen")
    return stores


def listeners(server: RedisServer) -> int:
    """Return how many listen to the channel of the room General."""
    return int(server.call("PUBSUB", "SHARDNUMSUB", "zchat:{22868}:feed")[1])


def following(*stores: Driver) -> None:
    for store in stores:
        store.store.follow("General", True)


def grown(store: Driver) -> list[tuple[int, bytes, int]]:
    """Return what a store has reported of the room General: the first seq of each block, its bytes and its epoch."""
    return [(each.first, each.data, epoch) for room, each, epoch, _ in store.reports.of("grew") if room == "General"]


def test_what_one_broker_stores_the_others_report_in_order_and_all_number_on(two: tuple[Driver, Driver]) -> None:
    first, second = two
    following(first, second)
    for number in range(1, 6):
        first.stored(number, f"{number}", "more")
        second.wait(lambda: second.reports.of("appeared"))  # else its own block may tell it of the room
        assert second.stored(number, "b", producer=BOB).block.first == 3 * number
    for store in two:
        store.wait(lambda store=store: len(grown(store)) == 10)  # type: ignore[misc]
    assert grown(first) == grown(second)
    assert [each for each, _, _ in grown(first)] == [1, 3, 4, 6, 7, 9, 10, 12, 13, 15]
    assert second.reports.of("appeared") == [(RoomLog("General", 1, 0, (), ""),)]
    assert first.texts() == second.texts()


def test_a_room_without_members_at_a_broker_is_reported_there_by_its_end(two: tuple[Driver, Driver]) -> None:
    first, second = two
    stored = first.stored(1, "a", "b")
    second.wait(lambda: second.reports.of("reached"))
    assert second.reports.of("reached") == [(RoomLog("General", 1, 2, (Epoch(stored.epoch, 1),), ""),)]
    assert second.texts() == ["a", "b"]
    assert grown(second) == []


def test_a_block_of_another_broker_costs_one_question(
    two: tuple[Driver, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    following(first, second)
    asked: list[list[Any]] = []
    send = Connection.send

    def counted(self: Connection, commands: Any) -> None:
        words = [command[0] for command in commands]
        if "HGET" in words or "XRANGE" in words:
            asked.append(words)
        send(self, commands)

    first.stored(1, "a")
    second.wait(lambda: len(grown(second)) == 1)  # of a room that is new more is asked
    monkeypatch.setattr(Connection, "send", counted)
    read = second.store._reads.put  # type: ignore[attr-defined]

    def put(each: Any) -> None:
        asked.append(["read"])
        read(each)

    monkeypatch.setattr(second.store._reads, "put", put)  # type: ignore[attr-defined]
    for number in range(2, 7):
        first.stored(number, "a")
        second.wait(lambda: len(grown(second)) == number)  # noqa: B023
    assert asked == [["HGET", "HGET", "HGET", "HGET", "XRANGE"]] * 5


def test_while_the_loop_has_not_taken_what_was_read_no_more_is(
    two: tuple[Driver, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    following(first, second)
    first.stored(1, "a")
    second.wait(lambda: grown(second))
    reports = second.store._feed.reports  # type: ignore[attr-defined]
    for number in range(2, 12):
        first.stored(number, "a")
    eventually(lambda: len(reports) == 10, "all is heard")
    assert [type(each) for each in reports] == [CaughtUp, *[Notice] * 9]
    second.wait(lambda: len(grown(second)) == 11)
    assert grown(second) == grown(first)


def test_what_could_not_be_read_as_it_was_heard_of_is_read_all_the_same(
    two: tuple[Driver, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    following(first, second)
    first.stored(1, "a")
    second.wait(lambda: grown(second))

    def cut(*_: Any) -> Any:
        raise Trouble("it is cut")

    monkeypatch.setattr(second.store._feed._logs, "catch_up", cut)  # type: ignore[attr-defined]
    first.stored(2, "b")
    second.wait(lambda: len(grown(second)) == 2)
    assert grown(second) == grown(first)


def test_a_client_that_comes_to_another_broker_is_answered_as_the_first_would_and_leaves_nothing_behind(
    two: tuple[Driver, Driver],
) -> None:
    first, second = two
    following(first, second)
    stored = first.stored(1, "a")

    def ask(store: Driver, number: int, connection: int) -> Any:
        return store.answer(store.store.append, block(number, "ab"[number - 1])._replace(connection=connection))

    assert ask(second, 1, 2) == duplicate(stored)
    again = ask(second, 2, 2)
    assert (again.block.first, again.epoch) == (2, stored.epoch)
    assert ask(first, 2, 1) == Fenced()
    assert ask(first, 2, 3) == duplicate(again)
    first.wait(lambda: len(grown(first)) == 2)
    assert grown(first) == grown(second)
    assert first.texts() == ["a", "b"]


def test_marks_sanctions_and_trims_of_one_broker_are_the_others_too(two: tuple[Driver, Driver]) -> None:
    first, second = two
    following(first, second)
    first.stored(1, "a", "b")
    first.stored(2, "c")
    second.wait(lambda: len(grown(second)) == 2)
    assert first.mark(2) == Marked(2)
    imposed = first.impose("ban").sanction
    assert second.trim(keep=1) == Trimmed(1, False), "the other broker tends the store"
    assert first.trim(keep=1) == Trimmed(3, False)
    second.wait(lambda: second.reports.of("trimmed") and second.reports.of("imposed"))
    assert second.reports.of("marked") == [("General", "bob", 2)]
    assert second.reports.of("imposed") == [(imposed,)]
    assert second.reports.of("trimmed") == [("General", 3)]
    assert second.mark(1) == Marked(2)
    assert second.lift("ban").sanction == imposed
    first.wait(lambda: first.reports.of("lifted"))
    assert first.reports.of("lifted") == [(imposed,)]
    assert isinstance(imposed, Sanction)


def test_producers_are_forgotten_by_one_broker_and_count_at_no_other(two: tuple[Driver, Driver]) -> None:
    first, second = two
    for store, producer in zip(two, (ALICE, BOB), strict=True):
        store.stored(1, "a", producer=producer)
    for store in (second, first):
        store.clock.now += 1 << 40
        store.expire()
    eventually(lambda: second.append(2, producer=BOB) == ForgottenProducer(), "it is forgotten")
    assert len(second.store._mirror._producers) == 0  # type: ignore[attr-defined]


def test_a_position_that_a_broker_has_not_heard_of_is_located(
    two: tuple[Driver, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    monkeypatch.setattr(Connection, "told", lambda self, seconds: [])
    first.stored(1, "a")
    located: list[bool] = []
    second.store.locate("General", lambda: located.append(True))
    second.wait(lambda: located)
    assert [log.last for (log,) in second.reports.of("reached")] == [1]


def test_what_a_broker_was_told_and_did_not_hear_it_finds(
    redis_server: RedisServer, opened: Callable[..., Driver], probing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.call("FLUSHALL")
    first, second = opened(redis_server), opened(redis_server)
    following(first, second)
    told, random = Connection.told, Random(5)

    def deaf(self: Connection, seconds: float) -> Any:
        return [each for each in told(self, seconds) if random.random() < 0.5]

    monkeypatch.setattr(Connection, "told", deaf)
    for number in range(1, 30):
        first.stored(number, "a")
        first.mark(number)
    first.impose("ban")
    second.wait(lambda: len(grown(second)) == 29 and second.reports.of("marked")[-1:] == [("General", "bob", 29)])
    assert grown(first) == grown(second)
    second.wait(lambda: len(second.store.sanctions()) == 1)


def test_so_it_does_if_more_is_told_than_waits_for_it(
    redis_server: RedisServer, opened: Callable[..., Driver], probing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.call("FLUSHALL")
    monkeypatch.setattr(f"{FEED}.NOTICES", 3)
    first, second = opened(redis_server), opened(redis_server)
    following(second)
    for number in range(1, 30):
        first.stored(number, "a")
    assert len(second.store._feed.reports) <= 4  # type: ignore[attr-defined]
    second.wait(lambda: len(grown(second)) == 29)
    assert grown(first) == grown(second)
    assert second.store.health().looks > 0


def test_one_turn_hands_over_a_bounded_number_of_notices(
    two: tuple[Driver, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.POLL_NOTICES", 2)
    first, second = two
    first.stored(1, "a")
    second.wait(lambda: second.reports.of("reached"))
    for seq in range(2, 8):
        first.stored(seq, "a")
        first.mark(seq)
    feed = second.store._feed.reports  # type: ignore[attr-defined]
    eventually(lambda: len(feed) == 12, "all were told")
    second.woken.clear()
    second.store.poll(second.reports)
    assert len(feed) == 10
    assert second.woken.is_set()


@pytest.mark.parametrize("seed", range(3))
def test_brokers_whose_connections_are_cut_report_the_same_log(
    redis_server: RedisServer, opened: Callable[..., Driver], probing: None, seed: int
) -> None:
    redis_server.call("FLUSHALL")
    random = Random(seed)
    stores = [opened(redis_server) for _ in range(3)]
    following(*stores)
    sent = [0] * 3
    for _ in range(20):
        answers: list[Any] = []
        asked = 0
        for each in random.choices(range(3), k=random.randint(1, MAX_REQUESTS)):
            sent[each] += 1
            asked += 1
            told = block(sent[each], f"{each}:{sent[each]}", producer=bytes([each]) * 16)
            stores[each].store.append(told, answers.append)
        if random.random() < 0.5:
            redis_server.call("CLIENT", "KILL", "TYPE", random.choice(["pubsub", "normal"]), "SKIPME", "yes")
        for store in stores:
            while len(answers) < asked and store.woken.wait(0.001):
                store.woken.clear()
                store.store.poll(store.reports)
        eventually(lambda: [store.store.poll(store.reports) for store in stores] and len(answers) == asked, "answers")  # noqa: B023
        # what was cut as its block was read back fails, and is stored all the same
        assert {type(answer).__name__ for answer in answers} <= {"Stored", "Failed"}
    for store in stores:
        store.wait(lambda store=store: len(grown(store)) == sum(sent))  # type: ignore[misc]
    assert grown(stores[0]) == grown(stores[1]) == grown(stores[2])
    texts = stores[0].texts()
    for each in range(3):
        mine = [text for text in texts if text.startswith(f"{each}:")]
        assert mine == [f"{each}:{number}" for number in range(1, sent[each] + 1)]


def test_a_server_that_has_lost_the_end_of_a_log_is_found_out_by_each_broker(
    own_server: RedisServer, opened: Callable[..., Driver], probing: None
) -> None:
    first, second = (opened(own_server, acknowledge="memory") for _ in range(2))
    following(first, second)
    first.say("a")
    first.say("lost")
    second.wait(lambda: len(grown(second)) == 2)
    own_server.lose(b"lost")
    stored = first.stored(1, "c", producer=BOB)
    assert stored.block.first == 2
    second.wait(lambda: grown(second)[-1][1] == stored.block.data or second.reports.of("parted"))
    ((log,),) = second.reports.of("parted")
    assert log.name == "General"
    assert second.texts() == ["a", "c"]
    assert second.stored(1, "d", producer=ALICE).block.first == 3
    first.wait(lambda: grown(first)[-1][0] == 3)
    assert first.texts() == ["a", "c", "d"]


def test_a_server_that_lost_everything_is_found_out_by_a_broker_that_asks_for_nothing(
    own_server: RedisServer, opened: Callable[..., Driver], probing: None
) -> None:
    first, second = opened(own_server), opened(own_server)
    first.say("a", "b")
    second.wait(lambda: second.reports.of("reached") and second.reports.of("reached")[-1][0].last == 2)
    own_server.call("FLUSHALL")
    first.say("c")
    second.wait(lambda: second.reports.of("parted"))
    second.wait(lambda: second.texts() == ["c"])


def test_a_broker_listens_to_and_reads_the_server_that_it_is_attached_to_though_another_still_answers(
    own_server: RedisServer, needs: Callable[[str], str], tmp_path: Path, opened: Callable[..., Driver], probing: None
) -> None:
    first = opened(own_server, acknowledge="memory")
    following(first)
    first.say("a")
    (tmp_path / "other").mkdir()
    assert first.texts() == ["a"]  # so that each thread is connected
    with RedisServer(needs("redis-server"), tmp_path / "other") as other:
        other.path.rename(own_server.path)  # who is connected stays with the one that was there
        first.store._commits.leave(first.store._commits.place)  # type: ignore[attr-defined]
        first.wait(lambda: first.reports.of("parted"))
        second = opened(own_server, acknowledge="memory")
        for number in (1, 2):
            stored = second.stored(number, f"{number}", producer=BOB)
            first.wait(lambda: grown(first)[-1][1] == stored.block.data)  # noqa: B023
            located: list[bool] = []
            first.store.locate("General", lambda: located.append(True))  # noqa: B023
            first.wait(lambda: located)  # noqa: B023
        second.store.close()
        first.store.close()


def bodies(client: Client, count: int) -> list[str]:
    """Return the next messages that a client is sent."""
    found: list[str] = []
    for event in client.events(timeout=DEADLINE):
        if isinstance(event, Message):
            found.append(event.body)
            if len(found) == count:
                return found
    raise AssertionError(f"only {found}")


def test_members_at_one_broker_are_sent_what_was_sent_at_another_in_one_order(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    with (
        Client(first.url, user="alice") as alice,
        Client(second.url, user="bob") as bob,
        Client(first.url, user="carol") as carol,
        Client(second.url, user="dave") as dave,
    ):
        rooms = [client.join("General") for client in (alice, bob)]
        for client in (carol, dave):
            client.join("General")
        for number in range(50):
            for name, room in zip("ab", rooms, strict=True):
                room.send(f"{name}{number}")
        here, there = bodies(carol, 100), bodies(dave, 100)
    assert here == there
    for name in "ab":
        assert [body for body in here if body[0] == name] == [f"{name}{number}" for number in range(50)]


def test_a_client_goes_on_at_another_broker_as_its_own_ends(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    both = [first.url, second.url]
    with (
        Client(both, user="alice") as alice,
        Client(second.url, user="bob") as bob,
        Client(both, user="carol") as carol,
    ):
        room = alice.join("General")
        for client in (bob, carol):
            client.join("General")
        for number in range(20):
            room.send(f"{number}")
            if number == 10:
                first.stop()
        expected = [f"{number}" for number in range(20)]
        assert bodies(bob, 20) == expected
        assert bodies(carol, 20) == expected
