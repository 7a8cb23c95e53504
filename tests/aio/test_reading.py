"""Iterating over what comes: breaking off, being cancelled, several tasks, and everybody else's turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from math import inf

import pytest

import zchat
from tests.loop import until
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.messages import Batch


async def bodies(room: zchat.AsyncRoom, count: int) -> list[object]:
    """Take as many messages, and break off."""
    found: list[object] = []
    async for message in room.messages(DEADLINE):
        found.append(message.body)
        if len(found) == count:
            break
    return found


async def every(client: zchat.AsyncClient) -> list[zchat.Event]:
    """Take all events."""
    return [event async for event in client.events()]


async def test_who_breaks_off_at_every_message_is_given_each_once_and_in_order(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        said, heard = await a.join(name), await b.join(name)
        await said.send_many(range(30))
        found = [each for _ in range(30) for each in await bodies(heard, 1)]
        assert found == list(range(30))
        assert heard.position.seq == 30
        assert [message async for message in heard.messages(0)] == []


async def test_a_batch_is_what_is_left_of_what_came_together(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        said, heard = await a.join(name), await b.join(name)
        await said.send_many(range(500))
        assert await bodies(heard, 1) == [0]
        found: list[object] = []
        async for batch in heard.batches(DEADLINE):
            assert batch.position == heard.position
            found += batch.bodies
            if batch.last == 500:
                break
        assert found == list(range(1, 500))


async def test_a_reader_that_is_cancelled_holds_no_message(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        said, heard = await a.join(name), await b.join(name)
        taken: list[object] = []

        async def read() -> None:
            async for message in heard.messages():
                taken.append(message.body)
                await asyncio.sleep(0)

        for number in range(50):
            reader = asyncio.create_task(read())
            await said.send_many(range(10 * number, 10 * number + 10))
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        taken += await bodies(heard, 500 - len(taken)) if len(taken) < 500 else []
        assert taken == list(range(500))


async def test_of_tasks_that_read_one_room_each_has_others(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        said, heard = await a.join(name), await b.join(name)
        taken: Counter[object] = Counter()

        async def read() -> None:
            async for message in heard.messages():
                taken[message.body] += 1
                await asyncio.sleep(0)

        readers = [asyncio.create_task(read()) for _ in range(4)]
        await said.send_many(range(2_000))
        await until(lambda: taken.total() == 2_000, "all are taken")
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert set(taken) == set(range(2_000))


async def test_others_have_their_turn_though_everything_is_there(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        said, heard = await a.join(name), await b.join(name)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        for number in range(8):
            await said.send(number)
        await until(lambda: heard._inbox.cursor.received == 8, "all is there")
        other = asyncio.create_task(count())
        found = await bodies(heard, 8)
        before = turns
        assert found == list(range(8))
        assert before >= 7, "one between two of what came"
        other.cancel()


@pytest.mark.parametrize("seconds", [0, inf])
async def test_batches_of_events_that_are_there_are_taken_together_for_a_while(
    broker: Broker, name: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.aio.reading.TURN_SECONDS", seconds)
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        rooms = [(await a.join(f"{name} {number}"), await b.join(f"{name} {number}")) for number in range(8)]
        turns: list[int] = []
        count = 0

        async def look() -> None:
            nonlocal count
            while True:
                count += 1
                await asyncio.sleep(0)

        events = b.events(batches=True)
        for said, _ in rooms:
            await said.send("x")
        await until(lambda: all(heard._inbox.cursor.received == 1 for _, heard in rooms), "all is there")
        other = asyncio.create_task(look())
        async for event in events:
            if isinstance(event, Batch):
                turns.append(count)
            if len(turns) == 8:
                break
        assert len(set(turns)) <= 2 if seconds else len(set(turns)) == 8
        other.cancel()


async def test_silence_ends_a_loop_and_a_close_does_and_a_refusal_is_raised(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        room = await a.join(name)
        assert [message async for message in room.messages(0.01)] == []
        waiting = asyncio.create_task(bodies(room, 1))
        events = asyncio.create_task(every(b))
        await asyncio.sleep(0.01)
        await a.close()
        assert await waiting == []
        await b.close()
        assert await events == []


async def test_a_gap_is_raised_between_messages_and_an_event_among_events(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        await (await a.join(name)).send_many(range(5))
        lost = zchat.Position(12345, 3)
        gapped = await b.join(name, after=lost)
        with pytest.raises(zchat.GapError):
            await anext(gapped.messages(DEADLINE))
        assert [message async for message in gapped.messages(0)] == []
    async with zchat.AsyncClient(broker.url, user="c") as c:
        await c.join(name, after=lost)
        assert await anext(c.events(DEADLINE)) == zchat.Gap(name, 3, 5, zchat.GapReason.RESET)


async def test_events_of_all_rooms_come_in_their_order_whoever_breaks_off(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="a") as a, zchat.AsyncClient(broker.url, user="b") as b:
        rooms = [await a.join(f"{name} {number}") for number in range(3)]
        for room in rooms:
            await b.join(room.name)
        for number in range(5):
            for room in rooms:
                await room.send(number)
        heard: dict[str, list[object]] = {room.name: [] for room in rooms}
        while sum(map(len, heard.values())) < 15:
            async for event in b.events(DEADLINE):
                if isinstance(event, zchat.Message):
                    heard[event.room].append(event.body)
                    break
        assert all(found == list(range(5)) for found in heard.values())
        with pytest.raises(zchat.UsageError, match="events"):
            (await b.join(rooms[0].name)).messages()


async def test_credit_goes_back_for_what_is_taken_one_by_one(broker: Broker, name: str) -> None:
    b = zchat.AsyncClient(broker.url, user="b", high_water_mark=2)
    async with zchat.AsyncClient(broker.url, user="a") as a, b:
        said, heard = await a.join(name), await b.join(name)
        for number in range(40):  # far more than may be unacknowledged
            await said.send(number)
            assert await bodies(heard, 1) == [number]
