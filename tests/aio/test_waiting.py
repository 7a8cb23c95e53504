"""What a task holds while the core works."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from zchat.aio.waiting import Answer, Letter, Stream, finished
from zchat.deadline import Deadline
from zchat.errors import Busy, DeadlineExceeded, OutcomeUnknown, UsageError
from zchat.loops import Deadlines
from zchat.protocol.faces.steps import Steps

FOREVER = Deadline(None)


async def soon(function: Any, *arguments: Any) -> None:
    asyncio.get_running_loop().call_soon(function, *arguments)


async def test_an_answer_is_awaited_and_so_is_the_reason_why_there_is_none() -> None:
    answer, failed = Answer(Deadlines()), Answer(Deadlines())
    await soon(answer.resolve, "yes")
    await soon(failed.fail, Busy("later"))
    assert await answer.wait(FOREVER, "a question") == "yes"
    with pytest.raises(Busy, match="later"):
        await failed.wait(FOREVER, "a question")


async def test_an_answer_that_does_not_come_in_time_is_dropped() -> None:
    answer = Answer(Deadlines())
    with pytest.raises(DeadlineExceeded, match=r"a question: the broker did not answer within 0\.001 s"):
        await answer.wait(Deadline(0.001), "a question")
    assert answer.withdrawn
    assert not answer.resolve("too late")


async def test_a_message_is_stored_or_never_sent_or_nobody_knows() -> None:
    stored, waiting, out = (Letter(Deadlines(), b"x", 0.001) for _ in range(3))
    stored.stored(1, 7, 8)
    await stored.wait("General")
    assert (stored.seq, stored.timestamp) == (7, 8)
    with pytest.raises(DeadlineExceeded):
        await waiting.wait("General")
    out.bodies.popleft()
    with pytest.raises(OutcomeUnknown):
        await out.wait("General")


async def test_many_messages_are_waited_for_until_more_are_stored_than_were_seen() -> None:
    stream = Stream(Deadlines())
    await soon(stream.stored, 2, 1, 8)
    assert await stream.wait(0, None) is None
    assert await stream.wait(0, 0) is None
    late = await stream.wait(2, 0.001)
    assert isinstance(late, DeadlineExceeded)
    assert "no message was acknowledged" in str(late)
    await soon(stream.fail, Busy("later"))
    assert await stream.wait(2, None) is None


async def test_what_is_on_its_way_settles_and_threads_can_not_wait_for_it() -> None:
    stream = Stream(Deadlines())
    stream.out = 1
    assert not await stream.settled(0)
    assert not await stream.settled(0.001)

    def answered() -> None:
        stream.out = 0

    await soon(answered)
    assert await stream.settled(None)
    with pytest.raises(UsageError, match=r"await progress\.settled"):
        stream.settle(None)


async def test_steps_are_carried_out_and_what_ends_a_wait_is_thrown_into_them() -> None:
    ended: list[type[BaseException]] = []

    def steps(answer: Answer) -> Steps[str]:
        try:
            first = yield partial(answer.wait, FOREVER, "a question")
            second = yield partial(answer.wait, FOREVER, "a question")
            return f"{first} {second}"
        except BaseException as error:
            ended.append(type(error))
            raise

    answer = Answer(Deadlines())
    await soon(answer.resolve, "yes")
    assert await finished(steps(answer)) == "yes yes"
    task = asyncio.create_task(finished(steps(Answer(Deadlines()))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [asyncio.CancelledError]
