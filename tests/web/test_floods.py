"""Whatever one connection sends, and however much, the others have their turns."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from tests.running import DEADLINE
from tests.web.core.harness import House
from tests.web.driver import Place, gateway
from tests.web.test_server import UPGRADE, Stalled, connected, greeted
from zchat.broker import Broker
from zchat.web import server
from zchat.web.core import limits
from zchat.web.tls import tls_context

SMALLEST = 6
"""Bytes of a frame that says nothing."""


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def command(**fields: object) -> bytes:
    return frame(Opcode.TEXT, json.dumps(fields).encode())


FLOODS: dict[str, tuple[bytes, int]] = {
    "pongs": (frame(Opcode.PONG), 4029),
    "pings": (frame(Opcode.PING), 4029),
    "empty parts of a command": (frame(Opcode.CONT, fin=False), 4029),
    "what is no command": (frame(Opcode.TEXT, b"{}"), 4002),
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[server.Browser]:
    """Give how many frames of each connection were parsed."""
    found: Counter[server.Browser] = Counter()
    before = server.Browser._frame

    def counted(self: server.Browser, one: Frame) -> None:
        found[self] += 1
        before(self, one)

    monkeypatch.setattr(server.Browser, "_frame", counted)
    return found


@asynccontextmanager
async def stranger(
    place: Place, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a WebSocket that has yet to say hello, as bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=tls)
    writer.write(UPGRADE.format(host="localhost", more="").encode())
    await reader.readuntil(b"\r\n\r\n")
    yield reader, writer
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def contexts(
    certificate: tuple[Path, Path], *, encrypted: bool
) -> tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None]:
    """Return what a gateway and a page agree upon TLS with."""
    if not encrypted:
        return None, None
    theirs = ssl.create_default_context(cafile=str(certificate[0]))
    theirs.check_hostname = False
    return tls_context(*map(str, certificate)), theirs


async def last_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end, whatever that is."""
    found = b""
    async with asyncio.timeout(DEADLINE):
        with suppress(ConnectionError):
            while more := await reader.read(4096):
                found += more
    return found


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("is_in", [False, True], ids=["a stranger", "who is in"])
async def test_who_floods_is_closed_with_a_reason_and_little_of_it_is_parsed(
    broker: Broker, parsed: Counter[server.Browser], kind: str, is_in: bool
) -> None:
    each, code = FLOODS[kind]
    if is_in:
        code = 4029
    async with gateway(broker.url) as place, place.page("alice", "General") as page:
        known = set(parsed)
        async with stranger(place) as (reader, writer):
            if is_in:
                writer.write(command(op="hello", id=1, version=1, user="bob"))
                await reader.readuntil(b'"op":"ok"')
            if kind.startswith("empty"):
                writer.write(frame(Opcode.TEXT, fin=False))
            writer.write(each * 40_000)
            told = await last_of(reader)
        assert code.to_bytes(2, "big") in told
        (flooding,) = set(parsed) - known
        most = limits.FRAMES_BURST if is_in else limits.STRANGER_FRAMES
        if kind == "what is no command":
            most = limits.REFUSALS_BURST
        assert parsed[flooding] <= most + limits.LATE_FRAMES + limits.PORTION / SMALLEST + 10
        assert (await page.ask("rooms"))["op"] == "ok"


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
async def test_of_each_connection_a_portion_is_taken_in_a_turn_of_the_loop(
    broker: Broker, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    taken: Counter[int] = Counter()
    turn = 0
    before = server.Browser.take

    def noted(self: server.Browser, data: bytes) -> None:
        taken[turn] += len(data)
        before(self, data)

    monkeypatch.setattr(server.Browser, "take", noted)

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    ours, theirs = contexts(certificate, encrypted=encrypted)
    async with gateway(broker.url, tls=ours) as place, stranger(place, theirs) as (reader, writer):
        counting = asyncio.create_task(count())
        writer.write(command(op="hello", id=1, version=1, user="alice"))
        await reader.readuntil(b'"op":"ok"')
        for number in range(2, 5):
            writer.write(command(op="rooms", id=number, after="x" * 60_000))
        for number in range(2, 5):
            await reader.readuntil(b'"id":%d' % number)
        counting.cancel()
    assert max(taken.values()) == limits.PORTION
    assert sum(taken.values()) > 180_000


def test_of_many_pings_the_latest_is_answered() -> None:
    _, browser, transport = in_house()
    for data in (b"1", b"2"):
        transport.written = b""
        browser.take(b"".join(frame(Opcode.PING, data + b"%d" % number) for number in range(20)))
        assert transport.written == Frame(Opcode.PONG, data + b"19").serialize(mask=False)


def in_house() -> tuple[House, server.Browser, Stalled]:
    house = House()
    return house, *greeted(house)


def test_after_its_end_a_connection_has_some_frames_to_say_goodbye_and_is_cut_then() -> None:
    house, browser, transport = in_house()
    browser.close(1012, "later")
    transport.written = b""
    assert browser._session is not None
    browser._session.lost()
    for _ in range(limits.LATE_FRAMES):
        browser.take(frame(Opcode.PING))
    assert (transport.aborted, transport.written) == (False, b"")
    browser.take(frame(Opcode.PING))
    house.passes(limits.CUT_SECONDS - 0.1)
    assert (transport.aborted, transport.reading) == (False, False), "why has a moment to reach it"
    house.passes(0.2)
    assert transport.aborted
    assert house.gateway.context.counters.cut == 1


async def test_who_follows_a_room_by_events_and_says_much_is_cut(broker: Broker) -> None:
    async with gateway(broker.url) as place, place.page("alice", "public"):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"GET /rooms/public/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes(limits.LATE_BYTES))
        await asyncio.sleep(0.1)
        assert not reader.at_eof()
        writer.write(bytes(10 * limits.PORTION))
        await last_of(reader)
        writer.close()


def test_what_was_asked_for_is_answered_whatever_comes_behind_it() -> None:
    house = House()
    browser, transport = connected(house)
    browser._resting = True  # a whole portion has come, and there is more
    browser.take(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 900)
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert not transport.closed, "else the system would reset the connection, and the answer be lost"
    browser.take(b"x" * limits.PORTION)
    assert not transport.closed
    browser._resting = False
    browser.take(b"x")
    assert transport.closed


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
async def test_nothing_is_written_to_a_connection_that_is_lost_so_that_no_visitor_makes_lines(
    broker: Broker, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture, encrypted: bool
) -> None:
    ours, theirs = contexts(certificate, encrypted=encrypted)
    async with gateway(broker.url, tls=ours) as place:
        for _ in range(5):
            await asyncio.to_thread(say_much_and_break_off, place.port, theirs)
            await asyncio.sleep(0.05)
    assert caplog.messages == []


def say_much_and_break_off(port: int, tls: ssl.SSLContext | None) -> None:
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
        line = raw if tls is None else tls.wrap_socket(raw)
        line.sendall(UPGRADE.format(host="localhost", more="").encode())
        line.recv(4096)
        line.sendall(command(op="hello", id=1, version=1, user="alice"))
        line.recv(4096)
        line.sendall(b"".join(command(op="leave", id=number, room="x") for number in range(2, 100)))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()


class Lost(Stalled):
    """A transport whose connection is lost, which its protocol is told in the next turn."""

    def is_closing(self) -> bool:
        return True

    def write(self, data: object) -> None:
        raise AssertionError("asyncio logs this")


class Encrypted(Stalled):
    """The same over TLS: asyncio says that it is there."""

    class Below:
        _transport = Lost()

    _ssl_protocol = Below()

    def write(self, data: object) -> None:
        raise AssertionError("asyncio logs this")


@pytest.mark.parametrize("transport", [Lost(), Encrypted()], ids=["http", "https"])
def test_nothing_is_written_between_the_loss_of_a_connection_and_the_next_turn(transport: Stalled) -> None:
    _, browser, _ = in_house()
    browser._transport = transport
    browser.take(frame(Opcode.PING, b"there?"))
    browser.write(b"a frame")
    browser.close(1012, "later")


def test_that_the_gateway_has_much_to_do_keeps_no_silent_page_alive() -> None:
    house, browser, transport = in_house()
    place = browser._server
    place.turn(house.world.time, 10)
    worked = 10.0
    for _ in range(2):
        house.passes(limits.BEAT_SECONDS)
        worked += limits.BEAT_SECONDS - server.STALL_SECONDS / 2
        place.turn(house.world.time, worked)
    assert transport.aborted
