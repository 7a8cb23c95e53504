"""The connections of a client, one after the other, driven by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.errors import ConnectionLost, ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.protocol.reconnect import RETRY_MAX, SHUT_SECONDS
from zchat.transport import descriptor
from zchat.transport.dealer import Dealer, Failure
from zchat.transport.link import SHUT_OUT, Link


class Driven(Link):
    """A link whose turns are the test's; `watched` are the DEALERs that are waited for."""

    def __init__(self, *urls: str) -> None:
        self.watched: list[Dealer] = []
        self.asked: list[Callable[[str], object]] = []
        self.opened_so_far = 0
        self.told: list[type[Disconnected | Reconnected]] = []
        self.greetings = 0
        self.ends: list[ZchatError | None] = []
        super().__init__(
            urls, "alice", b"p" * 16, b"t" * 16, 0,
            lambda event: self.told.append(type(event)), lambda *invitation: None, self._count, self.ends.append,
        )  # fmt: skip
        self.open()

    def _count(self) -> None:
        self.greetings += 1

    def do(self, *work: Any) -> None:
        work[0](*work[1:])

    def _watch(self, dealer: Dealer) -> None:
        self.watched.append(dealer)
        self.opened_so_far += 1

    def _unwatch(self, dealer: Dealer) -> None:
        assert not dealer.socket.closed, "a loop needs its descriptor"
        self.watched.remove(dealer)

    def _ask_mechanism(self, url: str, done: Callable[[str], object]) -> None:
        self.asked.append(done)

    def run(self, until: Callable[[], object]) -> None:
        """Have turns until something is true."""
        deadline = time.monotonic() + DEADLINE
        if self.core.connections == 0:
            self.core.start(time.monotonic())
        while not until():
            assert time.monotonic() < deadline
            for dealer in list(self.watched):
                while self._dealer is dealer and int(dealer.socket.get(zmq.EVENTS)) & zmq.POLLIN:
                    self.core.receive(dealer.socket.recv(zmq.NOBLOCK), time.monotonic())
                if self._dealer is dealer and self.greetings:
                    self._fault = dealer.broken()
            if self._fault:
                fault, self._fault = self._fault, ""
                self.core.lost(fault)
            self.core.tick(time.monotonic())
            time.sleep(0.001)

    def close(self) -> None:
        self.core.close(time.monotonic() + 1)
        self.run(lambda: self.core.over)
        self._close(lingering=True)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


def test_it_watches_each_connection_until_it_is_closed(broker: Broker) -> None:
    link = Driven(broker.url)
    link.run(lambda: link.greetings)
    assert (len(link.watched), link.url) == (1, broker.url)
    link.core.lost("cut")
    assert link.watched == []
    link.run(lambda: link.core.connected)
    assert (link.opened_so_far, link.told, link.greetings) == (2, [Disconnected, Reconnected], 1)
    link.close()
    assert (link.watched, link.ends, link.error) == ([], [None], None)


def test_after_a_loss_the_same_address_is_tried_once_more_then_the_others_in_turn(broker: Broker) -> None:
    with Broker("tcp://127.0.0.1:*") as second:
        link = Driven(broker.url, second.url)
        link.run(lambda: link.greetings)
        link.core.lost("cut")
        link.run(lambda: link.core.connected)
        assert link.url == broker.url
        broker.stop()
        link.run(lambda: link.told.count(Disconnected) == 2 and link.core.connected)
        assert link.url == second.url
        assert link.told == [Disconnected, Reconnected] * 2, "a try that came to nothing is no loss"
        link.close()


def test_a_broker_that_lets_nobody_in_is_left_alone_for_a_second(broker: Broker) -> None:
    link = Driven(broker.url)
    link.run(lambda: link.core.connected)
    link.core.lost("cut")
    now = time.monotonic() + 1
    link.core.tick(now)
    [dealer] = link.watched
    dealer.failure = Failure.LATER
    assert link.is_shut_out(dealer, now)
    opened = link.opened_so_far
    link.core.tick(now + SHUT_SECONDS)
    assert (link.watched, link.opened_so_far) == ([], opened)
    link.core.tick(now + SHUT_SECONDS + RETRY_MAX)
    assert link.opened_so_far == opened + 1
    assert link.told == [Disconnected], "a try that came to nothing is no loss"
    link.close()


def test_what_is_found_out_about_a_door_is_reported_of_the_broker_that_has_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Driven(broker.url, "tcp://127.0.0.1:1")
    link.run(lambda: link.core.connected)
    link.core.lost("cut")
    link.core.tick(time.monotonic() + 1)
    [dealer] = link.watched
    dealer.failure = Failure.UNKNOWN
    for _ in range(SHUT_OUT):
        assert not link.is_shut_out(dealer, time.monotonic())
    link.core.lost("shut")
    told: list[Disconnected | Reconnected] = []
    monkeypatch.setattr(link, "_on_link", told.append)
    [answered] = link.asked
    answered("CURVE")
    [event] = told
    assert isinstance(event, Disconnected)
    assert f"the broker at {broker.url} lets nobody in without a key" in event.reason
    link.close()


def test_a_client_at_rest_is_woken_for_no_samples_where_the_system_says_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor, "sys", SimpleNamespace(platform="darwin"))
    link = Driven(broker.url)
    assert link.sample_at == math.inf
    link.run(lambda: link.core.connected)
    link.close()


def test_a_first_greeting_that_is_given_up_counts_as_answered() -> None:
    link = Driven("tcp://127.0.0.1:1")
    link.core.start(time.monotonic())
    link.core.fail("enough")
    assert link.greetings == 1
    assert isinstance(link.error, ConnectionLost)
    assert link.ends == [link.error]
    link._close()


def test_of_a_frame_that_is_alone_the_socket_is_not_asked_for_others() -> None:
    class One:
        def recv(self, flags: int) -> bytes:
            return b"frame"

        def get(self, option: int) -> int:
            raise AssertionError("it costs as much as the frame")

    received: list[bytes] = []
    link: Any = Driven.__new__(Driven)
    link._dealer = SimpleNamespace(socket=One(), taken=0)
    link.core = SimpleNamespace(receive=lambda frame, now: received.append(frame))
    link.turn_frames = 3
    link.alone = True
    assert not link._receive(0.0)
    assert received == [b"frame"]
    link.alone = False
    with pytest.raises(AssertionError, match="costs"):
        link._receive(0.0)
