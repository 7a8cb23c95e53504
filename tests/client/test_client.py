"""The client library against a broker in a thread: what a program that talks in rooms is promised."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from threading import Barrier, Event, Thread
from typing import Any

import pytest
import zmq

import zchat
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT, eventually
from zchat.broker import Broker
from zchat.broker.core import handlers
from zchat.client.waiting import Answer, Deadline
from zchat.wire.values import pack

Connect = Callable[..., zchat.Client]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    """Give a function that connects a client, which is closed at the end."""
    with ExitStack() as stack:

        def connect(user: str = "alice", url: str | list[str] = broker.url, **options: Any) -> zchat.Client:
            return stack.enter_context(zchat.Client(url, user=user, **options))

        yield connect


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a room of the test's own."""
    return f"room {abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def pair(connect: Connect, name: str) -> tuple[zchat.Room, zchat.Room]:
    """Give a room as alice has it, and as bob has it."""
    return connect("alice").join(name), connect("bob").join(name)


def take(room: zchat.Room, count: int) -> list[Any]:
    """Take the next `count` bodies."""
    bodies = []
    for message in room.messages(timeout=DEADLINE):
        bodies.append(message.body)
        if len(bodies) == count:
            return bodies
    raise AssertionError(f"{len(bodies)} of {count} messages came: {bodies}")


def said(handler: Callable[[zchat.Message], object]) -> Callable[[zchat.Event], object]:
    """Return a handler of all events that gives messages alone to `handler`: who comes and goes is another matter."""
    return lambda event: handler(event) if isinstance(event, zchat.Message) else None


# -- talking ---------------------------------------------------------------------------------------


def test_what_one_says_the_other_hears(pair: tuple[zchat.Room, zchat.Room], name: str) -> None:
    alice, bob = pair
    stored = alice.send("hello")
    assert (stored.room, stored.seq, stored.user, stored.body) == (name, 1, "alice", "hello")
    assert abs(stored.timestamp / 1e6 - time.time()) < 60
    assert next(bob.messages(timeout=DEADLINE)) == stored
    bob.send("hi")
    assert take(alice, 1) == ["hi"]
    assert list(alice.messages(timeout=0)) == []


@pytest.mark.parametrize(
    "body", ["", "é\u0301 \U0001f600 \x00", None, True, 1.5, -(2**63), b"\xff", [1, ["x"]], {"a": {1: None}}]
)
def test_a_body_is_any_messagepack_value(pair: tuple[zchat.Room, zchat.Room], body: Any) -> None:
    alice, bob = pair
    alice.send(body)
    alice.send_many([body])
    assert take(bob, 2) == [body, body]


@pytest.mark.parametrize("body", [object(), {1, 2}, 2**64, "\ud800", ["\udfff"], 1j, {("a",): 1}])
def test_a_body_that_cannot_be_sent_is_a_usage_error_and_harms_nothing(
    pair: tuple[zchat.Room, zchat.Room], body: Any
) -> None:
    alice, bob = pair
    with pytest.raises(zchat.UsageError):
        alice.send(body)
    with pytest.raises(zchat.UsageError):
        alice.send_many([body])
    alice.send("fine")
    assert take(bob, 1) == ["fine"]


def test_a_body_nested_too_deep_is_a_usage_error(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, _ = pair
    body: list[Any] = []
    for _ in range(100):
        body = [body]
    with pytest.raises(zchat.UsageError):
        alice.send(body)


def test_a_message_over_the_brokers_limit_is_refused_where_it_is_sent(connect: Connect) -> None:
    with Broker("tcp://127.0.0.1:*", max_message=100) as small, zchat.Client(small.url, user="alice") as client:
        room = client.join("General")
        assert client.max_message == 100
        room.send("x" * 98)
        with pytest.raises(zchat.MessageTooLarge):
            room.send("x" * 99)
        with pytest.raises(zchat.MessageTooLarge) as failed:
            room.send_many(["a", "b", "x" * 99, "c"])
        assert failed.value.stored == 2
        assert [message.body for message in client.history("General")][1:] == ["a", "b"]


def test_a_message_of_a_whole_mebibyte_travels(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    body = "x" * ((1 << 20) - 5)
    alice.send(body)
    assert take(bob, 1) == [body]
    assert alice.history()[0].body == body


def test_many_messages_are_all_stored_and_come_in_order(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    assert alice.send_many([]) == 0
    assert alice.send_many(str(number) for number in range(30_000)) == 30_000
    assert take(bob, 30_000) == list(map(str, range(30_000)))
    assert bob.position == alice.position


def test_messages_of_a_slow_source_go_out_as_they_come(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair

    def source() -> Iterator[str]:
        for number in range(5):
            yield str(number)
            assert take(bob, 1) == [str(number)], "it is there before the next one is made"

    assert alice.send_many(source()) == 5


@pytest.mark.parametrize("bad", ["\ud800", object()])
def test_a_bad_body_in_the_middle_tells_how_many_are_stored(pair: tuple[zchat.Room, zchat.Room], bad: Any) -> None:
    alice, bob = pair
    with pytest.raises(zchat.UsageError) as failed:
        alice.send_many([*map(str, range(2_500)), bad, "never"])
    assert failed.value.stored == 2_500
    assert len(take(bob, 2_500)) == 2_500
    alice.send("goes on")
    assert take(bob, 1) == ["goes on"]


def test_a_source_that_raises_is_heard(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair

    def source() -> Iterator[str]:
        yield "one"
        raise ValueError("the file ended")

    with pytest.raises(ValueError, match="the file ended"):
        alice.send_many(source())
    alice.send("goes on")
    assert take(bob, 1) in (["one"], ["goes on"])


def test_several_threads_send_into_one_room(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    start = Barrier(4)

    def say(name: str) -> None:
        start.wait(DEADLINE)
        for number in range(20):
            alice.send(f"{name} {number}")
        alice.send_many(f"{name} {number}" for number in range(20, 2_000))

    threads = [Thread(target=say, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    start.wait(DEADLINE)
    heard = take(bob, 6_000)
    for thread in threads:
        thread.join(DEADLINE)
    for name in "abc":
        assert [each for each in heard if each[0] == name] == [f"{name} {number}" for number in range(2_000)]


def test_the_same_users_other_session_hears_it_too(connect: Connect, name: str) -> None:
    phone, laptop = connect("alice").join(name), connect("alice").join(name)
    phone.send("note to self")
    assert take(laptop, 1) == ["note to self"]
    assert list(phone.messages(timeout=0)) == []


# -- rooms -----------------------------------------------------------------------------------------


def test_joining_twice_gives_the_same_room_whatever_its_case(connect: Connect, name: str) -> None:
    client = connect()
    room = client.join(name)
    assert client.join(name.upper()) is room
    assert room.name == name
    assert name in repr(room)
    with pytest.raises(zchat.UsageError):
        client.join(name, after=zchat.START)


def test_a_room_that_was_left_is_silent_and_cannot_be_sent_to(pair: tuple[zchat.Room, zchat.Room], name: str) -> None:
    alice, bob = pair
    bob.leave()
    bob.leave()
    alice.send("unheard")
    assert list(bob.messages(timeout=0)) == []
    with pytest.raises(zchat.NotAMember):
        bob.send("x")
    with pytest.raises(zchat.NotAMember):
        bob.send_many(["x"])
    again = bob._client.join(name)
    assert again is not bob
    alice.send("heard")
    assert take(again, 1) == ["heard"]


def test_leaving_a_room_object_twice_does_not_leave_the_room_that_was_joined_since(connect: Connect, name: str) -> None:
    client = connect()
    old = client.join(name)
    old.leave()
    new = client.join(name)
    old.leave()
    assert client.join(name) is new
    new.send("still there")


def test_a_room_object_that_was_left_sends_nothing_though_the_room_is_joined_again(connect: Connect, name: str) -> None:
    client = connect()
    old = client.join(name)
    old.leave()
    client.join(name)
    for send in (lambda: old.send("x"), lambda: old.send_many(["x"])):
        with pytest.raises(zchat.NotAMember):
            send()
    assert client.history(name) == []


@pytest.mark.parametrize("taken", [False, True])
def test_coming_and_going_leaves_nothing_behind_in_the_client(connect: Connect, name: str, taken: bool) -> None:
    alice, bob = connect("alice").join(name), connect("bob")
    if taken:
        bob.events(timeout=0)
    for number in range(20):
        room = bob.join(name)
        alice.send(number)
        eventually(partial(getattr, room._reading, "waiting"), "the message is there")
        room.leave()
    assert bob._consumer._arrivals.qsize() <= 1
    assert bob._consumer.readings == []


def test_leaving_ends_a_loop_over_the_rooms_messages(pair: tuple[zchat.Room, zchat.Room]) -> None:
    _, bob = pair
    heard: list[Any] = []
    reader = Thread(target=lambda: heard.extend(bob.messages()))
    reader.start()
    bob.leave()
    reader.join(DEADLINE)
    assert not reader.is_alive()


def test_a_room_is_not_made_if_it_is_not_to_be(connect: Connect, name: str) -> None:
    with pytest.raises(zchat.NoSuchRoom):
        connect().join(name, create=False)
    with pytest.raises(zchat.NoSuchRoom):
        connect().history(name)


@pytest.mark.parametrize("bad", ["", "#x", " x", "x\n", "\ud800", "x" * 65])
def test_a_bad_name_is_refused(connect: Connect, bad: str) -> None:
    client = connect()
    with pytest.raises(zchat.BadName):
        client.join(bad)
    with pytest.raises(zchat.BadName):
        client.history(bad)
    with pytest.raises(zchat.BadName):
        connect(bad)
    client.rooms()


def test_rooms_tells_who_is_where_and_what_can_be_read(connect: Connect, name: str) -> None:
    client = connect()
    client.join(name).send_many(["a", "b"])
    connect("bob").join(name)
    connect("Bob").join(name)
    found = {room.name: room for room in client.rooms()}
    assert found[name] == zchat.RoomInfo(name, 2, 1, 2)
    assert found.keys() >= {"General", "Technology", "Crypto", "Sports", "Movies"}
    assert [room.name for room in client.rooms()] == sorted(found, key=str.casefold)


def test_the_list_of_rooms_is_whole_also_when_it_is_long(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.client.client.ROOMS_PAGE", 2)
    found = [room.name for room in connect().rooms()]
    assert len(found) == len(set(found)) >= 5


# -- reading ---------------------------------------------------------------------------------------


def test_breaking_out_of_the_loop_loses_nothing(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    alice.send_many(range(100))
    assert [body for count in (1, 5, 40, 54) for body in take(bob, count)] == list(range(100))


def test_the_position_moves_with_every_message_and_over_own_ones(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    assert bob.position == zchat.START
    alice.send_many(range(10))
    epoch = alice.position.epoch
    assert alice.position == zchat.Position(epoch, 10)
    for seq, _ in enumerate(bob.messages(timeout=DEADLINE), 1):
        assert bob.position == zchat.Position(epoch, seq)
        if seq == 10:
            break
    bob.send("own")
    assert bob.position == zchat.Position(epoch, 11)
    alice.send("unread")
    bob.send("own, behind what is unread")
    assert bob.position.seq == 11
    take(bob, 1)
    assert list(bob.messages(timeout=0)) == []
    assert bob.position.seq == 13


def test_join_after_a_position_resumes_there(pair: tuple[zchat.Room, zchat.Room], connect: Connect, name: str) -> None:
    alice, bob = pair
    alice.send_many(range(3000))
    take(bob, 1234)
    kept = bob.position
    bob._client.close()
    alice.send("later")
    room = connect("bob").join(name, after=kept)
    assert room.position == kept
    assert take(room, 1767) == [*range(1234, 3000), "later"]
    everything = connect("carol").join(name, after=zchat.START)
    assert take(everything, 3001) == [*range(3000), "later"]


def test_messages_end_after_the_timeout_of_silence(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    alice.send_many(range(3))
    began = time.monotonic()
    assert [message.body for message in bob.messages(timeout=0.3)] == [0, 1, 2]
    assert 0.3 <= time.monotonic() - began < DEADLINE


@pytest.mark.parametrize("mark", [1, 2, 10])
def test_a_reader_with_any_mark_gets_everything(connect: Connect, name: str, mark: int) -> None:
    alice, bob = connect("alice").join(name), connect("bob", high_water_mark=mark).join(name)
    for number in range(100):
        alice.send(number)
    assert take(bob, 100) == list(range(100))


def test_two_readers_of_one_room_share_its_messages(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    heard: list[list[Any]] = [[], []]
    readers = [Thread(target=lambda into=into: into.extend(bob.messages())) for into in heard]
    for reader in readers:
        reader.start()
    for number in range(50):
        alice.send(number)
    eventually(lambda: sum(map(len, heard)) == 50, "all messages are taken")
    bob.leave()
    for reader in readers:
        reader.join(DEADLINE)
    assert sorted(message.body for each in heard for message in each) == list(range(50))


@pytest.mark.parametrize("after", [None, 0, 3, 29, 30, 99])
@pytest.mark.parametrize("before", [None, 1, 4, 31, 99])
@pytest.mark.parametrize("limit", [0, 1, 7, 1000])
def test_history_has_exclusive_bounds_and_is_oldest_first(
    told: zchat.Client, after: int | None, before: int | None, limit: int
) -> None:
    within = [n for n in range(1, 31) if (after or 0) < n and (before is None or n < before)]
    expected = within[:limit] if after is not None else within[max(0, len(within) - limit) :]
    found = told.history("told", after=after, before=before, limit=limit)
    assert [message.seq for message in found] == expected
    assert [message.body for message in found] == expected


@pytest.fixture(scope="module")
def told(broker: Broker) -> Iterator[zchat.Client]:
    with zchat.Client(broker.url, user="teller") as client:
        room = client.join("told")
        room.send_many(range(1, 11))
        room.send_many(range(11, 31))
        yield client


def test_history_of_many_messages_comes_in_pages(connect: Connect, name: str) -> None:
    client = connect()
    room = client.join(name)
    room.send_many(range(1, 5001))
    assert [message.body for message in room.history(limit=4321)] == list(range(680, 5001))
    assert [message.body for message in room.history(after=10, limit=4000)] == list(range(11, 4011))


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": -1},
        {"after": -5},
        {"before": 2**64},
        {"limit": 1.5},
        {"after": "x"},
        {"after": ""},
        {"after": False},
        {"before": 0.0},
        {"limit": None},
    ],
)
def test_history_with_a_wrong_number_is_a_usage_error_and_harms_nothing(connect: Connect, wrong: Any) -> None:
    client = connect()
    with pytest.raises(zchat.UsageError):
        client.history("General", **wrong)
    client.rooms()


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1", True, []])
def test_a_wrong_timeout_is_a_usage_error_and_harms_nothing(connect: Connect, name: str, wrong: Any) -> None:
    client = connect()
    room = client.join(name)
    calls: list[Callable[..., object]] = [
        client.rooms, client.events, client.wait, client.close, room.messages, room.history, room.leave,
        lambda timeout: client.history(name, timeout=timeout),
        lambda timeout: client.join("another", timeout=timeout),
        lambda timeout: room.send("x", timeout=timeout),
        lambda timeout: room.send_many(["x"], timeout=timeout),
        lambda timeout: zchat.Client(client.url, user="bob", timeout=timeout),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(zchat.UsageError, match="timeout"):
            call(timeout=wrong)
    assert room.send("first").seq == 1


def test_connecting_and_closing_need_a_timeout_and_elsewhere_infinity_is_none(connect: Connect, name: str) -> None:
    alice, bob = connect("alice").join(name, timeout=float("inf")), connect("bob")
    for endless in (None, float("inf")):
        with pytest.raises(zchat.UsageError):
            connect(timeout=endless)
        with pytest.raises(zchat.UsageError):
            bob.close(timeout=endless)  # type: ignore[arg-type]
    room = bob.join(name)
    assert alice.send("x", timeout=float("inf")).seq == 1
    assert alice.send_many(["y"], timeout=1e300) == 1
    assert [next(room.messages(timeout=each)).body for each in (float("inf"), 1e300)] == ["x", "y"]


@pytest.mark.parametrize("bad", [5, None, b"General", ["General"]])
def test_a_name_that_is_no_text_is_a_usage_error(connect: Connect, bad: Any) -> None:
    client = connect()
    for call in (client.join, client.history):
        with pytest.raises(zchat.UsageError):
            call(bad)
    if bad is not None:
        with pytest.raises(zchat.UsageError):
            connect(bad)


@pytest.mark.parametrize("after", [zchat.Position(-1, 0), zchat.Position(1, 2**64), 5, (1, 2, 3)])
def test_joining_at_what_is_no_position_is_a_usage_error(connect: Connect, name: str, after: Any) -> None:
    client = connect()
    with pytest.raises(zchat.UsageError):
        client.join(name, after=after)
    client.join(name)


def test_a_position_of_another_log_is_told_as_a_gap_once(connect: Connect, name: str) -> None:
    alice = connect("alice").join(name)
    alice.send_many(range(5))
    room = connect("bob").join(name, after=zchat.Position(12345, 3))
    with pytest.raises(zchat.GapError) as gap:
        next(room.messages(timeout=DEADLINE))
    assert (gap.value.room, gap.value.after, gap.value.upto) == (name, 3, 5)
    assert gap.value.reason == zchat.GapReason.RESET
    alice.send("next")
    assert take(room, 1) == ["next"]
    assert room.position == alice.position


# -- events ----------------------------------------------------------------------------------------


def test_events_of_all_rooms_come_through_one_loop(connect: Connect, name: str) -> None:
    alice, bob = connect("alice"), connect("bob")
    rooms = [f"{name} {number}" for number in range(3)]
    for room in rooms:
        bob.join(room)
    for number in range(10):
        for room in rooms:
            alice.join(room).send(number)
    heard: dict[str, list[Any]] = {room: [] for room in rooms}
    while sum(map(len, heard.values())) < 30:
        for event in bob.events(timeout=DEADLINE):
            if isinstance(event, zchat.Message):
                heard[event.room].append(event.body)
            break  # and what was not taken comes in the next loop
    assert all(bodies == list(range(10)) for bodies in heard.values())
    assert not [event for event in bob.events(timeout=0) if isinstance(event, zchat.Message)]


def test_all_events_that_came_are_given_before_the_loss_of_the_connection() -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        alice, bob = zchat.Client(broker.url, user="alice"), zchat.Client(broker.url, user="bob")
        rooms = [bob.join(name) for name in ("General", "Sports")]
        for number in range(3):
            for room in rooms:
                alice.join(room.name).send(number)
        eventually(lambda: all(room._reading._queue.qsize() == 3 for room in rooms), "all is there")
        next(bob.events(timeout=DEADLINE))
    heard: list[zchat.Event] = []
    for event in bob.events(timeout=DEADLINE):
        if isinstance(event, zchat.Disconnected):
            break
        heard.append(event)
    assert sum(isinstance(event, zchat.Message) for event in heard) in (5, 6)
    alice.close()
    bob.close()


def test_a_gap_is_an_event(connect: Connect, name: str) -> None:
    connect("alice").join(name).send_many(range(5))
    bob = connect("bob")
    bob.join(name, after=zchat.Position(12345, 3))
    assert next(bob.events(timeout=DEADLINE)) == zchat.Gap(name, 3, 5, zchat.GapReason.RESET)


def test_a_handler_is_given_every_event_in_order(connect: Connect, name: str) -> None:
    heard: list[Any] = []
    bob = connect("bob", on_event=said(lambda message: heard.append(message.body)))
    bob.join(name)
    connect("alice").join(name).send_many(range(5_000))
    eventually(lambda: len(heard) >= 5_000, "all is handled")
    assert heard == list(range(5_000))


def test_a_handler_may_send(connect: Connect, name: str) -> None:
    rooms: dict[str, zchat.Room] = {}

    bob = connect("bob", on_event=said(lambda message: rooms["bob"].send(f"you said {message.body}")))
    rooms["bob"] = bob.join(name)
    alice = connect("alice").join(name)
    for number in range(30):
        alice.send(number)
    assert take(alice, 30) == [f"you said {number}" for number in range(30)]


def test_a_handler_that_raises_is_heard_where_the_block_is_left(broker: Broker, connect: Connect, name: str) -> None:
    heard: list[Any] = []

    def clumsy(message: zchat.Message) -> None:
        heard.append(message.body)
        raise KeyError(message.body)

    bob = zchat.Client(broker.url, user="bob", on_event=said(clumsy))
    bob.join(name)
    connect("alice").join(name).send_many(["one", "two"])
    eventually(lambda: len(heard) == 2, "the handler goes on")
    with pytest.raises(zchat.ZchatError) as failed, bob:
        pass
    assert type(failed.value) is zchat.errors.HandlerFailed
    assert isinstance(failed.value.__cause__, KeyError)
    assert failed.value.__cause__.args == ("one",)


def test_a_handler_that_calls_exit_is_heard_and_goes_on(broker: Broker, connect: Connect, name: str) -> None:
    heard: list[Any] = []

    def leaving(event: zchat.Event) -> None:
        heard.append(event)
        sys.exit("enough")

    bob = zchat.Client(broker.url, user="bob", on_event=leaving)
    bob.join(name)
    connect("alice").join(name).send_many(["one", "two"])
    eventually(lambda: len(heard) >= 2, "the handler goes on")
    with pytest.raises(zchat.HandlerFailed, match="SystemExit"), bob:
        pass


def test_a_handler_that_raises_is_heard_by_close_and_by_wait_once(broker: Broker, connect: Connect, name: str) -> None:
    heard: list[Any] = []

    def clumsy(message: zchat.Message) -> None:
        heard.append(message)
        raise KeyError(len(heard))

    alice = connect("alice").join(name)
    for tell in (zchat.Client.close, zchat.Client.wait):
        bob = zchat.Client(broker.url, user="bob", on_event=said(clumsy))
        bob.join(name)
        heard.clear()
        alice.send("go")
        eventually(partial(getattr, bob._consumer, "_failed"), "it has failed")
        with pytest.raises(zchat.HandlerFailed):
            tell(bob, timeout=0)
        bob.close()


@pytest.mark.parametrize("way", ["events", "handler"])
def test_what_came_before_a_fault_is_given_before_its_reason(connect: Connect, name: str, way: str) -> None:
    many = 5
    seen: list[zchat.Event] = []
    go_on = Event()

    def handler(event: zchat.Event) -> None:
        go_on.wait(DEADLINE)
        seen.append(event)

    def has_come(number: int) -> bool:
        return heard._reading.pushed > number

    bob = connect("bob", on_event=handler) if way == "handler" else connect("bob")
    bob.join(f"{name} idle")
    heard = bob.join(name)
    room = connect("alice").join(name)
    for number in range(many):
        room.send(number)
        eventually(partial(has_come, number), "it has come")
    bob._receiver.do(bob._receiver.core.fail, "a fault")
    eventually(bob._ended.is_set, "it has ended")
    go_on.set()
    if way == "events":
        with pytest.raises(zchat.ConnectionLost, match="a fault"):
            seen.extend(bob.events(timeout=DEADLINE))
    else:
        assert bob._consumer._handler is not None
        bob._consumer._handler.join(DEADLINE)
    assert [event.body for event in seen if isinstance(event, zchat.Message)] == list(range(many))


def test_a_handler_is_not_called_any_more_once_close_has_returned(
    broker: Broker, connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.client.client.CLOSE_GRACE", 0.05)
    begun, go_on = Event(), Event()
    heard: list[zchat.Event] = []

    def slow(event: zchat.Message) -> None:
        heard.append(event)
        begun.set()
        assert go_on.wait(DEADLINE)

    bob = zchat.Client(broker.url, user="bob", on_event=said(slow))
    room = bob.join(name)
    connect("alice").join(name).send_many(range(100))
    assert begun.wait(DEADLINE)
    bob.close(timeout=0.05)
    go_on.set()
    assert bob._consumer._handler
    bob._consumer._handler.join(DEADLINE)
    assert not bob._consumer._handler.is_alive()
    assert (len(heard), room.position.seq) == (1, 1)


def test_close_lets_the_handler_have_what_has_come(broker: Broker, connect: Connect, name: str) -> None:
    begun, go_on = Event(), Event()
    heard: list[zchat.Event] = []

    def record(event: zchat.Message) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        heard.append(event)

    bob = zchat.Client(broker.url, user="bob", on_event=said(record))
    bob.join(name)
    connect("alice").join(name).send_many(range(100))
    assert begun.wait(DEADLINE)
    closing = Thread(target=bob.close, args=(DEADLINE,))
    closing.start()
    eventually(lambda: bob._closed, "it is being closed")
    go_on.set()
    closing.join(DEADLINE)
    assert len(heard) == 100


def test_a_handler_may_close_its_client_and_gets_nothing_more(broker: Broker, connect: Connect, name: str) -> None:
    heard: list[zchat.Event] = []

    def one(event: zchat.Message) -> None:
        heard.append(event)
        bob.close()

    bob = zchat.Client(broker.url, user="bob", on_event=said(one))
    bob.join(name)
    connect("alice").join(name).send_many(range(10))
    assert bob.wait(DEADLINE)
    assert bob._consumer._handler
    bob._consumer._handler.join(DEADLINE)
    assert len(heard) == 1


def test_events_are_taken_in_one_way_only(connect: Connect, name: str) -> None:
    handled, evented, messaged = connect("a", on_event=print), connect("b"), connect("c")
    for client in (handled, evented, messaged):
        client.join(name)
    evented.events(timeout=0)
    messaged.join(name).messages(timeout=0)
    wrong_ways: list[Callable[[], object]] = [
        handled.events,
        handled.join(name).messages,
        evented.join(name).messages,
        messaged.events,
    ]
    for wrong in wrong_ways:
        with pytest.raises(zchat.UsageError):
            wrong()


# -- the end ---------------------------------------------------------------------------------------


def calls(client: zchat.Client, room: zchat.Room) -> list[Callable[[], object]]:
    return [
        lambda: room.send("x"),
        lambda: room.send_many(["x"]),
        lambda: list(room.messages(timeout=DEADLINE)),
        lambda: room.history(),
        lambda: client.history("General"),
        lambda: client.rooms(),
        lambda: client.join("another"),
        lambda: room.leave(),
    ]


def test_a_closed_client_is_not_used_any_more(connect: Connect, name: str) -> None:
    client = connect()
    room = client.join(name)
    client.close()
    client.close()
    for call in (*calls(client, room), client.events):
        with pytest.raises(zchat.UsageError, match="closed"):
            call()
    assert room.position == zchat.START


def test_close_finishes_what_other_threads_have_sent(broker: Broker, connect: Connect, name: str) -> None:
    client = zchat.Client(broker.url, user="alice")
    room = client.join(name)
    begun, counts = Event(), []

    def source() -> Iterator[int]:
        for number in range(5_000):
            yield number
            begun.set()

    sender = Thread(target=lambda: counts.append(room.send_many(source())))
    sender.start()
    assert begun.wait(DEADLINE)
    sender.join(DEADLINE)
    client.close()
    assert counts == [5_000]
    assert connect("bob").history(name, limit=1)[0].seq == 5_000


def test_closing_ends_loops_over_messages(broker: Broker, name: str) -> None:
    client = zchat.Client(broker.url, user="alice")
    room = client.join(name)
    heard: list[Any] = []
    reader = Thread(target=lambda: heard.extend(room.messages()))
    reader.start()
    client.close()
    reader.join(DEADLINE)
    assert not reader.is_alive()


def take_over(client: zchat.Client) -> None:
    """Greet in a client's place, as another process that knows its token would."""
    core = client._receiver.core
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(client.url)
        dealer.send(pack(("hello", 1, 1, 1, "thief", core._producer, core._token, 0, 10)))
        assert dealer.poll(int(DEADLINE * 1000))
        dealer.linger = 0


def test_a_client_that_is_refused_for_good_says_so_in_every_call() -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        client = zchat.Client(broker.url, user="alice")
        room = client.join("General")
        room.send("x")
        other = zchat.Client(broker.url, user="bob", on_event=print)
        other.join("General")
        for each in (client, other):
            take_over(each)
            with pytest.raises(zchat.Superseded):
                each.wait(DEADLINE)
        for call in calls(client, room):
            with pytest.raises((zchat.ConnectionLost, zchat.Superseded), match="goes on over another connection"):
                call()
        assert room.position.seq == 1
        client.close()
        other.close()


def test_a_broker_that_is_killed_is_noticed_and_nothing_hangs() -> None:
    with Mortal() as mortal:
        waiting, closing = zchat.Client(mortal.url, user="alice"), zchat.Client(mortal.url, user="bob")
        room, other = waiting.join("General"), closing.join("General")
        mortal.kill()
        failures: list[Exception] = []

        def send() -> None:
            try:
                other.send("unanswered", timeout=None)
            except zchat.ZchatError as error:
                failures.append(error)

        sender = Thread(target=send)
        sender.start()
        with pytest.raises(zchat.DeadlineExceeded):
            room.send("x", timeout=0.05)
        began = time.monotonic()
        closing.close(timeout=0.5)
        assert time.monotonic() - began < 3
        sender.join(DEADLINE)
        assert isinstance(failures[0], (zchat.OutcomeUnknown, zchat.ConnectionLost, zchat.UsageError))
        with pytest.raises(zchat.DeadlineExceeded):
            room.send_many(["x"], timeout=0.05)
        assert list(room.messages(timeout=0.05)) == []
        assert not waiting.wait(0.05), "it goes on trying"
        waiting.close(timeout=0.05)


def test_a_question_that_is_not_answered_in_time_says_so() -> None:
    with Mortal() as mortal, zchat.Client(mortal.url, user="alice") as client:
        room = client.join("Sports")
        mortal.freeze()
        asks: list[Callable[[], object]] = [
            lambda: client.rooms(timeout=0.05),
            lambda: client.join("General", timeout=0.05),
            lambda: room.history(timeout=0.05),
        ]
        for ask in asks:
            with pytest.raises(zchat.DeadlineExceeded):
                ask()
        patient = Thread(target=client.join, args=("Movies",), kwargs={"timeout": None})
        patient.start()
        eventually(client._rooms.turns.locked, "a join waits for ever")
        for ask in (lambda: client.join("Crypto", timeout=0.05), lambda: room.leave(timeout=0.05)):
            with pytest.raises(zchat.DeadlineExceeded, match="another"):
                ask()
        mortal.thaw()
        patient.join(DEADLINE)
        assert client.join("General").send("goes on", timeout=DEADLINE).seq == 1
        assert {room.name: room.members for room in client.rooms()}["Movies"] == 1


def test_a_join_that_is_interrupted_leaves_nothing_behind(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    arrived = Answer.wait

    def interrupted(answer: Answer, deadline: Deadline, what: str) -> None:
        arrived(answer, deadline, what)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Answer, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.join(name)
    assert client._consumer.readings == []
    found = {room.name: room.members for room in client.rooms()}
    assert found.get(name, 0) == 0
    client.join(name).send("x")


def test_a_fault_of_the_receive_thread_is_logged_and_is_the_cause_of_what_callers_get(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    fault = RuntimeError("a fault")

    def faulty() -> None:
        raise fault

    client._receiver.do(faulty)
    with pytest.raises(zchat.ConnectionLost, match="a fault") as failed:
        client.wait(DEADLINE)
    assert failed.value.__cause__ is fault
    assert "the receive thread failed" in caplog.text


FORK = """
import os, sys, zchat
from zchat.broker import Broker
with Broker("tcp://127.0.0.1:*") as broker:
    client = zchat.Client(broker.url, user="alice")
    room = client.join("General")
    child = os.fork()
    if not child:
        try:
            for call in (lambda: room.send("x"), client.rooms, lambda: next(room.messages()), lambda: client.join("a")):
                try:
                    call()
                    os._exit(3)
                except zchat.UsageError as error:
                    assert "fork" in str(error)
            client.close()
            with zchat.Client(broker.url, user="bob") as own:
                own.join("General").send("from the child")
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert next(room.messages(timeout=20)).body == "from the child"
    client.close()
"""


def test_after_a_fork_the_child_is_told_to_make_its_own_client() -> None:
    ran = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("handler", ["history", "rooms"])
def test_a_broker_that_answers_nonsense_is_a_protocol_error(handler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nonsense(core: Any, ticket: Any, *fields: Any) -> None:
        core.answer(ticket, 7)

    monkeypatch.setitem(handlers.HANDLERS, handler, nonsense)
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="alice") as client:
        ask: Callable[[], object] = client.rooms if handler == "rooms" else lambda: client.history("General")
        with pytest.raises(zchat.ProtocolError):
            ask()


# -- connecting ------------------------------------------------------------------------------------


def free_port() -> str:
    """Return an address at which nobody listens."""
    with Broker("tcp://127.0.0.1:*") as gone:
        return gone.url


def test_without_a_broker_the_client_says_so_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(zchat.ConnectionLost, match="no broker answered at tcp://127"):
        zchat.Client(free_port(), user="alice", timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["", "nonsense", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "http://a:1"])
def test_a_malformed_address_is_told(url: str) -> None:
    with pytest.raises(zchat.AddressError):
        zchat.Client(url, user="alice", timeout=0.2)


def test_several_brokers_are_tried_in_turn(broker: Broker) -> None:
    with zchat.Client([free_port(), broker.url], user="alice", timeout=2) as client:
        assert client.url == broker.url
        assert client.join("General")
        assert [*client.events(timeout=0)] == []
    with pytest.raises(zchat.UsageError):
        zchat.Client([], user="alice")


def test_a_broker_that_says_no_is_heard() -> None:
    with pytest.MonkeyPatch.context() as patch, Broker("tcp://127.0.0.1:*") as full:
        patch.setattr("zchat.broker.limits.MAX_SESSIONS", 0)
        with pytest.raises(zchat.Busy, match="sessions"):
            zchat.Client(full.url, user="alice", timeout=DEADLINE)


def test_a_wrong_mark_is_a_usage_error(broker: Broker) -> None:
    with pytest.raises(zchat.UsageError):
        zchat.Client(broker.url, user="alice", high_water_mark=-1)


def test_without_a_name_the_user_is_the_login(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "someone")
    with zchat.Client(broker.url) as client:
        assert client.user == "someone"


def test_many_clients_come_and_go_and_leave_no_thread_behind(broker: Broker) -> None:
    before = threading.active_count()
    for number in range(20):
        with zchat.Client(broker.url, user=f"user{number}") as client:
            client.join("General")
    eventually(lambda: threading.active_count() <= before, "all threads have ended")
