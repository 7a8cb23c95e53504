"""The client library against a broker in a thread: connecting, the list of rooms, and every way to an end."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from threading import Event, Thread
from typing import Any

import pytest
import zmq

import zchat
from tests.client.driver import Connect
from tests.faces import Face
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.core import handlers
from zchat.transport import keys
from zchat.wire.values import pack

# -- rooms -----------------------------------------------------------------------------------------


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
    monkeypatch.setattr("zchat.protocol.faces.steps.ROOMS_PAGE", 2)
    found = [room.name for room in connect().rooms()]
    assert len(found) == len(set(found)) >= 5


def test_lists_begin_after_a_name_and_have_so_many_rows_at_most(connect: Connect, name: str) -> None:
    client = connect("alice")
    room = client.join(name)
    for user in ("bob", "carol"):
        connect(user).join(name)
    whole = [each.name for each in client.rooms()]
    assert [each.name for each in client.rooms(after=whole[1], limit=2)] == whole[2:4]
    assert client.rooms(limit=0) == client.rooms(after=whole[-1]) == []
    eventually(lambda: len(room.members()) == 3, "all are there")
    assert [each.user for each in client.members(name, after="Alice", limit=1)] == ["bob"]
    with pytest.raises(zchat.UsageError):
        client.rooms(limit=-1)
    with pytest.raises(zchat.BadName):
        client.members(name, after=" ")


@pytest.mark.parametrize("bad", [5, None, b"General", ["General"]])
def test_a_name_that_is_no_text_is_a_usage_error(connect: Connect, bad: Any) -> None:
    client = connect()
    for call in (client.join, client.history):
        with pytest.raises(zchat.UsageError):
            call(bad)
    if bad is not None:
        with pytest.raises(zchat.UsageError):
            connect(bad)


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
    ended: list[Callable[[], object]] = [*calls(client, room), partial(client.events, 0)]
    for call in ended:
        with pytest.raises(zchat.UsageError, match="closed"):
            call()
    assert room.position == zchat.START


def test_close_finishes_what_other_threads_have_sent(face: Face, broker: Broker, connect: Connect, name: str) -> None:
    client = face.client(broker.url, user="alice")
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


def test_from_close_on_a_send_many_hands_over_nothing_more_and_says_how_many_are_stored(
    face: Face, broker: Broker, connect: Connect, name: str
) -> None:
    client = face.client(broker.url, user="alice")
    room = client.join(name)
    progress = [zchat.Progress(), zchat.Progress()]
    stored: list[int] = []

    def send(each: zchat.Progress) -> None:
        with pytest.raises(zchat.UsageError, match="closed") as caught:
            room.send_many(count(), timeout=None, progress=each)
        assert caught.value.stored is not None
        stored.append(caught.value.stored)

    senders = [Thread(target=send, args=(each,)) for each in progress]
    for sender in senders:
        sender.start()
    eventually(lambda: all(each.stored > 1_000 for each in progress), "both send")
    began = time.monotonic()
    client.close(timeout=DEADLINE)
    assert time.monotonic() - began < DEADLINE / 4
    for sender in senders:
        sender.join(DEADLINE)
    assert sorted(stored) == sorted(each.stored for each in progress)
    assert [each.unanswered for each in progress] == [0, 0]
    assert connect("bob").history(name, limit=1)[0].seq == sum(stored)


def test_closing_ends_loops_over_messages(face: Face, broker: Broker, name: str) -> None:
    client = face.client(broker.url, user="alice")
    room = client.join(name, echo=True)
    heard: list[Any] = []
    reader = Thread(target=lambda: heard.extend(room.messages()))
    reader.start()
    room.send("x")
    eventually(lambda: heard, "it takes messages")
    client.close()
    reader.join(DEADLINE)
    assert not reader.is_alive()


def take_over(client: zchat.Client, producer: bytes, token: bytes) -> None:
    """Greet in a client's place, as another process that knows its token would."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(client.url)
        dealer.send(pack(("hello", 1, 1, 1, "thief", producer, token, 0, 10)))
        assert dealer.poll(int(DEADLINE * 1000))
        dealer.linger = 0


def test_a_client_that_is_refused_for_good_says_so_in_every_call(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []
    token_bytes = secrets.token_bytes

    def recorded(count: int) -> bytes:
        drawn.append(token_bytes(count))
        return drawn[-1]

    monkeypatch.setattr(secrets, "token_bytes", recorded)
    with Broker("tcp://127.0.0.1:*") as broker:
        client = face.client(broker.url, user="alice")
        room = client.join("General")
        room.send("x")
        other = face.client(broker.url, user="bob", on_event=print)
        other.join("General")
        for each, ids in ((client, drawn[:2]), (other, drawn[2:4])):
            take_over(each, *ids)
            with pytest.raises(zchat.Superseded):
                each.wait(DEADLINE)
        for call in calls(client, room):
            with pytest.raises((zchat.ConnectionLost, zchat.Superseded), match="goes on over another connection"):
                call()
        assert room.position.seq == 1
        client.close()
        other.close()


def test_a_broker_that_is_killed_is_noticed_and_nothing_hangs(face: Face) -> None:
    with Mortal() as mortal:
        waiting, closing = face.client(mortal.url, user="alice"), face.client(mortal.url, user="bob")
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
        assert time.monotonic() - began < DEADLINE / 4
        sender.join(DEADLINE)
        assert isinstance(failures[0], (zchat.OutcomeUnknown, zchat.ConnectionLost, zchat.UsageError))
        with pytest.raises(zchat.DeadlineExceeded):
            room.send_many(["x"], timeout=0.05)
        assert list(room.messages(timeout=0.05)) == []
        assert not waiting.wait(0.05), "it goes on trying"
        waiting.close(timeout=0.05)


def test_a_client_that_found_its_second_broker_alone_is_not_over(
    face: Face, broker: Broker, connect: Connect, name: str
) -> None:
    """What a first attempt to connect has come to, and its end, are nothing of the client's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    client = connect(url=[nobody, broker.url], timeout=2)
    room = client.join(name, echo=True)
    assert not client.wait(0.1)
    room.send("heard")
    assert [message.body for message in room.messages(timeout=0.2)] == ["heard"]
    client.close()
    assert client.wait(DEADLINE) is True


@pytest.mark.threads_alone("a loop has no receive thread")
def test_a_fault_of_the_receive_thread_is_logged_and_is_the_cause_of_what_callers_get(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect()
    fault = RuntimeError("a fault")

    def faulty() -> None:
        raise fault

    client._link.do(faulty)
    with pytest.raises(zchat.ConnectionLost, match="a fault") as failed:
        client.wait(DEADLINE)
    assert failed.value.__cause__ is fault
    eventually(lambda: "the receive thread failed" in caplog.text, "the log says it, after the callers have it")


@pytest.mark.parametrize("handler", ["history", "rooms"])
def test_a_broker_that_answers_nonsense_is_a_protocol_error(
    face: Face, handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nonsense(context: Any, request: Any, *fields: Any) -> None:
        context.replies.answer(request, (7,))

    monkeypatch.setitem(handlers.HANDLERS, handler, nonsense)
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="alice") as client:
        ask: Callable[[], object] = client.rooms if handler == "rooms" else lambda: client.history("General")
        with pytest.raises(zchat.ProtocolError):
            ask()


# -- connecting ------------------------------------------------------------------------------------


def test_a_wrong_mark_is_a_usage_error(face: Face, broker: Broker) -> None:
    with pytest.raises(zchat.UsageError):
        face.client(broker.url, user="alice", high_water_mark=-1)


def test_without_a_name_the_user_is_the_login(face: Face, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "someone")
    with face.client(broker.url) as client:
        assert client.user == "someone"


@pytest.mark.threads_alone("a client in a loop begins none")
def test_many_clients_come_and_go_and_leave_no_thread_behind(face: Face, broker: Broker) -> None:
    before = threading.active_count()
    for number in range(20):
        with face.client(broker.url, user=f"user{number}") as client:
            client.join("General")
    eventually(lambda: threading.active_count() <= before, "all threads have ended")


@pytest.mark.parametrize(
    "key",
    [
        zchat.Key("abc", "def"),
        zchat.Key("\ud800" * 40, "\ud800" * 40),
        zchat.Key(keys.make().public, keys.make().secret),
    ],
    ids=["short", "no text", "not fitting"],
)
def test_a_pair_that_is_none_is_refused_before_anything_is_asked(face: Face, key: zchat.Key) -> None:
    began = time.monotonic()
    with pytest.raises(zchat.BadKey, match=r"key's (public half|two halves)"):
        face.client("tcp://127.0.0.1:9", user="alice", key=key, server_key=keys.make().public, timeout=DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2
