"""Events that are given to a handler, in a thread of its own."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect, handlers_end, take
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.limits import HIGH_WATER_MARK

pytestmark = pytest.mark.threads_alone("a handler has a thread of its own; a task takes `events()` instead")


def said(handler: Callable[[zchat.Message], object]) -> Callable[[zchat.Event], object]:
    """Return a handler of all events that gives messages alone to `handler`: who comes and goes is another matter."""
    return lambda event: handler(event) if isinstance(event, zchat.Message) else None


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


@pytest.mark.parametrize("raised", [SystemExit, CancelledError, KeyboardInterrupt])
def test_a_handler_that_raises_what_ends_a_thread_or_a_task_is_heard_and_goes_on(
    broker: Broker, connect: Connect, name: str, raised: type[BaseException]
) -> None:
    heard: list[Any] = []

    def leaving(event: zchat.Event) -> None:
        heard.append(event)
        raise raised("enough")

    bob = zchat.Client(broker.url, user="bob", on_event=leaving)
    bob.join(name)
    connect("alice").join(name).send_many(["one", "two"])
    eventually(lambda: len(heard) >= 2, "the handler goes on")
    with pytest.raises(zchat.HandlerFailed, match=raised.__name__), bob:
        pass


async def later(event: zchat.Event) -> None:
    """Do nothing by being called."""


def one_by_one(event: zchat.Event) -> Iterator[zchat.Event]:
    """Do nothing by being called."""
    yield event


async def one_by_one_later(event: zchat.Event) -> AsyncIterator[zchat.Event]:
    """Do nothing by being called."""
    yield event


@pytest.mark.parametrize("undone", [later, one_by_one, one_by_one_later])
def test_a_handler_that_returns_what_it_should_have_done_has_failed(
    broker: Broker, connect: Connect, name: str, undone: Callable[[zchat.Event], object]
) -> None:
    heard: list[Any] = []

    def wrapped(event: zchat.Event) -> object:
        heard.append(event)
        return undone(event)

    bob = zchat.Client(broker.url, user="bob", on_event=wrapped)
    bob.join(name)
    connect("alice").join(name).send_many(["one", "two"])
    eventually(lambda: len(heard) >= 2, "the handler goes on")
    with pytest.raises(zchat.HandlerFailed, match="which nobody runs"), bob:
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
        eventually(partial(getattr, bob._handler, "_failed"), "it has failed")
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
        return heard._inbox.cursor.received > number

    bob = connect("bob", on_event=handler) if way == "handler" else connect("bob")
    bob.join(f"{name} idle")
    heard = bob.join(name)
    room = connect("alice").join(name)
    for number in range(many):
        room.send(number)
        eventually(partial(has_come, number), "it has come")
    bob._link.do(bob._link.core.fail, "a fault")
    eventually(bob._link.ended.is_set, "it has ended")
    go_on.set()
    if way == "events":
        with pytest.raises(zchat.ConnectionLost, match="a fault"):
            seen.extend(bob.events(timeout=DEADLINE))
    else:
        handlers_end()
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
    handlers_end()
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
    connect("alice").join(name).send_many(range(HIGH_WATER_MARK))  # each a notification, maybe
    assert begun.wait(DEADLINE)
    inbox = bob._link.events.inboxes[0]
    eventually(lambda: inbox.cursor.upto == HIGH_WATER_MARK, "all of it has come")
    closing = Thread(target=bob.close, args=(DEADLINE,))
    closing.start()
    eventually(lambda: bob._link.closed, "it is being closed")
    go_on.set()
    closing.join(DEADLINE)
    assert len(heard) == HIGH_WATER_MARK


def test_a_handler_may_close_its_client_and_gets_nothing_more(broker: Broker, connect: Connect, name: str) -> None:
    heard: list[zchat.Event] = []

    def one(event: zchat.Message) -> None:
        heard.append(event)
        bob.close()

    bob = zchat.Client(broker.url, user="bob", on_event=said(one))
    bob.join(name)
    connect("alice").join(name).send_many(range(10))
    assert bob.wait(DEADLINE)
    handlers_end()
    assert len(heard) == 1


@pytest.mark.parametrize(
    "raised",
    [zchat.BadKey("of another call"), zchat.UsageError("this client is closed: make another one"), KeyError("wrong")],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_a_handler_raises_while_its_client_is_closed_is_heard_and_the_rest_is_handled(
    broker: Broker, connect: Connect, name: str, raised: Exception
) -> None:
    def clumsy(room: zchat.Room, body: Any) -> None:
        if body == 3:
            raise raised

    with pytest.raises(zchat.HandlerFailed) as failed:
        handled_while_it_closes(broker, connect, name, clumsy)
    assert failed.value.__cause__ is raised


def test_another_closed_clients_error_is_the_handlers_failure(broker: Broker, connect: Connect, name: str) -> None:
    other = connect("carol")
    other.close()

    def sends_elsewhere(room: zchat.Room, body: Any) -> None:
        other.join(name)

    with pytest.raises(zchat.HandlerFailed, match="this client is closed"):
        handled_while_it_closes(broker, connect, name, sends_elsewhere)


def test_a_handler_that_calls_its_client_while_that_is_closed_is_given_the_rest_and_no_failure(
    broker: Broker, connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "zchat.client")

    def answers(room: zchat.Room, body: Any) -> None:
        room.send(f"you said {body}")

    handled_while_it_closes(broker, connect, name, answers)
    assert sum("called its client too late" in line.getMessage() for line in caplog.records) == 10


def handled_while_it_closes(
    broker: Broker, connect: Connect, name: str, then: Callable[[zchat.Room, Any], None]
) -> None:
    """Have a handler find ten messages while its client is closed, each of which it gives to `then`, with its room."""
    begun, go_on = Event(), Event()
    heard: list[Any] = []

    def handler(message: zchat.Message) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        heard.append(message.body)
        then(room, message.body)

    bob = zchat.Client(broker.url, user="bob", on_event=said(handler))
    room = bob.join(name)
    connect("alice").join(name).send_many(range(10))
    assert begun.wait(DEADLINE)
    eventually(lambda: room._inbox.cursor.upto == 10, "all of it has come")
    closed: list[zchat.ZchatError] = []

    def close() -> None:
        try:
            bob.close(DEADLINE)
        except zchat.ZchatError as error:
            closed.append(error)

    closing = Thread(target=close)
    closing.start()
    eventually(lambda: bob._link.closed, "it is being closed")
    go_on.set()
    closing.join(DEADLINE)
    assert heard == list(range(10))
    assert room.position.seq == 10
    if closed:
        raise closed[0]
