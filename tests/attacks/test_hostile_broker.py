"""A hostile broker, or what stands in its place, against a client over real connections: floods, ends, and silence."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

import zchat
from tests.attacks.hostile import HONEST, Hostile, Visitor, broker
from tests.attacks.lies import MAX_INT, NASTY
from tests.attacks.zmtp import COMMAND, MORE, frame, greeting, ready
from tests.broker.raw import ANY
from tests.promises.faults.processes import Memory
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.transport import dealer, keys, link
from zchat.wire.values import pack

KEYS: dict[str, Any] = {"key": keys.make("alice"), "server_key": keys.make().public}


@pytest.fixture(autouse=True)
def no_thread_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that no thread ends by an exception, and that no fault of zchat's own is logged."""
    failed: list[Any] = []
    before, threading.excepthook = threading.excepthook, failed.append
    caplog.set_level(logging.WARNING, "zchat")
    yield
    threading.excepthook = before
    assert not failed
    assert not [record for record in caplog.get_records("call") if record.exc_info]


# -- floods ------------------------------------------------------------------------------------------------


def flood(data: bytes) -> Callable[[Visitor, list[Any]], None]:
    """Return an answer to a join after which the same bytes come without end."""

    def answer(visitor: Visitor, command: list[Any]) -> None:
        visitor.answer(command, *HONEST["join"](command))
        many = data * max(1, (256 << 10) // len(data))
        while True:
            visitor.send(many)

    return answer


@pytest.mark.parametrize("size", [0, 64 << 10], ids=["empty parts", "parts of 64 KiB"])
def test_a_message_without_an_end_ends_the_client(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """libzmq holds all of it, and the broker says how long it may be silent: it took all memory."""
    monkeypatch.setattr(link, "SAMPLE_SECONDS", 0.1)
    memory = Memory(os.getpid())
    memory.reset()
    with broker(join=flood(frame(b"x" * size, MORE))) as hostile:
        client = zchat.Client(hostile.url, user="alice", timeout=DEADLINE)
        client.join("General", timeout=DEADLINE)
        with pytest.raises(zchat.ProtocolError, match="a message without an end"):
            client.wait(DEADLINE)
        client.close(0)
    assert memory.grown < 1_000 << 20


def test_more_than_can_be_received_ends_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits in the client's memory, 64 bytes and more for each frame."""
    monkeypatch.setattr(link, "SAMPLE_SECONDS", 0.05)
    monkeypatch.setattr(dealer, "WAITING_BYTES", 256 * 1024)
    with broker(join=flood(frame(pack(["pong", 0])))) as hostile:
        client = zchat.Client(hostile.url, user="alice", timeout=DEADLINE)
        client.join("General", timeout=DEADLINE)
        with pytest.raises(zchat.ProtocolError, match="more than can be received"):
            client.wait(DEADLINE)
        client.close(0)


def test_a_flood_pings_of_the_transport_and_a_reset_end_no_process() -> None:
    """libzmq had stopped reading, and failed an assertion: any broker ended its clients' processes."""

    def answer(visitor: Visitor, command: list[Any]) -> None:
        visitor.answer(command, *HONEST["join"](command))
        pings = frame(pack(["pong", 0])) * 20 + frame(b"\x04PING\0\0", COMMAND)
        visitor.send(pings * 3_000)
        visitor.reset()

    with broker(join=answer) as hostile:
        for _ in range(10):
            client = zchat.Client(hostile.url, user="alice", timeout=DEADLINE)
            with suppress(zchat.ZchatError):
                client.join("General", timeout=0.2)
            client.close(0)


@pytest.mark.parametrize(
    "notice",
    [
        ["pong", 0],
        ["pong", 0, b"x" * 1_000_000],
        ["error", 999, NASTY, NASTY * 1000, False, None],
        ["push", "Other", 7, 0, 5, [[1, 1, "bob", b"", pack(["x"])]] * 100],
        ["state", 1, [["General", True, 5, [["bob", 1, True, 1]] * 50, 0, 0]], []],
    ],
    ids=["pongs", "large pongs", "errors to nothing", "another room's", "state"],
)
def test_a_flood_of_frames_holds_no_call_up_beyond_its_deadline_and_takes_no_memory(notice: list[Any]) -> None:
    memory = Memory(os.getpid())
    memory.reset()
    with broker(join=flood(frame(pack(notice)))) as hostile:
        client = zchat.Client(hostile.url, user="alice", timeout=DEADLINE)
        room = client.join("General", timeout=DEADLINE)
        began = time.monotonic()
        with pytest.raises(zchat.DeadlineExceeded):
            room.send("x", timeout=0.2)
        client.close(0.1)
        assert time.monotonic() - began < DEADLINE / 4
        eventually(lambda: not client._link.receiver.thread.is_alive(), "its thread ends")
    assert memory.grown < 400 << 20


def test_more_notifications_than_there_is_credit_for_end_the_client_and_what_came_before_is_read() -> None:
    def push(visitor: Visitor, command: list[Any]) -> None:
        visitor.answer(command, *HONEST["join"](command))
        for seq in range(1_000):
            visitor.say("push", "General", 7, seq, seq + 1, [[seq + 1, 1, "bob", b"", pack([NASTY])]])

    with broker(join=push) as hostile, zchat.Client(hostile.url, user="alice", timeout=DEADLINE) as client:
        room = client.join("General", timeout=DEADLINE)
        with pytest.raises(zchat.ProtocolError, match="more notifications than there was credit for"):
            client.wait(DEADLINE)
        messages = room.messages(timeout=DEADLINE)
        assert [message.seq for message in islice(messages, 10)] == list(range(1, 11))
        with pytest.raises(zchat.ProtocolError):
            next(messages)


# -- ends, and another broker ------------------------------------------------------------------------------------


def ending(word: str, *notice: Any) -> Hostile:
    """Return a broker that says this in place of the answer to a command."""
    return broker(**{word: lambda visitor, _: visitor.say(*notice)})


def talk(url: str, seconds: float) -> None:
    """Say something to a broker, each time with so long for an answer, and goodbye."""
    with suppress(zchat.UsageError), zchat.Client(url, user="alice", timeout=DEADLINE) as client:
        try:
            client.join("General", timeout=seconds).send("x", timeout=seconds)
        finally:
            client.close(0.3)


@pytest.mark.parametrize("word", ["hello", "join", "send"])
@pytest.mark.parametrize("retryable", [True, False])
def test_an_end_in_any_state_is_an_error_in_time(word: str, retryable: bool) -> None:
    with ending(word, "end", NASTY, NASTY * 1000, retryable) as hostile:
        began = time.monotonic()
        with pytest.raises(zchat.ZchatError) as error:
            talk(hostile.url, 0.3)
        assert time.monotonic() - began < DEADLINE / 2
        assert len(str(error.value)) < 1_300
        assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "notice", [("end", "closing", NASTY, True), ("end", "x", "x", False), ("pong", 7), ("nonsense",)]
)
def test_whatever_is_said_to_a_goodbye_the_client_is_closed(notice: tuple[Any, ...]) -> None:
    with ending("bye", *notice) as hostile:
        talk(hostile.url, DEADLINE)


def test_a_client_that_one_broker_gives_up_goes_on_with_another() -> None:
    """Whatever that broker has said of numbers, times and positions."""

    def send(visitor: Visitor, command: list[Any]) -> None:
        visitor.say("pong", MAX_INT)
        visitor.say("push", "General", MAX_INT, 0, MAX_INT, [])
        visitor.say("error", command[1], "out_of_order", NASTY, False, 1 << 62)

    with (
        broker(send=send) as hostile,
        Broker(ANY) as honest,
        zchat.Client([hostile.url, honest.url], user="alice", timeout=DEADLINE) as client,
    ):
        room = client.join("General", timeout=DEADLINE)
        with pytest.raises(zchat.OutcomeUnknown):
            room.send("one", timeout=DEADLINE)
        hostile.close()
        eventually(lambda: client.url == honest.url, "it goes on there")
        assert room.send("two", timeout=DEADLINE).seq == 1


# -- what is no broker -----------------------------------------------------------------------------------------


def slowly(data: bytes) -> Callable[[Visitor], None]:
    """Return what sends bytes one by one, a twentieth of a second apart."""

    def meet(visitor: Visitor) -> None:
        for byte in data:
            visitor.send(bytes((byte,)))
            time.sleep(0.05)
        time.sleep(DEADLINE)

    return meet


def saying(*parts: bytes, cut: bool = False) -> Callable[[Visitor], None]:
    """Return what says one thing after the other, waiting for a word of the client's in between."""

    def meet(visitor: Visitor) -> None:
        for part in parts:
            visitor.send(part)
            visitor.socket.recv(65_536)
        if not cut:
            while visitor.socket.recv(65_536):
                pass

    return meet


CURVE = greeting(b"CURVE")
PEERS: dict[str, Callable[[Visitor], None]] = {
    "silence": lambda visitor: time.sleep(DEADLINE),
    "an end": lambda visitor: None,
    "HTTP": saying(b"HTTP/1.1 400 Bad Request\r\n\r\n", cut=True),
    "noise": saying(bytes(range(256)) * 100),
    "a greeting, slowly": slowly(greeting()),
    "half a greeting": saying(greeting()[:20]),
    "an old version": saying(greeting()[:10] + b"\x01" + greeting()[11:]),
    "a greeting, then silence": saying(greeting()),
    "a greeting, then an end": saying(greeting(), cut=True),
    "a greeting, then noise": saying(greeting(), b"\x04\xff" + bytes(300)),
    "no ROUTER": saying(greeting(), ready(kind=b"PUB")),
    "an ERROR": saying(greeting(), frame(b"\x05ERROR\x03400", COMMAND)),
    "a handshake, then silence": saying(greeting(), ready(kind=b"ROUTER")),
    "a handshake, then noise": saying(greeting(), ready(kind=b"ROUTER") + bytes(1000)),
    "a handshake, then a frame without an end": saying(greeting(), ready(kind=b"ROUTER") + b"\x02" + b"\xff" * 8),
    "CURVE, then silence": saying(CURVE),
    "CURVE, then an end": saying(CURVE, cut=True),
    "CURVE, then a WELCOME that is none": saying(CURVE, frame(b"\x07WELCOME" + bytes(160), COMMAND)),
    "CURVE, then a short WELCOME": saying(CURVE, frame(b"\x07WELCOME", COMMAND)),
    "CURVE, then a READY": saying(CURVE, frame(b"\x05READY" + bytes(30), COMMAND)),
    "CURVE, then an ERROR": saying(CURVE, frame(b"\x05ERROR\x03400", COMMAND)),
    "CURVE, then noise": saying(CURVE, b"\x04\xff" + bytes(300)),
    "another mechanism": saying(greeting(b"GSSAPI")),
}


@pytest.mark.parametrize("given", [{}, KEYS], ids=["without keys", "with keys"])
def test_what_is_no_broker_is_an_error_by_the_deadline(given: dict[str, Any]) -> None:
    """All of them at once: each is waited for."""
    outcomes: dict[str, tuple[BaseException | None, float]] = {}

    def connect(name: str, url: str) -> None:
        began, error = time.monotonic(), None
        try:
            zchat.Client(url, user="alice", timeout=1.0, **given).close(0)
        except BaseException as caught:
            error = caught
        outcomes[name] = error, time.monotonic() - began

    hosts = {name: Hostile(meet) for name, meet in PEERS.items()}
    threads = [threading.Thread(target=connect, args=(name, host.url)) for name, host in hosts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    for host in hosts.values():
        host.close()
    assert outcomes.keys() == PEERS.keys()
    for name, (error, seconds) in outcomes.items():
        known = (zchat.ConnectionLost, zchat.ProtocolError, zchat.NotLetIn)
        assert isinstance(error, known), (name, error)
        assert seconds < DEADLINE / 4, name
