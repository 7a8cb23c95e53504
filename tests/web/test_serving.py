"""Running a gateway: what keeps it from starting, and what ends it."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import zchat
from tests.loop import until
from tests.running import DEADLINE, OWN_HOST
from tests.web.driver import OPEN, gateway
from zchat.broker import Broker
from zchat.errors import AddressError, BadKey, ConnectionLost, KeyRemoved, ProtocolError
from zchat.web import serving
from zchat.web.brokers import READER_WINDOW, Brokers
from zchat.web.core.gateway import Gateway
from zchat.web.serving import running


async def test_it_does_not_start_without_a_broker_or_an_address(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.web.brokers.CONNECT_SECONDS", 0.1)
    with pytest.raises(ConnectionLost):
        async with gateway(f"tcp://{OWN_HOST}:1"):
            pass
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressError, match="can't be listened on"):
        async with gateway(broker.url, metrics=taken.getsockname()):
            pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyRemoved("the key was removed"), "the key was removed"),
        (ProtocolError("what came is no frame"), "what came is no frame"),
        (ValueError("a fault"), "ValueError: a fault"),
        (None, "it was closed"),
    ],
)
async def test_whatever_ends_its_session_with_the_broker_another_one_is_begun(
    broker: Broker, name: str, error: Exception | None, reason: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "zchat.web")
    ends: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    read = Gateway.read

    async def read_at_first(self: Gateway) -> None:
        monkeypatch.setattr(Gateway, "read", read)
        await ends
        if error is not None:
            raise error

    monkeypatch.setattr(Gateway, "read", read_at_first)
    monkeypatch.setattr(serving, "RETRY_FIRST", 0.5)
    async with gateway(broker.url) as place, zchat.AsyncClient(broker.url, user="carol") as carol:
        room = await carol.join(name)
        async with place.page("alice", name) as alice:
            caplog.clear()
            ends.set_result(None)
            assert (await alice.until("link"))["up"] is False
            assert (await place.get("/healthz"))[0] == 503
            await room.send("meanwhile")
            assert (await alice.until("link"))["up"] is True
            assert (await alice.end())[0] == 1012
        assert caplog.messages == [f"{serving.SESSION} fails: {reason}", f"{serving.SESSION} has recovered"]
        assert (await place.get("/healthz"))[0] == 200
        async with place.page("alice") as again:
            await again.ask("join", room=name, after="0:0")
            assert await again.bodies(1) == ["meanwhile"]


async def test_it_tries_less_and_less_often_and_logs_each_reason_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def passing(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    class Failing(Brokers):
        def reader(self) -> zchat.AsyncClient:
            if waits and len(waits) < 8:
                raise BadKey("the key is gone") if len(waits) < 5 else OSError("the disk, too")
            return super().reader()

    async def ends(self: Gateway) -> None:
        raise KeyRemoved("the key was removed")

    async with running(Failing(broker.url, None, None), OPEN, 10) as (_, _):
        monkeypatch.setattr(asyncio, "sleep", passing)
        monkeypatch.setattr(Gateway, "read", ends)
        async with asyncio.timeout(DEADLINE):
            while len(waits) < 12:
                await sleep(0)
            assert waits[:12] == [1, 2, 4, 8, 16, *[30] * 7]
            monkeypatch.setattr(serving, "RETRY_MAX", 0.0)  # as if that session had lasted longer than that
            while waits.count(1) < 2:
                await sleep(0)
        monkeypatch.undo()
    reasons = ["the key was removed", "the key is gone", "OSError: the disk, too", "the key was removed"]
    assert caplog.messages[:4] == [f"{serving.SESSION} fails: {reason}" for reason in reasons]


async def test_a_fault_that_ends_the_reading_altogether_is_raised_at_the_end(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(reason: str) -> None:
        raise OSError("the log's handler fails")

    monkeypatch.setattr(serving, "_trouble", raises)

    async def run() -> None:
        async with running(Brokers(broker.url, None, None), OPEN, 10) as (found, reading):
            await found.reader.close(0)
            await asyncio.wait([reading], timeout=DEADLINE)
            assert not found.reading

    with pytest.raises(OSError, match="handler fails"):
        await run()

    async def fails(gateway: Gateway, brokers: Brokers) -> None:
        raise OSError("the log's handler fails")

    monkeypatch.setattr(serving, "_read", fails)
    with pytest.raises(OSError, match="handler fails"):
        async with gateway(broker.url):
            pass


async def test_what_is_said_while_the_gateway_has_other_things_to_do_comes_in_few_frames(
    broker: Broker, name: str
) -> None:
    with zchat.Client(broker.url, user="carol") as carol:
        room = carol.join(name)
        async with running(Brokers(broker.url, None, None), OPEN, 10) as (gateway, _):
            channel = await gateway.channel(name)
            for number in range(50):
                room.send(number)  # which holds the loop up
            await until(lambda: channel.position.seq == 50, "all is read")
            assert gateway.context.counters.rows == 50
            assert gateway.context.counters.frames <= 2 * READER_WINDOW


async def test_pages_come_over_tls_too(broker: Broker, certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with gateway(broker.url, tls=context) as place:
        assert place.url.startswith("https://")
        async with connect(f"wss://localhost:{place.port}/ws", ssl=trusting) as page:
            await page.send('{"op":"hello","id":1,"version":1,"user":"alice"}')
            assert '"ok"' in str(await page.recv())
