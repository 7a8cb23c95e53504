"""Server-sent events of the gateway as a part of a site: as `zchat web` sends them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import zchat
from tests.loop import until
from tests.running import DEADLINE
from tests.web.asgi import Line, connected
from zchat.broker import Broker
from zchat.web import App
from zchat.web.core import limits

SITE = "https://site.example"


def nobody(scope: Any) -> None:
    """Let in nobody in particular."""


@pytest.fixture
def app(broker: Broker, tmp_path: Path) -> App:
    (tmp_path / "index.html").write_text("<p>a page</p>")
    return App(broker.url, authenticate=nobody, page=tmp_path, public=["*"], origins=[SITE])


def live(app: App, room: str, *headers: tuple[str, str], **options: Any) -> Line:
    return Line(app, "http", f"/rooms/{room}/live", *headers, **options)


async def test_they_go_on_after_a_position_by_either_way(app: App, broker: Broker, name: str) -> None:
    async with app, zchat.AsyncClient(broker.url, user="carol") as carol:
        room = await carol.join(name)
        await room.send("one")
        await room.send("two")
        line = live(app, name, query="after=0:0")
        await line.events()
        bodies: list[object] = []
        while len(bodies) < 2:
            last, event = await line.event()
            bodies += [row[3] for row in event["rows"]]
        assert bodies == ["one", "two"]
        await line.end("http")
        await room.send("three")
        for headers, query in (((("last-event-id", last),), ""), ((), f"after={quote(last)}")):
            line = live(app, name, *headers, query=query)
            await line.events()
            assert [row[3] for row in (await line.event())[1]["rows"]] == ["three"]
            await line.end("http")


async def test_what_can_not_be_followed_is_refused(app: App, name: str) -> None:
    async with app:
        for query in ("after=x", "after=0:0&after=0:1"):
            status, _, body = await live(app, name, query=query).answer()
            assert (status, body) == (400, b"the position is none: EPOCH:SEQ\n")
        for headers in ([("last-event-id", "x")], [("last-event-id", "0:0"), ("last-event-id", "0:1")]):
            assert (await live(app, name, *headers).answer())[0] == 400
        assert (await live(app, "nowhere").answer())[0] == 404
        for path in ("/ws", "/rooms/live"):
            assert (await Line(app, "http", path).answer())[0] == 404
        assert (await Line(app, "http", "/healthz").answer())[0] == 200


async def test_the_head_alone_is_an_answer_that_ends(app: App, name: str) -> None:
    async with app:
        status, headers, body = await live(app, name, method="HEAD").answer()
        assert (status, headers["content-type"], body) == (200, "text/event-stream; charset=utf-8", b"")
        assert "connection" not in headers, "that is the server's"


async def test_a_site_that_is_named_may_read_them(app: App, broker: Broker, name: str) -> None:
    async with app, zchat.AsyncClient(broker.url, user="carol") as carol:
        await carol.join(name)
        line = live(app, name, ("origin", SITE))
        headers = await line.events()
        assert headers["access-control-allow-origin"] == SITE
        assert headers["x-content-type-options"] == "nosniff"
        await line.end("http")
        _, headers, _ = await Line(app, "http", "/", ("origin", SITE)).answer()
        assert headers["access-control-allow-origin"] == SITE
        line = live(app, name)
        assert "access-control-allow-origin" not in await line.events()
        await line.end("http")


async def test_a_room_may_have_any_name_wherever_the_application_is_mounted(app: App, broker: Broker) -> None:
    async with app, zchat.AsyncClient(broker.url, user="carol") as carol:
        for name in ("a/b", "é w", "a%2fb"):
            room = await carol.join(name)
            path = f"/rooms/{quote(name, safe='')}/live"
            for before, root in (("", ""), ("/chat", "/chat"), ("", "/chat"), ("/chat", "/chat/")):
                line = Line(app, "http", before + unquote(path), root=root)
                await line.events()
                await room.send(root)
                assert (await line.event())[1]["room"] == name
                await line.end("http")
        for path, status in (("/chat/healthz", 200), ("/chathealthz", 404)):
            assert (await Line(app, "http", path, root="/chat").answer())[0] == status


async def test_they_show_that_they_are_there_and_end_with_the_gateway(
    app: App, broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BEAT_SECONDS", 0.1)
    async with zchat.AsyncClient(broker.url, user="carol") as carol:
        await carol.join(name)
        async with app:
            line = live(app, name)
            await line.events()
            for _ in range(2):
                assert (await line.next())["body"] == b":\n\n"
        while (last := await line.next())["more_body"]:
            assert last["body"] == b":\n\n"
        async with asyncio.timeout(DEADLINE):
            await line.task


async def test_who_takes_nothing_for_two_minutes_is_given_up(
    app: App, broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.2)
    async with app, zchat.AsyncClient(broker.url, user="carol") as carol:
        room = await carol.join(name)
        events = live(app, name)
        await events.events()
        page = Line(app, "websocket", "/ws")
        await page.next()
        await page.ask(op="hello", id=1, version=1)
        await page.ask(op="join", id=2, room=name)
        async with connected(app) as other:
            await other.ask(op="hello", id=1, version=1)
            assert app._requests is not None
            gateway = app._requests.gateway
            assert len(gateway.connected) == 3
            for line in (events, page):
                line.taking.clear()
            await room.send("hello")
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(events.task, page.task)
            assert len(gateway.connected) == 1
            assert gateway.context.counters.lost == 2
            assert (await other.ask(op="join", id=2, room=name))["op"] == "ok"


async def test_who_goes_while_they_begin_takes_no_place(
    app: App, broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app:
        assert app._requests is not None
        gateway = app._requests.gateway
        monkeypatch.setattr(gateway, "channel", lambda room: asyncio.sleep(DEADLINE))
        line = live(app, name)
        await until(lambda: len(gateway.connected) == 1, "it is about to begin")
        line.task.cancel()
        await asyncio.wait([line.task])
        assert not gateway.connected


async def test_the_reason_of_an_end_is_as_long_as_a_frame_may_have_it(app: App, name: str) -> None:
    async with app:
        line = Line(app, "websocket", "/ws")
        await line.next()
        assert app._requests is not None
        (session,) = app._requests.gateway.connected
        session.end(4001, "é" * 100)  # type: ignore[attr-defined]
        closed = await line.next()
        assert (closed["code"], closed["reason"]) == (4001, "é" * 60)
        line.give({"type": "websocket.receive", "text": json.dumps({"op": "hello"})})
        await line.end()
