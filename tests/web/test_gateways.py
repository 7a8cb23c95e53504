"""Several gateways before one broker, and one gateway before several brokers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import zchat
from tests.mortal import Mortal
from tests.web.driver import Page, gateway
from zchat.broker import Broker


@asynccontextmanager
async def two_tabs(broker: Broker, room: str) -> AsyncIterator[tuple[Page, Page, Page]]:
    """Give pages of alice's at two gateways, and one of bob's at the second, which have all joined a room."""
    async with (
        gateway(broker.url) as first,
        gateway(broker.url) as second,
        first.page("alice", room) as here,
        second.page("alice", room) as there,
        second.page("bob", room) as bob,
    ):
        yield here, there, bob


async def event(page: Page, kind: str, **fields: Any) -> dict[str, Any]:
    """Return the next event of a kind with these fields."""
    while True:
        found = await page.until("event")
        if found["kind"] == kind and fields.items() <= found.items():
            return found


async def members(page: Page, room: str) -> list[str]:
    return [each["user"] for each in (await page.ask("members", room=room))["members"]]


async def test_a_user_with_tabs_at_two_gateways_is_there_once_until_the_last_is_gone(broker: Broker, name: str) -> None:
    async with two_tabs(broker, name) as (here, there, bob):
        assert await members(bob, name) == ["alice", "bob"]
        assert (await bob.ask("join", room=name))["members"] == 2
        await here.ask("leave", room=name)
        assert await members(bob, name) == ["alice", "bob"]
        await there.ask("leave", room=name)
        await event(bob, "MemberLeft", user="alice")
        assert await members(bob, name) == ["bob"]


async def test_what_is_said_typed_and_read_in_one_tab_is_shown_at_the_other_gateway_once(
    broker: Broker, name: str
) -> None:
    async with two_tabs(broker, name) as (here, there, bob):
        await here.say(op="typing", room=name, active=True)
        await event(bob, "Typing", user="alice", active=True)
        for number in range(3):
            await here.ask("send", room=name, body=f"here {number}", key=f"h{number}")
            await there.ask("send", room=name, body=f"there {number}", key=f"t{number}")
        said = [f"{where} {number}" for number in range(3) for where in ("here", "there")]
        for page in (here, there, bob):
            assert await page.bodies(6) == said
        await here.say(op="mark", room=name, seq=6)
        await event(there, "ReadMark", user="alice", seq=6)
        await bob.ask("send", room=name, body="the last", key="b")
        for page in (here, there, bob):
            assert await page.bodies(1) == ["the last"]


async def test_a_direct_room_is_followed_at_two_gateways(broker: Broker, name: str) -> None:
    async with two_tabs(broker, name) as (here, there, bob):
        await bob.ask("join", room="@alice")
        await bob.ask("send", room="@alice", body="psst", key="b")
        for page in (here, there):
            assert (await page.until("invited"))["user"] == "bob"
            answer = await page.ask("join", room="@bob", history=10)
            assert [row[3] for row in answer["rows"]] == ["psst"]
        await here.ask("send", room="@bob", body="what?", key="a")
        for page in (here, there, bob):
            assert await page.bodies(1 if page is not bob else 2) == (
                ["what?"] if page is not bob else ["psst", "what?"]
            )


async def test_where_a_gateway_has_died_a_page_goes_on_at_another_one_after_what_it_has_received(
    broker: Broker, name: str
) -> None:
    async with zchat.AsyncClient(broker.url, user="carol") as carol, gateway(broker.url) as second:
        room = await carol.join(name)
        async with gateway(broker.url) as first, first.page("alice", name) as page:
            await page.ask("send", room=name, body="mine", key="k")
            await room.send("received")
            assert await page.bodies(2) == ["mine", "received"]
            position = page.position
            await room.send("on its way")
        await room.send("said meanwhile")
        async with second.page() as page:
            assert (await page.ask("hello", version=1, user="alice", session="the first one's"))["resumed"] is False
            await page.ask("join", room=name, after=position)
            assert await page.bodies(2) == ["on its way", "said meanwhile"]
            assert (await page.ask("send", room=name, body="mine", key="k"))["seq"] == 5, "keys are a gateway's own"


async def test_a_gateway_goes_on_at_its_second_broker_whose_log_is_another_one(broker: Broker, name: str) -> None:
    with zchat.Client(broker.url, user="carol") as carol, Mortal() as first:
        carol.join(name).send_many(["other 1", "other 2"])
        async with gateway([first.url, broker.url]) as place, place.page("alice", name) as page:
            await page.ask("send", room=name, body="before", key="a")
            assert await page.bodies(1) == ["before"]
            first.kill()
            assert (await page.until("link"))["up"] is False
            assert (await page.until("link"))["up"] is True
            gap = await page.until("gap")
            assert (gap["reason"], gap["upto"]) == ("reset", 2)
            assert (await page.ask("send", room=name, body="after", key="b"))["seq"] == 3
            assert await page.bodies(1) == ["after"]
            assert [row[3] for row in (await page.ask("history", room=name))["rows"]] == ["other 1", "other 2", "after"]
            first.start()
            async with place.page("bob", name) as later:
                await later.ask("send", room=name, body="where the others are", key="c")
                assert await page.bodies(1) == ["where the others are"]
