"""Running a gateway: what keeps it from starting, and what ends it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import zchat
from tests.loop import until
from tests.running import OWN_HOST
from tests.web.driver import OPEN, gateway
from zchat.broker import Broker
from zchat.errors import AddressError, ConnectionLost, KeyRemoved
from zchat.web.brokers import READER_WINDOW, Brokers
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


async def test_it_ends_with_its_session_with_the_broker(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def removed(self: object) -> None:
        raise KeyRemoved("the key was removed")

    monkeypatch.setattr("zchat.web.core.gateway.Gateway.read", removed)
    with pytest.raises(KeyRemoved):
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
