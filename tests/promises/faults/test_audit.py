"""The audit finds what it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import zchat
from tests.promises.faults.audit import Stream, Verdict, audit_log, text_of
from zchat import Message
from zchat.broker import Broker


def messages() -> list[Message]:
    return [Message("General", seq, seq, "bob", text_of(seq % 2, (seq + 1) // 2, 20)) for seq in range(1, 21)]


def renumbered(stream: list[Message]) -> list[Message]:
    """Number a log's messages anew: in a log only what the texts say can be wrong."""
    return [message._replace(seq=seq) for seq, message in enumerate(stream, 1)]


def verdict(stream: list[Message]) -> Verdict:
    followed = Stream()
    for message in stream:
        followed.take(message)
    return followed.verdict({0: 10, 1: 10})


def swapped(stream: list[Message]) -> list[Message]:
    return [*stream[:4], stream[6], *stream[5:6], stream[4], *stream[7:]]


FAULTS: dict[str, tuple[Callable[[list[Message]], list[Message]], str]] = {
    "one is missing": (lambda stream: stream[:7] + stream[8:], "lost"),
    "the last is missing": (lambda stream: stream[:-1], "lost"),
    "one comes twice": (lambda stream: stream[:8] + stream[7:], "twice"),
    "all come twice": (lambda stream: stream + stream, "twice"),
    "two have changed places": (swapped, "late"),
    "one was never sent": (lambda stream: [*stream, Message("General", 21, 0, "eve", text_of(7, 1, 20))], "changed"),
    "one was not acknowledged": (
        lambda stream: [*stream, Message("General", 21, 0, "bob", text_of(1, 11, 20))],
        "changed",
    ),
}


def test_a_stream_that_is_the_log_is_clean() -> None:
    assert verdict(messages()).clean


@pytest.mark.parametrize(("fault", "name"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_in_a_readers_stream(fault: Callable[[list[Message]], list[Message]], name: str) -> None:
    found = verdict(fault(messages()))
    assert not found.clean
    assert getattr(found, name)


@pytest.mark.parametrize(("fault", "name"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_in_a_log(fault: Callable[[list[Message]], list[Message]], name: str) -> None:
    found = verdict(renumbered(fault(messages())))
    assert not found.clean
    assert getattr(found, name)


def test_a_message_that_lies_elsewhere_than_its_answer_said_is_found() -> None:
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as client:
        room = client.join("General")
        stored = [room.send(text_of(0, number, 20)) for number in (1, 2, 3)]
        receipts = {message.seq: (message.body, message.timestamp) for message in stored}
        assert audit_log(client, "General", {0: 3}, receipts)[1].clean
        receipts[2] = receipts[3]
        assert audit_log(client, "General", {0: 3}, receipts)[1].changed == 1
        receipts[4] = receipts[3]
        assert audit_log(client, "General", {0: 3}, receipts)[1].lost == 1
