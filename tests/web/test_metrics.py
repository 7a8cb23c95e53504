"""The gateway's figures."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress

import pytest

from tests.running import DEADLINE
from tests.web.core.harness import House
from tests.web.driver import gateway
from zchat.broker import Broker
from zchat.web import metrics
from zchat.web.core.counters import Counters
from zchat.web.metrics import lines


def test_every_count_is_there_and_labels_say_of_what() -> None:
    house = House()
    house.page("alice", "General").session.receive(b"nonsense")
    text = "\n".join(lines(house.gateway))
    for name in vars(Counters()):
        assert f"# TYPE zchat_web_{name}_total counter" in text
    assert 'zchat_web_closed_total{code="4002"} 1' in text
    assert 'zchat_web_refused_total{code="malformed"} 1' in text
    assert "zchat_web_users 1" in text
    assert "alice" not in text
    assert all(
        re.fullmatch(r"(# (HELP|TYPE) .*|[a-z_]+(\{[a-z]+=\"[^\"]*\"\})? \d+)", line) for line in text.split("\n")
    )
    assert isinstance(house.gateway.context.counters.refused, Counter)


async def test_they_are_served_at_an_address_of_their_own_and_not_to_pages(broker: Broker) -> None:
    async with gateway(broker.url, metrics=("127.0.0.1", 0)) as place, place.page("alice", "General"):
        assert place.figures is not None
        port = int(place.figures.rsplit(":", 1)[1].split("/")[0])

        async def get(head: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

        answer = await get(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\nzchat_web_connections 1\n" in answer
        assert b" 403 " in await get(b"GET /metrics HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n")
        assert b" 405 " in await get(b"POST /metrics HTTP/1.1\r\n\r\n")
        assert await get(b"x" * 20_000) == b""


async def test_connections_for_figures_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_SCRAPES", 3)
    monkeypatch.setattr(metrics, "GREETING_SECONDS", 0.1)
    figures = metrics.Metrics(House().gateway)
    port = await figures.listen("127.0.0.1", 0)
    writers: list[asyncio.StreamWriter] = []

    async def ask(head: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(head)
        return reader

    async def answer(reader: asyncio.StreamReader) -> bytes:
        with suppress(ConnectionResetError):
            return await reader.read()
        return b""

    async def until(count: int) -> None:
        while len(figures.scrapes) != count:
            await asyncio.sleep(0.001)

    async with asyncio.timeout(DEADLINE):
        assert await answer(await ask()) == b"", "it asks for nothing"
        await until(0)
        monkeypatch.setattr(metrics, "GREETING_SECONDS", 2 * DEADLINE)
        for _ in range(3):
            await ask()
        await until(3)
        assert await answer(await ask(b"GET / HTTP/1.1\r\n\r\n")) == b"", "there are three"
        writers[1].close()
        await until(2)
        assert (await answer(await ask(b"GET / HTTP/1.1\r\n\r\n"))).startswith(b"HTTP/1.1 200 OK\r\n")
        figures.close()
        await until(0)
    for writer in writers:
        writer.close()
