"""A room in an event loop: sending, and what a cancelled call leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import zchat
from tests.loop import until
from tests.mortal import Mortal
from tests.running import DEADLINE
from zchat.aio.waiting import TURN_MESSAGES
from zchat.broker import Broker


async def test_what_is_sent_is_stored_and_read(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        sent = await room.send({"any": ["value"]})
        assert (sent.seq, sent.user, sent.room) == (1, "alice", name)
        assert await room.history() == [sent]
        assert [member.user for member in await room.members()] == ["alice"]
        room.typing()
        room.mark_read()
        assert await client.mark_read(name, 1) == 1
        await room.leave()
        with pytest.raises(zchat.NotAMember):
            await room.send("x")


async def test_many_tasks_send_at_once_and_each_knows_its_message(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        sent = await asyncio.gather(*(room.send(number) for number in range(500)))
        assert sorted(message.seq for message in sent) == list(range(1, 501))
        assert {message.seq: message.body for message in sent} == {
            message.seq: message.body for message in await room.history(limit=500)
        }


async def test_asynchronous_bodies_are_sent_as_they_come(broker: Broker, name: str) -> None:
    async def source() -> AsyncIterator[int]:
        yield 0
        await until(lambda: progress.stored == 1, "the first is stored")
        for number in range(1, 50):
            yield number

    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room, progress = await client.join(name), zchat.Progress()
        assert await room.send_many(source(), progress=progress) == 50
        assert [message.body for message in await room.history(limit=50)] == list(range(50))
        assert await room.send_many(bodies=[]) == 0


async def test_what_the_bodies_raise_comes_through_and_so_does_a_body_that_can_not_be_sent(
    broker: Broker, name: str
) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        with pytest.raises(LookupError):
            await room.send_many(source())
        with pytest.raises(zchat.UsageError) as failed:
            await room.send_many([1, 2, object()])
        assert failed.value.stored == 2
        with pytest.raises(zchat.UsageError, match="list of bodies"):
            await room.send_many("one text")


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        zchat.DeadlineExceeded("not sent, and never will be"),
        zchat.UsageError("of another call"),
        zchat.MessageTooLarge("of another broker"),
        asyncio.CancelledError("of another task"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_asynchronous_bodies_raise_comes_through_as_it_is(
    broker: Broker, name: str, error: BaseException
) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(2_000):
            yield number
        raise error

    if isinstance(error, zchat.ZchatError):
        error.stored = 7_000
    error.__cause__ = cause = LookupError("why")
    before = (error.args, vars(error).copy())
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room, progress = await client.join(name), zchat.Progress()
        with pytest.raises(type(error)) as raised:
            await room.send_many(source(), progress=progress)
        assert raised.value is error
        assert (error.args, vars(error), error.__cause__) == (*before, cause)
        assert await progress.settled(DEADLINE)
        bodies = [message.body for message in await room.history(limit=3_000)]
        assert bodies == list(range(progress.stored)), "and nothing else ever is"


async def test_others_have_their_turn_while_many_are_sent(broker: Broker, name: str) -> None:
    turns = 0

    def bodies() -> Iterator[int]:
        for number in range(5 * TURN_MESSAGES):
            seen.append(turns)
            yield number

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        seen: list[int] = []
        other = asyncio.create_task(count())
        assert await room.send_many(bodies()) == 5 * TURN_MESSAGES
        other.cancel()
        assert len(set(seen[TURN_MESSAGES - 1 :: TURN_MESSAGES])) == 5


async def test_progress_is_settled_by_a_task(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room, progress = await client.join(name), zchat.Progress()
        assert await progress.settled(0)
        assert progress.settle(0)
        await room.send_many(range(10), progress=progress)
        assert await progress.settled(DEADLINE)
        assert (progress.stored, progress.last, progress.unanswered) == (10, 10, 0)
        with pytest.raises(zchat.UsageError, match=r"await progress.settled\(timeout\)"):
            progress.settle(DEADLINE)


async def test_progress_of_a_thread_is_not_settled_by_a_task(broker: Broker, name: str) -> None:
    def send() -> zchat.Progress:
        with zchat.Client(broker.url, user="alice") as client:
            progress = zchat.Progress()
            client.join(name).send_many(range(3), progress=progress)
            return progress

    with pytest.raises(zchat.UsageError, match=r"progress\.settle"):
        await (await asyncio.to_thread(send)).settled(1)


# -- cancelling --------------------------------------------------------------------------------------------


async def test_a_message_that_did_not_go_out_is_never_sent_once_its_call_is_cancelled() -> None:
    with Mortal() as mortal:
        async with zchat.AsyncClient(mortal.url, user="alice", timeout=DEADLINE) as client:
            room = await client.join("General")
            mortal.freeze()
            out = [asyncio.create_task(room.send(number)) for number in range(4)]  # the blocks in flight, one a turn
            for _ in out:
                await asyncio.sleep(0.02)
            kept, given_up = (asyncio.create_task(room.send(body)) for body in ("kept", "given up"))
            await asyncio.sleep(0.02)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            mortal.thaw()
            await asyncio.gather(*out, kept)
            said = [message.body for message in await room.history()]
            assert "kept" in said
            assert len(said) in (5, 6), "what had gone out with the others' blocks may be stored"


async def test_a_send_many_that_is_cancelled_is_stored_up_to_where_its_progress_says() -> None:
    with Mortal() as mortal:
        async with zchat.AsyncClient(mortal.url, user="alice", timeout=DEADLINE) as client:
            room, progress = await client.join("General"), zchat.Progress()
            all_given = asyncio.Event()

            async def source() -> AsyncIterator[int]:
                for number in range(100):
                    yield number
                await until(lambda: progress.stored == 100, "they are stored")
                mortal.freeze()
                for number in range(100, 6_000):
                    yield number
                all_given.set()
                await asyncio.Event().wait()

            sending = asyncio.create_task(room.send_many(source(), progress=progress))
            await all_given.wait()
            await until(lambda: progress.unanswered, "some are on their way")
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            gone_out = progress.stored + progress.unanswered
            mortal.thaw()
            assert await progress.settled(DEADLINE)
            stored = progress.stored
            assert 100 < stored == gone_out <= 4_100, "four blocks are in flight"
            said = [message.body for message in await room.history(after=0, limit=20_000)]
            assert said == list(range(stored)), "and nothing else ever is"


async def test_a_question_that_is_cancelled_is_dropped_and_the_next_one_gets_its_own_answer(
    broker: Broker, name: str
) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        await room.send_many(range(10))
        for turns in range(60):
            asking = asyncio.create_task(client.rooms())
            for _ in range(turns % 6):
                await asyncio.sleep(0)
            if turns % 3 == 0:
                await asyncio.sleep(0.001)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert len(await room.history(limit=turns % 10)) == turns % 10


async def test_a_leave_that_is_cancelled_has_left_the_room(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        leaving = asyncio.create_task(room.leave())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        with pytest.raises(zchat.NotAMember):
            await room.send("x")
        assert await client.join(name) is not room
