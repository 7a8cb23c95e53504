"""Server-sent events, as the gateway's own server sends them."""

from __future__ import annotations

import asyncio
import json

import zchat
from tests.running import DEADLINE
from tests.web.core.harness import House
from tests.web.driver import OPEN, Place, gateway
from tests.web.test_server import connected
from zchat.broker import Broker
from zchat.web.core import limits
from zchat.web.core.letting_in import LettingIn, Patterns


async def events(place: Place, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
    return reader, writer


async def test_a_public_room_may_have_a_slash_in_its_name(broker: Broker) -> None:
    doors = OPEN._replace(public=Patterns(["a/*"]))
    async with gateway(broker.url, doors) as place, zchat.AsyncClient(broker.url, user="carol") as carol:
        room = await carol.join("a/b")
        for path in ("a%2Fb", "a/b"):
            reader, writer = await events(place, f"/rooms/{path}/live")
            await reader.readuntil(b"retry: 2000\n\n")
            await room.send(path)
            _, data = await event(reader)
            assert [row[3] for row in data["rows"]] == [path]  # type: ignore[attr-defined]
            writer.close()


async def event(reader: asyncio.StreamReader) -> tuple[str, dict[str, object]]:
    async with asyncio.timeout(DEADLINE):
        number, data, _ = (await reader.readuntil(b"\n\n")).split(b"\n", 2)
    return number.removeprefix(b"id: ").decode(), json.loads(data.removeprefix(b"data: "))


async def test_a_public_room_is_followed_as_server_sent_events_and_goes_on_after_the_last(broker: Broker) -> None:
    async with gateway(broker.url) as place, zchat.AsyncClient(broker.url, user="carol") as carol:
        room = await carol.join("public room")
        await room.send("zero")
        reader, writer = await events(place, "/rooms/public%20room/live")
        head = await reader.readuntil(b"retry: 2000\n\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream")
        await room.send("one")
        last, data = await event(reader)
        assert (data["op"], data["position"]) == ("messages", last)
        writer.close()
        await room.send("two")
        for path, headers in (("", [f"Last-Event-ID: {last}"]), (f"?after={last}", [])):
            reader, writer = await events(place, f"/rooms/public%20room/live{path}", *headers)
            await reader.readuntil(b"retry: 2000\n\n")
            _, data = await event(reader)
            assert [row[3] for row in data["rows"]] == ["two"]  # type: ignore[attr-defined]
            writer.close()


def test_one_who_takes_nothing_after_the_end_is_given_up() -> None:
    house = House(LettingIn(open_to_all=True, public=Patterns(["news"])))
    house.broker.log("news")
    browser, transport = connected(house)
    browser.take(b"GET /rooms/news/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    house.world.run()
    assert b"retry: 2000" in transport.written
    house.put_out("zchat web", "news")
    assert (transport.closed, transport.aborted) == (True, False)
    house.passes(limits.CLOSING_SECONDS)
    assert transport.aborted
