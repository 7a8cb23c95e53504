"""The receive thread: work that is handed to it, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.errors import ConnectionLost, ZchatError
from zchat.transport.receive_thread import ReceiveThread


class Ended:
    """What the end of a receiver was: `error` once `event` is set."""

    def __init__(self) -> None:
        self.event = Event()
        self.error: ZchatError | None = None

    def __call__(self, error: ZchatError | None) -> None:
        self.error = error
        self.event.set()


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def receiver(ended: Ended) -> Iterator[ReceiveThread]:
    with Broker("tcp://127.0.0.1:*") as broker:
        receiver = ReceiveThread(
            lambda: True,
            [broker.url],
            "alice",
            b"p" * 16,
            b"t" * 16,
            0,
            lambda event: None,
            lambda *invitation: None,
            ended,
        )
        receiver.start()
        assert receiver.when_greeted(DEADLINE)
        yield receiver
        receiver.do(receiver.core.close, 0.0)
        receiver.thread.join(DEADLINE)
        assert not receiver.thread.is_alive()


def test_work_is_done_in_its_order_by_the_thread_though_it_sleeps(receiver: ReceiveThread) -> None:
    done: list[int] = []
    last = Event()
    for number in range(100):
        receiver.do(done.append, number)
    receiver.do(last.set)
    assert last.wait(DEADLINE)
    assert done == list(range(100))


def test_a_fault_ends_it_with_the_reason_and_what_comes_too_late_is_done_all_the_same(
    receiver: ReceiveThread, ended: Ended
) -> None:
    receiver.do(int, "no number")
    assert ended.event.wait(DEADLINE)
    assert isinstance(ended.error, ConnectionLost)
    assert isinstance(ended.error.__cause__, ValueError)
    assert receiver.error is ended.error
    receiver.thread.join(DEADLINE)
    late = Event()
    receiver.do(late.set)
    assert late.is_set(), "in the caller's own thread"
