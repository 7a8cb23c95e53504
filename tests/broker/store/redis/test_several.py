"""Several brokers on one Redis: stores that share it, and brokers with clients."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.broker.store.driver import ALICE, BOB, Driver, block, duplicate
from tests.promises.faults.processes import Served
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat import Client, MemberJoined, MemberLeft, Message, Room, Typing
from zchat.broker import Broker
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.contract import Fenced, ForgottenProducer, Marked, RoomLog, Sanction, Trimmed
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.redis.connections.server import Connection

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


@pytest.fixture
def probing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{FEED}.PROBE_EVERY", 0.05)
    monkeypatch.setattr(f"{FEED}.LISTEN_AGAIN", 0.01)


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


@pytest.fixture
def brokers(redis_server: RedisServer) -> Iterator[tuple[Broker, Broker]]:
    redis_server.call("FLUSHALL")
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as first,
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as second,
    ):
        yield first, second


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


def names(room: Room) -> list[str]:
    """Return who is in a room, by folded name, as the broker lists it."""
    return [member.user.lower() for member in room.members()]


def shown(room: Room, *expected: str) -> None:
    """Wait until these are in a room, as the broker lists it."""
    eventually(lambda: names(room) == list(expected), lambda: f"not {expected}, but {names(room)}")


def changes(client: Client) -> list[tuple[str, str]]:
    """Return who has come to a client's rooms and left them since it was last asked."""
    kinds = {MemberJoined: "+", MemberLeft: "-"}
    events = client.events(timeout=0.1)
    return [(kinds[type(each)], each.user.lower()) for each in events if isinstance(each, MemberJoined | MemberLeft)]


def test_users_at_one_broker_are_shown_at_the_others_once_and_leave_with_their_last_session(
    brokers: tuple[Broker, Broker],
) -> None:
    first, second = brokers

    def listed(client: Client) -> list[int]:
        return [row.members for row in client.rooms() if row.name == "Ours"]

    with Client(first.url, user="alice") as alice, Client(second.url, user="bob") as bob:
        here, there = alice.join("Ours"), bob.join("Ours")
        for room in (here, there):
            shown(room, "alice", "bob")
        assert listed(alice) == [2]
        changes(bob)
        with Client(second.url, user="Alice") as again:
            shown(again.join("Ours"), "alice", "bob")
            here.leave()
            eventually(lambda: len(alice.members("Ours")) == 2, "she is there by her other session")
            assert names(there) == ["alice", "bob"]
            assert changes(bob) == [], "she is here still"
        shown(there, "bob")
        assert changes(bob) == [("-", "alice")]
        assert listed(alice) == [1], "it has no log, and one user"
        there.leave()
        eventually(lambda: listed(alice) == [], "nobody is there any more")


def test_a_member_alone_at_its_broker_and_one_in_a_direct_room_see_the_others(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    with (
        Client(first.url, user="alice") as alice,
        Client(second.url, user="bob") as bob,
        Client(second.url, user="carol") as carol,
    ):
        rooms = [alice.direct("bob"), bob.direct("alice")]
        for room in rooms:
            shown(room, "alice", "bob")
        assert carol.rooms() == alice.rooms()[1:] == bob.rooms()[1:], "it is theirs alone"
        rooms[0].leave()
        shown(rooms[1], "bob")


def test_a_broker_that_begins_later_shows_who_is_there_and_one_that_ends_takes_its_users_with_it(
    redis_server: RedisServer,
) -> None:
    redis_server.call("FLUSHALL")
    with Broker("tcp://127.0.0.1:*", store=redis_server.url) as first, Client(first.url, user="alice") as alice:
        here = alice.join("General")
        here.send("a")
        with Broker("tcp://127.0.0.1:*", store=redis_server.url) as second, Client(second.url, user="bob") as bob:
            shown(bob.join("General"), "alice", "bob")
            shown(here, "alice", "bob")
        shown(here, "alice")
    assert redis_server.call("KEYS", "*:here:*") == []


@pytest.fixture
def soon_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have brokers taken for ended soon, and nobody expire before."""
    monkeypatch.setattr("zchat.broker.store.redis.attachment.ENDED_MS", 1500)
    monkeypatch.setattr("zchat.broker.store.redis.attachment.HOLD_MS", 1000)
    monkeypatch.setattr("zchat.broker.store.redis.committer.HOLD_EVERY", 0.1)


def test_the_users_of_a_broker_that_was_killed_leave_after_its_lease_and_once_and_those_that_went_on_stay(
    redis_server: RedisServer, soon_ended: None, tmp_path: Path
) -> None:
    redis_server.call("FLUSHALL")
    killed = Served(tmp_path, store=redis_server.url)
    killed.start()
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as left,
        Client(left.url, user="alice") as alice,
        Client(killed.url, user="bob") as bob,
        Client([killed.url, left.url], user="carol") as carol,
    ):
        here = alice.join("General")
        bob.join("General")
        carol.join("General")
        shown(here, "alice", "bob", "carol")
        changes(alice)
        killed.kill()
        began = time.monotonic()
        shown(here, "alice", "carol")
        assert time.monotonic() - began > 0.5, "not before the lease is over"
        assert changes(alice) == [("-", "bob")]


def test_a_broker_that_stood_still_is_shown_again_with_its_users_once_it_goes_on(
    redis_server: RedisServer, soon_ended: None, tmp_path: Path
) -> None:
    redis_server.call("FLUSHALL")
    stopped = Served(tmp_path, store=redis_server.url)
    stopped.start()
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as left,
        Client(left.url, user="alice") as alice,
        Client(stopped.url, user="bob") as bob,
    ):
        here, there = alice.join("General"), bob.join("General")
        shown(here, "alice", "bob")
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            shown(here, "alice")
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        for room in (here, there):
            shown(room, "alice", "bob")
    stopped.kill()


@pytest.mark.parametrize("harm", ["restart", "emptied", "cut"])
def test_who_is_where_is_told_again_to_a_server_that_was_restarted_or_emptied(
    own_server: RedisServer, probing: None, harm: str
) -> None:
    with (
        Broker("tcp://127.0.0.1:*", store=own_server.url) as first,
        Broker("tcp://127.0.0.1:*", store=own_server.url) as second,
        Client(first.url, user="alice") as alice,
        Client(second.url, user="bob") as bob,
    ):
        here, there = alice.join("General"), bob.join("General")
        for room in (here, there):
            shown(room, "alice", "bob")
        changes(alice)
        if harm == "restart":
            own_server.kill()
            own_server.start()
        elif harm == "emptied":
            own_server.call("FLUSHALL")
        else:
            own_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with Client(second.url, user="carol") as carol:
            carol.join("General")
            for room in (here, there):
                shown(room, "alice", "bob", "carol")
        for room in (here, there):
            shown(room, "alice", "bob")
        if harm != "emptied":
            assert ("-", "bob") not in changes(alice)


def test_typing_is_shown_at_its_own_broker(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    with (
        Client(first.url, user="alice") as alice,
        Client(first.url, user="carol") as carol,
        Client(second.url, user="bob") as bob,
    ):
        here, *others = (client.join("General") for client in (alice, carol, bob))
        for room in others:
            shown(room, "alice", "bob", "carol")
        here.typing()
        assert next(each for each in carol.events(timeout=DEADLINE) if isinstance(each, Typing)).user == "alice"
        assert not any(isinstance(each, Typing) for each in bob.events(timeout=0.1))
