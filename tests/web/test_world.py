"""The event loop as the core's world."""

from __future__ import annotations

import asyncio
import logging

import pytest

from zchat.errors import ConnectionLost
from zchat.web.world import LoopWorld


def world() -> LoopWorld:
    def client(user: str) -> object:
        raise ConnectionLost(user)

    return LoopWorld(client)  # type: ignore[arg-type]


async def test_tasks_begin_in_their_order_and_a_fault_in_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    here, order = world(), list[int]()

    async def note(number: int) -> None:
        order.append(number)
        if number == 3:
            raise ValueError("a fault")
        if number == 4:
            raise ConnectionLost("on purpose")

    with caplog.at_level(logging.ERROR, "zchat.web"):
        for number in range(6):
            here.spawn(note(number))
        await here.finish(5)
    assert order == [*range(6)]
    assert [record.getMessage() for record in caplog.records] == [
        "the task test_tasks_begin_in_their_order_and_a_fault_in_one_is_logged.<locals>.note failed: "
        "ValueError: a fault"
    ]


async def test_what_does_not_end_in_time_is_cancelled() -> None:
    here, ended = world(), list[str]()

    async def hang() -> None:
        try:
            await here.promise()
        finally:
            ended.append("cancelled")

    here.spawn(hang())
    await here.finish(0.01)
    assert ended == ["cancelled"]


async def test_a_promise_wakes_its_task_once() -> None:
    here = world()
    promise = here.promise()
    asyncio.get_running_loop().call_soon(promise.keep)
    await promise
    promise.keep()
    assert len(here.chance()) >= 16
    assert 0 <= here.fraction() < 1
    with pytest.raises(ConnectionLost):
        here.client("alice")


async def test_a_fault_in_a_task_that_ends_at_once_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    class Eager(asyncio.Task[None]):
        def get_coro(self) -> None:  # type: ignore[override]
            """Return what a task knows of its work that has ended before it was made, from Python 3.12 on."""

    async def fail() -> None:
        raise ValueError("a fault")

    asyncio.get_running_loop().set_task_factory(lambda loop, work, **options: Eager(work, loop=loop))  # type: ignore
    here = world()
    with caplog.at_level(logging.ERROR, "zchat.web"):
        here.spawn(fail())
        await here.finish(5)
    assert [record.getMessage().split("<locals>.")[1] for record in caplog.records] == [
        "fail failed: ValueError: a fault"
    ]
