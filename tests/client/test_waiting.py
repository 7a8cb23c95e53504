"""Timeouts, and how long a call waits."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.faces import Face
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from zchat.client.waiting import Stream, finish
from zchat.protocol.faces.steps import Steps

# -- timeouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1", True, []])
def test_a_wrong_timeout_is_a_usage_error_and_harms_nothing(
    face: Face, connect: Connect, name: str, wrong: Any
) -> None:
    client = connect()
    room = client.join(name)
    calls: list[Callable[..., object]] = [
        client.rooms, client.events, client.wait, client.close, room.messages, room.history, room.leave,
        lambda timeout: client.history(name, timeout=timeout),
        lambda timeout: client.join("another", timeout=timeout),
        lambda timeout: room.send("x", timeout=timeout),
        lambda timeout: room.send_many(["x"], timeout=timeout),
        lambda timeout: face.client(client.url, user="bob", timeout=timeout),
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


def test_a_question_that_is_not_answered_in_time_says_so(face: Face) -> None:
    with Mortal() as mortal, face.client(mortal.url, user="alice") as client:
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
        eventually(lambda: "movies" in client._rooms._coming, "a join waits for ever")
        for ask in (lambda: client.join("Movies", timeout=0.05), lambda: room.leave(timeout=0.05)):
            with pytest.raises(zchat.DeadlineExceeded, match="did not answer"):
                ask()
        mortal.thaw()
        patient.join(DEADLINE)
        assert client.join("General").send("goes on", timeout=DEADLINE).seq == 1
        assert {room.name: room.members for room in client.rooms()}["Movies"] == 1


# -- the last answer and the wait for it -------------------------------------------------------------


@pytest.mark.threads_alone("in a loop nothing comes between the two")
@pytest.mark.parametrize("timeout", [0.5, None])
def test_the_last_answer_may_come_just_before_one_waits_for_it(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    room = connect().join(name)
    wait = Stream.wait

    def late(stream: Stream, seen: int, seconds: float | None) -> None:
        eventually(lambda: stream.stored_count == stream.handed, "all is answered before the wait begins")
        wait(stream, seen, seconds)

    monkeypatch.setattr(Stream, "wait", late)
    assert room.send_many(["one", "two", "three"], timeout=timeout) == 3


# -- steps -----------------------------------------------------------------------------------------


def test_steps_are_carried_out_in_order_and_return_what_they_return() -> None:
    def steps() -> Steps[list[str]]:
        return [(yield lambda: "one"), (yield lambda: "two")]

    assert finish(steps()) == ["one", "two"]


@pytest.mark.parametrize("raised", [zchat.DeadlineExceeded("late"), KeyboardInterrupt()])
def test_what_ends_a_wait_is_raised_in_the_steps_and_then_by_the_call(raised: BaseException) -> None:
    cleaned: list[BaseException] = []

    def wait() -> None:
        raise raised

    def steps() -> Steps[None]:
        try:
            yield wait
        except BaseException as error:
            cleaned.append(error)
            raise

    with pytest.raises(type(raised)):
        finish(steps())
    assert cleaned == [raised]
