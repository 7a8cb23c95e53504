"""A room as a program has it: what is said in it, heard from it and read back, and where it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect, take
from tests.faces import Face
from tests.running import DEADLINE, eventually
from zchat.broker import Broker

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


def test_a_client_that_asks_for_it_hears_itself_in_the_order_of_the_room(connect: Connect, name: str) -> None:
    alice, bob = connect("alice"), connect("bob")
    hears, other = alice.join(name, echo=True), bob.join(name)
    one = hears.send("one")
    other.send("two")
    hears.send_many(["three", "four"])
    messages = hears.messages(timeout=DEADLINE)
    heard = [next(messages) for _ in range(4)]
    assert heard[0] == one
    assert [(message.seq, message.body) for message in heard] == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    assert take(other, 3) == ["one", "three", "four"]
    assert hears.position.seq == 4
    assert alice.join(name) is hears is alice.join(name, echo=True)


def test_a_room_that_is_joined_without_own_messages_is_not_joined_with_them(connect: Connect, name: str) -> None:
    alice = connect("alice")
    room = alice.join(name)
    with pytest.raises(zchat.UsageError, match="leave it"):
        alice.join(name, echo=True)
    room.leave()
    again = alice.join(name, echo=True)
    again.send("hi")
    assert take(again, 1) == ["hi"]


def test_a_client_may_be_in_a_room_without_reading_it_and_read_one_without_being_there(
    connect: Connect, name: str
) -> None:
    alice, bob, carol = connect("alice"), connect("bob"), connect("carol")
    here = alice.join(name, reads=False)
    unseen = bob.join(name, present=False)
    here.send("one")
    carol.join(name).send("two")
    assert take(unseen, 2) == ["one", "two"]
    assert [*here.messages(timeout=0)] == []
    assert [member.user for member in carol.members(name)] == ["alice", "carol"]
    with pytest.raises(zchat.UsageError, match="don't read it: leave it"):
        alice.join(name)
    with pytest.raises(zchat.UsageError, match="without being one of its members: leave it"):
        bob.join(name)
    with pytest.raises(zchat.UsageError, match="and read it: leave it"):
        carol.join(name, reads=False)
    with pytest.raises(zchat.UsageError, match="among its members: leave it"):
        carol.join(name, present=False)
    with pytest.raises(zchat.UsageError, match="echo without reads"):
        carol.join(name, echo=True, reads=False)
    assert bob.join(name, present=False) is unseen


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


def test_a_message_over_the_brokers_limit_is_refused_where_it_is_sent(face: Face, connect: Connect) -> None:
    with Broker("tcp://127.0.0.1:*", max_message=100) as small, face.client(small.url, user="alice") as client:
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


def test_a_room_that_was_left_is_silent_and_cannot_be_sent_to(connect: Connect, name: str) -> None:
    alice, client = connect("alice").join(name), connect("bob")
    bob = client.join(name)
    bob.leave()
    bob.leave()
    alice.send("unheard")
    assert list(bob.messages(timeout=0)) == []
    with pytest.raises(zchat.NotAMember):
        bob.send("x")
    with pytest.raises(zchat.NotAMember):
        bob.send_many(["x"])
    again = client.join(name)
    assert again is not bob
    alice.send("heard")
    assert take(again, 1) == ["heard"]


def test_leaving_ends_a_loop_over_the_rooms_messages(pair: tuple[zchat.Room, zchat.Room]) -> None:
    _, bob = pair
    heard: list[Any] = []
    reader = Thread(target=lambda: heard.extend(bob.messages()))
    reader.start()
    bob.leave()
    reader.join(DEADLINE)
    assert not reader.is_alive()


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
    bob.send("own, after what is unread")
    assert bob.position.seq == 11
    take(bob, 1)
    assert list(bob.messages(timeout=0)) == []
    assert bob.position.seq == 13


def test_join_after_a_position_resumes_there(connect: Connect, name: str) -> None:
    alice, client = connect("alice").join(name), connect("bob")
    bob = client.join(name)
    alice.send_many(range(3000))
    take(bob, 1234)
    kept = bob.position
    client.close()
    alice.send("later")
    room = connect("bob").join(name, after=kept)
    assert room.position == kept
    assert take(room, 1767) == [*range(1234, 3000), "later"]
    everything = connect("carol").join(name, after=zchat.START)
    assert take(everything, 3001) == [*range(3000), "later"]


def test_messages_end_after_the_timeout_of_silence(pair: tuple[zchat.Room, zchat.Room]) -> None:
    alice, bob = pair
    alice.send_many(range(3))
    eventually(lambda: bob._inbox.cursor.upto == 3, "they are there")
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


def test_batches_have_what_messages_would_and_joining_after_their_position_resumes_there(
    connect: Connect, name: str
) -> None:
    alice, bob = connect("alice").join(name), connect("bob").join(name)
    bodies = [f"{number:0100}" for number in range(4000)]  # 400 KB: no one batch, of 64 KiB at most, has the rest
    alice.send_many(bodies[:2000])
    bob.send("own")
    alice.send_many(bodies[2000:])
    batches = bob.batches(timeout=DEADLINE)
    heard: list[zchat.Message] = []
    kept = bob.position
    while len(heard) < 2000:
        batch = next(batches)
        heard += batch
        kept = batch.position
        assert kept.seq >= batch.last == heard[-1].seq
    heard.append(next(bob.messages(timeout=DEADLINE)))
    later = connect("bob").join(name, after=kept)
    while len(heard) < 4000:
        heard += next(batches)
    assert [message.body for message in heard] == bodies
    assert heard == [message for message in bob.history(limit=5000) if message.user == "alice"]
    assert next(later.batches(timeout=DEADLINE)).first == kept.seq + 1


def test_batches_are_a_way_to_take_messages_and_no_other_way_goes_with_them(connect: Connect, name: str) -> None:
    client = connect("bob")
    room = client.join(name)
    assert [*room.batches(timeout=0), *room.messages(timeout=0)] == []
    with pytest.raises(zchat.UsageError, match="messages"):
        client.events(0)


def test_events_bring_messages_as_batches_if_they_are_asked_to(connect: Connect, name: str) -> None:
    alice, bob = connect("alice").join(name), connect("bob")
    room = bob.join(name)
    alice.send_many(range(500))
    found: list[Any] = []
    for event in bob.events(timeout=DEADLINE, batches=True):
        if isinstance(event, zchat.Batch):
            assert (event.room, event.position) == (name, room.position)
            found += event.bodies
            if event.last == 500:
                break
    assert found == list(range(500))
    with pytest.raises(zchat.UsageError, match="batches is True or False"):
        bob.events(batches=1)  # type: ignore[call-overload]


def test_history_comes_as_batches_that_go_on_where_the_last_one_ended(face: Face, told: zchat.Client) -> None:
    room = f"told {face.kind}"
    batch = told.history_batch(room, after=0, limit=20)
    assert batch is not None
    assert (batch.bodies, batch.position.seq) == ([*range(1, 21)], 20)
    rest = told.history_batch(room, after=batch.last)
    assert rest is not None
    assert (rest.seqs, rest.room) == ([*range(21, 31)], room)
    newest = told.history_batch(room, before=11, limit=3)
    assert newest is not None
    assert newest.bodies == [8, 9, 10]
    assert newest.position.epoch == rest.position.epoch > 0
    assert told.history_batch(room, after=30) is told.history_batch(room, limit=0) is None


def test_a_batch_of_history_is_no_longer_than_one_answer(connect: Connect, name: str) -> None:
    alice = connect("alice")
    alice.join(name).send_many(["x" * 100_000] * 30)
    batch = alice.history_batch(name, after=0)
    assert batch is not None
    assert 1 <= len(batch) < 30


@pytest.mark.parametrize("after", [None, 0, 3, 29, 30, 99])
@pytest.mark.parametrize("before", [None, 1, 4, 31, 99])
@pytest.mark.parametrize("limit", [0, 1, 7, 1000])
def test_history_has_exclusive_bounds_and_is_oldest_first(
    face: Face, told: zchat.Client, after: int | None, before: int | None, limit: int
) -> None:
    within = [n for n in range(1, 31) if (after or 0) < n and (before is None or n < before)]
    expected = within[:limit] if after is not None else within[max(0, len(within) - limit) :]
    found = told.history(f"told {face.kind}", after=after, before=before, limit=limit)
    assert [message.seq for message in found] == expected
    assert [message.body for message in found] == expected


@pytest.fixture(scope="module")
def told(face: Face, broker: Broker) -> Iterator[zchat.Client]:
    with face.client(broker.url, user="teller") as client:
        room = client.join(f"told {face.kind}")
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


@pytest.mark.parametrize("after", [zchat.Position(-1, 0), zchat.Position(1, 2**64), 5, (1, 2, 3)])
def test_joining_at_what_is_no_position_is_a_usage_error(connect: Connect, name: str, after: Any) -> None:
    client = connect()
    with pytest.raises(zchat.UsageError):
        client.join(name, after=after)
    client.join(name)


def test_a_position_of_another_log_is_reported_as_a_gap_once(connect: Connect, name: str) -> None:
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
