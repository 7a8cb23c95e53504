"""The gateway as a part of a site."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.running import DEADLINE
from tests.web.asgi import Line, connected
from zchat.broker import Broker
from zchat.errors import ConnectionLost, UsageError
from zchat.web import App
from zchat.web.brokers import Brokers
from zchat.web.core import limits

Scope = Mapping[str, Any]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<p>a page</p>")
    return tmp_path


def user_of(scope: Scope) -> str | None:
    """Return the user whom the site's login has put into a cookie."""
    cookies = dict(scope["headers"]).get(b"cookie", b"").decode()
    return cookies.removeprefix("user=") or None


async def test_users_are_those_whom_the_site_has_let_in(broker: Broker, page: Path, name: str) -> None:
    async with (
        App(broker.url, authenticate=user_of, page=page) as app,
        connected(app, ("cookie", "user=alice"), ("origin", "https://site.example")) as alice,
        zchat.AsyncClient(broker.url, user="bob") as bob,
    ):
        assert (await alice.ask(op="hello", id=1, version=1))["user"] == "alice"
        assert (await alice.ask(op="join", id=2, room=name))["op"] == "ok"
        room = await bob.join(name)
        await alice.ask(op="send", id=3, room=name, body="hi", key="k")
        async for message in room.messages(DEADLINE):
            assert (message.user, message.body) == ("alice", "hi")
            break


@pytest.mark.parametrize("wrong", [5, b"alice", True, ["alice"], object()])
async def test_what_is_no_name_is_said_to_be_none(broker: Broker, page: Path, wrong: Any) -> None:
    async def later(scope: Scope) -> Any:
        return wrong

    for authenticate in (lambda scope: wrong, later):
        async with App(broker.url, authenticate=authenticate, page=page, public=["pub"]) as app:
            for line in (Line(app, "websocket", "/ws"), Line(app, "http", "/rooms/pub/live")):
                with pytest.raises(UsageError, match="authenticate returns a user's name, or None for nobody, not "):
                    await line.task
                assert line.sent.empty(), "the server answers with 500, and logs it"


@pytest.mark.parametrize("wrong", ["", "\ud800", "a" * 500, "@bob", "a\nb"])
async def test_a_name_that_nobody_can_have_is_refused_as_such(broker: Broker, page: Path, wrong: str) -> None:
    async with App(broker.url, authenticate=lambda scope: wrong, page=page) as app, connected(app) as line:
        assert (await line.ask(op="hello", id=1, version=1))["code"] == "bad_name"
        assert (await line.next())["code"] == 4001


async def test_it_runs_once_at_a_time_and_in_one_loop(broker: Broker, page: Path) -> None:
    app = App(broker.url, authenticate=user_of, page=page)
    both = await asyncio.gather(app.__aenter__(), app.__aenter__(), return_exceptions=True)
    assert both[0] is app
    assert isinstance(both[1], UsageError)
    with pytest.raises(UsageError, match="runs already"):
        await app.__aenter__()

    def in_another_loop() -> None:
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(app.__aexit__(None, None, None))
        with pytest.raises(UsageError, match="another event loop"):
            asyncio.run(app({"type": "websocket"}, None, None))  # type: ignore[arg-type]

    await asyncio.to_thread(in_another_loop)
    async with connected(app, ("cookie", "user=alice")) as alice:
        assert (await alice.ask(op="hello", id=1, version=1))["op"] == "ok", "it runs on"
    for _ in range(2):
        await app.__aexit__(None, None, None)
    async with app, connected(app, ("cookie", "user=alice")) as alice:
        assert (await alice.ask(op="hello", id=1, version=1))["op"] == "ok", "and again"


async def test_after_a_failed_beginning_it_may_begin_again(
    broker: Broker, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(broker.url, authenticate=user_of, page=page)

    def away(brokers: Brokers) -> None:
        raise ConnectionLost("no broker answered")

    with monkeypatch.context() as patched:
        patched.setattr(Brokers, "reader", away)
        with pytest.raises(ConnectionLost):
            await app.__aenter__()
    async with app, connected(app, ("cookie", "user=alice")) as alice:
        assert (await alice.ask(op="hello", id=1, version=1))["op"] == "ok"


async def test_others_are_not_accepted(broker: Broker, page: Path) -> None:
    async with App(broker.url, authenticate=user_of, page=page, max_connections=1) as app:
        for headers in ([], [("cookie", "user=alice"), ("origin", "https://evil.example")]):
            line = Line(app, "websocket", "/ws", *headers)
            assert await line.next() == {"type": "websocket.close", "code": 1008}
            await line.task
        async with connected(app, ("cookie", "user=alice")):
            line = Line(app, "websocket", "/ws", ("cookie", "user=bob"))
            assert await line.next() == {"type": "websocket.close", "code": 1008}
            await line.task


async def test_a_command_that_is_too_long_ends_the_connection(broker: Broker, page: Path) -> None:
    async with App(broker.url, authenticate=user_of, page=page) as app:
        line = Line(app, "websocket", "/ws", ("cookie", "user=alice"))
        await line.next()
        line.give({"type": "websocket.receive", "text": "é" * (limits.MAX_COMMAND // 2 + 1)})
        assert (await line.next())["code"] == 1009
        await line.end()


async def test_others_have_their_turns_while_a_server_has_many_commands_ready_and_after_its_end_none_is_taken(
    broker: Broker, page: Path
) -> None:
    async with App(broker.url, authenticate=user_of, page=page) as app:
        line = Line(app, "websocket", "/ws", ("cookie", "user=alice"))
        await line.next()
        await line.ask(op="hello", id=1, version=1)
        line.taking.clear()
        for _ in range(2_000):
            line.give({"type": "websocket.receive", "text": '{"op":"typing","room":"x","active":true}'})
        left = [line.left()]
        for _ in range(3_000):
            await asyncio.sleep(0)
            left.append(line.left())
        assert max(before - after for before, after in pairwise(left)) <= 2
        most = limits.COMMANDS_BURST + limits.REFUSALS_BURST
        assert 2_000 - most - 100 < left[-1] <= 2_000 - most
        line.taking.set()
        while (found := await line.next())["type"] != "websocket.close":
            pass
        assert found["code"] == 4029
        await line.task


async def test_it_serves_its_page_below_where_it_is_mounted_and_public_rooms(broker: Broker, page: Path) -> None:
    async def nobody(scope: Scope) -> None:
        return None

    async def get(app: App, path: str, *headers: tuple[str, str]) -> tuple[int, bytes]:
        status, _, body = await Line(app, "http", path, *headers, root="/chat").answer()
        return status, body

    async with (
        App(broker.url, authenticate=nobody, page=page, public=["pub*"]) as app,
        zchat.AsyncClient(broker.url, user="bob") as bob,
    ):
        assert await get(app, "/chat/") == (200, b"<p>a page</p>")
        assert (await get(app, "/chat/nothing"))[0] == 404
        assert (await get(app, "/chat/", ("origin", "https://evil.example")))[0] == 403
        assert (await get(app, "/chat/rooms/secret/live"))[0] == 404
        assert (await get(app, "/chat/rooms/public-nowhere/live"))[0] == 404
        room = await bob.join("pub")
        line = Line(app, "http", "/chat/rooms/pub/live", root="/chat")
        await line.events()
        sent = await room.send("news")
        number, event = await line.event()
        assert (event["position"], event["rows"][0][0]) == (number, sent.seq)
        await line.end("http")


async def test_what_is_mounted_is_connected_in_the_sites_own_lifespan(broker: Broker, page: Path) -> None:
    fastapi = pytest.importorskip("fastapi")
    chat = App(broker.url, authenticate=user_of, page=page)

    @asynccontextmanager
    async def lifespan(site: Any) -> AsyncIterator[None]:
        async with chat:
            yield

    site = fastapi.FastAPI(lifespan=lifespan)
    site.mount("/chat", chat)
    async with site.router.lifespan_context(site):
        line = Line(site, "websocket", "/chat/ws", ("cookie", "user=alice"))
        assert (await line.next())["type"] == "websocket.accept"
        assert (await line.ask(op="hello", id=1, version=1))["user"] == "alice"
        await line.end()
        line = Line(site, "http", "/chat/")
        await line.task
        assert (await line.next())["status"] == 200


async def test_alone_it_is_connected_by_the_servers_lifespan_and_says_bye_at_the_end(
    broker: Broker, page: Path
) -> None:
    app = App(broker.url, authenticate=user_of, page=page)
    with pytest.raises(UsageError, match="async with"):
        await app({"type": "http"}, None, None)  # type: ignore[arg-type]
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, asked.get, said.put))
    asked.put_nowait({"type": "lifespan.startup"})
    assert await said.get() == {"type": "lifespan.startup.complete"}
    line = Line(app, "websocket", "/ws", ("cookie", "user=alice"))
    await line.next()
    await line.ask(op="hello", id=1, version=1)
    asked.put_nowait({"type": "lifespan.shutdown"})
    assert json.loads((await line.next())["text"])["op"] == "bye"
    assert (await line.next())["code"] == 1012
    assert await said.get() == {"type": "lifespan.shutdown.complete"}
    await life
    await line.end()


async def test_without_a_broker_the_server_is_told_why_it_does_not_start(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.web.brokers.CONNECT_SECONDS", 0.1)
    app = App("tcp://127.0.0.1:1", authenticate=user_of, page=page)
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert said[0]["type"] == "lifespan.startup.failed"
    assert "no broker answered" in said[0]["message"]
    with pytest.raises(UsageError, match="authenticate"):
        App(authenticate=None, page=page)  # type: ignore[arg-type]


async def test_a_page_that_takes_nothing_holds_what_its_connection_has_place_for(
    broker: Broker, page: Path, name: str
) -> None:
    async with (
        App(broker.url, authenticate=user_of, page=page) as app,
        zchat.AsyncClient(broker.url, user="bob") as bob,
        connected(app, ("cookie", "user=alice")) as alice,
    ):
        await alice.ask(op="hello", id=1, version=1)
        await alice.ask(op="join", id=2, room=name)
        alice.taking.clear()
        room = await bob.join(name)
        await room.send_many(["x" * 1000] * 1000)
        alice.taking.set()
        seen = 0
        taken = 0
        while seen < 1000:
            found = json.loads((await alice.next())["text"])
            if found["op"] == "messages":
                seen, taken = seen + len(found["rows"]), taken + 1
                alice.give(
                    {
                        "type": "websocket.receive",
                        "text": json.dumps({"op": "ack", "room": name, "taken": taken}),
                    }
                )


async def test_it_goes_on_by_itself_once_it_can_where_its_session_with_the_broker_has_ended(
    broker: Broker, page: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        App(broker.url, authenticate=user_of, page=page) as app,
        zchat.AsyncClient(broker.url, user="bob") as bob,
        connected(app, ("cookie", "user=alice")) as alice,
    ):
        room = await bob.join(name)
        await alice.ask(op="hello", id=1, version=1)
        await alice.ask(op="join", id=2, room=name)
        assert app._requests is not None
        await app._requests.gateway.reader.close(0)
        assert json.loads((await alice.next())["text"]) == {"op": "link", "up": False}
        assert (await Line(app, "http", "/healthz").answer())[0] == 503
        await room.send("meanwhile")
        assert json.loads((await alice.next())["text"]) == {"op": "link", "up": True}
        assert json.loads((await alice.next())["text"])["op"] == "bye"
        assert (await alice.next())["code"] == 1012
        async with connected(app, ("cookie", "user=alice")) as again:
            await again.ask(op="hello", id=1, version=1)
            await again.ask(op="join", id=2, room=name, after="0:0")
            assert json.loads((await again.next())["text"])["rows"][0][3] == "meanwhile"
