"""The gateway's server: whatever comes to its port."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

import zchat
from tests.mortal import Mortal
from tests.running import DEADLINE
from tests.web.core.harness import House
from tests.web.driver import FILES, OPEN, gateway
from zchat.broker import Broker
from zchat.web import listening, server
from zchat.web.core import limits
from zchat.web.doors import letting_in

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


async def test_two_pages_and_a_program_talk_in_one_room(broker: Broker, name: str) -> None:
    async with (
        gateway(broker.url) as place,
        place.page("alice", name) as alice,
        place.page("bob", name) as bob,
        zchat.AsyncClient(broker.url, user="carol") as carol,
    ):
        room = await carol.join(name)
        sent = await alice.ask("send", room=name, body="hello", key="k")
        await room.send({"x": b"\x00"})
        assert sent["op"] == "ok"
        assert await alice.bodies(2) == ["hello", "gaF4xAEA"] == await bob.bodies(2)
        assert [member.user for member in await room.members()] == ["alice", "bob", "carol"]


async def test_a_direct_message_comes_as_an_invitation_and_then_as_a_message(broker: Broker) -> None:
    async with gateway(broker.url) as place, place.page("dan", "@eve") as dan, place.page("eve") as eve:
        await dan.ask("send", room="@eve", body="psst", key="k")
        assert await eve.until("invited") == {"op": "invited", "room": "@dan", "user": "dan"}
        assert (await eve.ask("rooms"))["rooms"][0]["name"] == "@dan"
        joined = await eve.ask("join", room="@dan", history=10)
        assert [row[3] for row in joined["rows"]] == ["psst"]
        await eve.ask("send", room="@dan", body="yes?", key="k")
        assert await dan.bodies(2) == ["psst", "yes?"]


# -- files --------------------------------------------------------------------------------------------


async def test_the_page_is_served_with_headers_that_let_it_do_nothing_else(broker: Broker) -> None:
    async with gateway(broker.url) as place:
        status, headers, body = await place.get("/?x=1")
        assert (status, body) == (200, b"<p>a page</p>" * 20)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        status, headers, body = await place.get("/index.html", "Accept-Encoding: br, gzip")
        assert (status, headers["Content-Encoding"], body) == (200, "gzip", b"packed")
        status, headers, body = await place.get("/", f"If-None-Match: {headers['ETag']}")
        assert (status, body) == (304, b"")
        assert (await place.get("/index%2ehtml"))[0] == 200
        status, headers, body = await place.get("/", method="HEAD")
        assert (status, headers["Content-Length"], body) == (200, "260", b"")


async def test_a_proxys_word_for_the_user_counts_and_without_it_nobody_is_let_in(broker: Broker) -> None:
    doors = letting_in(user_header="X-User", proxies=["127.0.0.1"])
    async with gateway(broker.url, doors) as place:
        async with place.page(additional_headers={"X-User": "alice"}) as page:
            assert (await page.ask("hello", version=1))["user"] == "alice"
        with pytest.raises(InvalidStatus) as caught:
            async with place.page():
                pass
        assert caught.value.response.status_code == 403
        assert b"did not say who the user is" in (caught.value.response.body or b"")


async def test_pages_of_a_site_elsewhere_that_is_named_may_read_what_is_served(broker: Broker) -> None:
    async with gateway(broker.url, OPEN._replace(origins=frozenset({"https://site.example"}))) as place:
        for origin in ("https://site.example", "http://localhost"):
            _, headers, _ = await place.get("/", f"Origin: {origin}")
            assert headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Origin" not in (await place.get("/"))[1]
        assert "Access-Control-Allow-Origin" not in (await place.get("/", "Origin: https://evil.example"))[1]


async def test_many_who_come_at_once_are_accepted_a_few_in_a_turn_so_that_others_have_theirs(broker: Broker) -> None:
    async with gateway(broker.url) as place, place.page("alice", "General") as page:
        came = [socket.create_connection(("127.0.0.1", place.port), DEADLINE) for _ in range(200)]
        turns = 0
        for each in came:
            each.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            each.setblocking(False)
        async with asyncio.timeout(DEADLINE):
            while came:
                turns += 1
                await asyncio.sleep(0)
                came = [each for each in came if not _closed(each)]
        assert turns >= 200 // listening.ACCEPTED_AT_ONCE
        assert (await page.ask("members", room="General"))["members"]


def _closed(connection: socket.socket) -> bool:
    """Return whether all has come, and then the end."""
    try:
        if connection.recv(4096):
            return False
    except BlockingIOError:
        return False
    connection.close()
    return True


async def test_whether_the_gateway_serves_is_answered_under_any_name(broker: Broker) -> None:
    async with gateway(broker.url) as place:
        answer = await place.raw(b"GET /healthz HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nok\n")


HOSTILE: dict[str, tuple[bytes, int]] = {
    "another method": (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "a body": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 400),
    "chunks": (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 403),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 403),
    "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    "another site's page": (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", 403),
    "a page of nowhere": (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403),
    "two origins": (
        UPGRADE.format(host="localhost", more="Origin: http://localhost\r\nOrigin: http://evil.example\r\n").encode(),
        403,
    ),
    "a path above": (b"GET /../setup.cfg HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "an encoded path above": (b"GET /..%2f..%2fsetup.cfg HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "an absolute path": (b"GET //etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "no WebSocket": (b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
    "half a WebSocket": (
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        400,
    ),
    "an old WebSocket": (UPGRADE.format(host="localhost", more="").replace("Version: 13", "Version: 8").encode(), 400),
    "HTTP/1.0": (b"GET /ws HTTP/1.0\r\nHost: localhost\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(1, 200)) + b"\n", 400),
    "no HTTP": (b"EHLO example.org\r\n\r\n", 400),
    "zeros": (bytes(100) + b"\n", 400),
    "a long line": (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "a path of brackets": (b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a host of brackets": (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", 403),
    "an origin of brackets": (b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n", 403),
    "a long position": (
        b"GET /rooms/public/live HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1:" + b"9" * 5_000 + b"\r\n\r\n",
        400,
    ),
    "an unknown room": (b"GET /rooms/Secret/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a room of no name": (b"GET /rooms/public" + b"x" * 900 + b"/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a room that isn't there": (b"GET /rooms/public-nowhere/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "two tags": (b"GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: a\r\nIf-None-Match: b\r\n\r\n", 200),
    "two equal positions": (
        b"HEAD /rooms/public/live HTTP/1.1\r\nHost: localhost\r\n" + b"Last-Event-ID: 0:0\r\n" * 2 + b"\r\n",
        200,
    ),
    "two positions": (
        b"GET /rooms/public/live HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0:0\r\nLast-Event-ID: 0:1\r\n\r\n",
        400,
    ),
    "two keys": (UPGRADE.format(host="localhost", more="Sec-WebSocket-Key: " + "A" * 22 + "==\r\n").encode(), 400),
    "two versions": (UPGRADE.format(host="localhost", more="Sec-WebSocket-Version: 13\r\n").encode(), 400),
    "no position": (b"GET /rooms/public/live?after=x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
}


async def test_bytes_on_the_port_get_a_status_and_the_connection_is_closed(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(broker.url) as place:
        for hostile, (data, status) in HOSTILE.items():
            answer = await place.raw(data)
            assert answer.split(b"\r\n")[0].split(b" ")[1:2] == [str(status).encode()], (hostile, answer)
            assert b"\r\nConnection: close\r\n" in answer, hostile
        assert caplog.messages == [], "a stranger makes no lines"


async def test_a_connection_that_ends_or_stops_in_the_middle_is_closed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GREETING_SECONDS", 0.3)
    async with gateway(broker.url) as place:
        assert (await place.raw(b"GET / HTT", end=True))[9:12] in (b"400", b"408", b"")
        assert b" 408 " in await place.raw(b"GET / HTTP/1.1\r\nHost: local")
        assert b" 408 " in await place.raw(b"")


# -- WebSockets ---------------------------------------------------------------------------------------


FRAMES: dict[str, tuple[list[bytes], int]] = {
    "binary": ([Frame(Opcode.BINARY, b"{}").serialize(mask=True)], 4002),
    "no JSON": ([Frame(Opcode.TEXT, b"hello").serialize(mask=True)], 4002),
    "no UTF-8": ([Frame(Opcode.TEXT, b'"\xff"').serialize(mask=True)], 4002),
    "before hello": ([Frame(Opcode.TEXT, b'{"op":"rooms","id":1}').serialize(mask=True)], 4002),
    "too long": ([Frame(Opcode.TEXT, b"x" * 65_537).serialize(mask=True)], 1009),
    "too long in pieces": (
        [
            Frame(Opcode.TEXT, b"x" * 40_000, fin=False).serialize(mask=True),
            Frame(Opcode.CONT, b"x" * 40_000).serialize(mask=True),
        ],
        1009,
    ),
    "without a mask": ([Frame(Opcode.TEXT, b"{}").serialize(mask=False)], 1002),
    "reserved bits": ([b"\xc1\x80\x00\x00\x00\x00"], 1002),
    "an unknown opcode": ([b"\x83\x80\x00\x00\x00\x00"], 1002),
    "a continuation of nothing": ([Frame(Opcode.CONT, b"x").serialize(mask=True)], 1002),
    "a fragmented ping": ([b"\x09\x80\x00\x00\x00\x00"], 1002),
    "a close with half a code": ([b"\x88\x81\x00\x00\x00\x00\x03"], 1002),
}


async def test_frames_that_are_not_as_they_should_be_get_a_code(broker: Broker) -> None:
    async with gateway(broker.url) as place:
        for hostile, (pieces, code) in FRAMES.items():
            async with place.page() as page:
                page.socket.transport.write(b"".join(pieces))
                assert (await page.end())[0] == code, hostile


async def test_a_command_in_pieces_with_pings_between_them_is_one_command(broker: Broker) -> None:
    async with gateway(broker.url) as place, place.page("alice") as page:
        pieces = [
            Frame(Opcode.TEXT, b'{"op":"ro', fin=False),
            Frame(Opcode.PING, b"there?"),
            Frame(Opcode.CONT, b"", fin=False),
            Frame(Opcode.CONT, b'oms","id":9}'),
        ]
        page.socket.transport.write(b"".join(piece.serialize(mask=True) for piece in pieces))
        assert (await page.next())["id"] == 9


async def test_places_are_bounded_and_the_next_one_is_told_when_to_come_again(broker: Broker) -> None:
    async with gateway(broker.url, max_connections=2) as place, place.page("a"), place.page("b"):
        with pytest.raises(InvalidStatus) as caught:
            async with place.page("c"):
                pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "10"


async def test_a_page_that_stands_still_costs_the_others_nothing_and_the_gateway_little(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[server.Browser] = []
    monkeypatch.setattr(server.Browser, "connection_made", _noting(made, server.Browser.connection_made))
    async with (
        gateway(broker.url) as place,
        zchat.AsyncClient(broker.url, user="carol") as carol,
        place.page("still", name) as still,
        place.page("quick", name) as quick,
    ):
        still.socket.transport.pause_reading()
        room = await carol.join(name)
        body = "x" * 1000
        await room.send_many([body] * 3000)
        taken = found = 0
        while found < 3000:
            found += len((await quick.until("messages"))["rows"])
            taken += 1
            await quick.say(op="ack", room=name, taken=taken)
        assert max(browser._transport.get_write_buffer_size() for browser in made) < 3 << 20
        still.socket.transport.resume_reading()
        taken = found = 0
        while found < 3000:
            found += len((await still.until("messages"))["rows"])
            taken += 1
            await still.say(op="ack", room=name, taken=taken)


def _noting(made: list[server.Browser], connected: object) -> object:
    def connection_made(self: server.Browser, transport: asyncio.BaseTransport) -> None:
        made.append(self)
        connected(self, transport)  # type: ignore[operator]

    return connection_made


async def test_one_who_never_answers_a_beat_is_given_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BEAT_SECONDS", 0.6)
    async with gateway(broker.url) as place, place.page("alice") as alice:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(UPGRADE.format(host="localhost", more="").encode())
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1 << 20)
        writer.close()
        assert (await alice.until("beat")) == {"op": "beat"}
        assert (await alice.ask("rooms"))["op"] == "ok", "its pongs are heard"


class Stalled(asyncio.Transport):
    """A transport that takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = self.closed = False
        self.reading = True
        self.written = b""

    def write(self, data: object) -> None:
        self.written += bytes(data)  # type: ignore[call-overload]

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == limits.BUFFER_BYTES

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        """Wait for ever."""
        self.closed = True

    def is_closing(self) -> bool:
        return False


def connected(house: House) -> tuple[server.Browser, Stalled]:
    browser, transport = server.Server(house.gateway, FILES, 0).arrive("127.0.0.1"), Stalled()
    assert browser is not None
    browser.connection_made(transport)
    return browser, transport


def greeted(house: House) -> tuple[server.Browser, Stalled]:
    browser, transport = connected(house)
    browser.take(UPGRADE.format(host="localhost", more="").encode())
    hello = Frame(Opcode.TEXT, b'{"op":"hello","id":1,"version":1,"user":"alice"}')
    browser.take(hello.serialize(mask=True))
    house.world.run()
    return browser, transport


def test_a_page_that_takes_nothing_for_two_minutes_is_given_up() -> None:
    house = House()
    browser, transport = greeted(house)
    assert b'"op":"ok"' in transport.written
    browser.pause_writing()
    for _ in range(6):
        house.passes(limits.BEAT_SECONDS)
        assert not transport.aborted
    house.passes(limits.BEAT_SECONDS)
    assert transport.aborted


def test_a_page_is_written_nothing_while_its_connection_is_full_and_goes_on_afterwards() -> None:
    house = House()
    browser, transport = connected(house)
    browser.take(UPGRADE.format(host="localhost", more="").encode())
    for text in (b'{"op":"hello","id":1,"version":1,"user":"alice"}', b'{"op":"join","id":2,"room":"General"}'):
        browser.take(Frame(Opcode.TEXT, text).serialize(mask=True))
        house.world.run()
    browser.pause_writing()
    house.say("General", "bob", "meanwhile")
    assert b"meanwhile" not in transport.written
    browser.resume_writing()
    house.world.run()
    assert b"meanwhile" in transport.written


def test_time_in_which_the_gateway_itself_stood_still_is_no_silence_of_the_pages() -> None:
    house = House()
    browser, transport = greeted(house)
    browser._server.turn(house.world.time, 0)
    house.passes(limits.BEAT_SECONDS)
    assert not browser.heard
    house.world.time += 300
    browser._server.turn(house.world.time, 0)
    assert not transport.aborted
    house.passes(limits.BEAT_SECONDS)
    assert transport.aborted


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    house = House()
    browser, transport = connected(house)
    browser.take(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    house.passes(limits.REQUEST_SECONDS - 1)
    assert not transport.aborted
    house.passes(2)
    assert transport.aborted


def test_connections_that_ask_for_nothing_are_bounded_too() -> None:
    house = House()
    place = server.Server(house.gateway, FILES, 0)
    came = [place.arrive("127.0.0.1") for _ in range(limits.SPARE_SOCKETS + 1)]
    assert came.count(None) == 1
    assert came[-1] is None
    assert house.gateway.context.counters.turned_away == {"full": 1}


def test_one_address_has_so_many_connections_that_have_yet_to_ask_and_others_have_theirs() -> None:
    house = House()
    place = server.Server(house.gateway, FILES, 0)
    came = [place.arrive("192.0.2.1") for _ in range(limits.SILENT_AN_ADDRESS)]
    assert None not in came
    assert place.arrive("192.0.2.1") is None
    assert house.gateway.context.counters.turned_away == {"address": 1}
    assert place.arrive("192.0.2.2") is not None
    for ends in (True, False):
        one = came.pop()
        assert one is not None
        one.connection_made(Stalled())
        if ends:
            one.connection_lost(None)
        else:
            one.take(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        came.append(place.arrive("192.0.2.1"))
        assert came[-1] is not None
        assert place.arrive("192.0.2.1") is None
    assert None not in [place.arrive("127.0.0.1") for _ in range(limits.SILENT_AN_ADDRESS + 1)], "many are behind it"


async def test_pages_go_on_where_they_were_once_the_broker_is_back(name: str, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'log.db'}") as mortal:  # in memory the log would be another one
        async with gateway(mortal.url) as place, place.page("alice", name) as alice:
            await alice.ask("send", room=name, body="before", key="a")
            assert await alice.bodies(1) == ["before"]
            mortal.kill()
            assert (await alice.until("link"))["up"] is False
            await alice.say(op="send", id=77, room=name, body="meanwhile", key="b")
            mortal.start()
            assert (await alice.until("link"))["up"] is True
            answer: dict[str, object] = {}
            while answer.get("id") != 77 or answer["op"] != "ok":  # it may have been of open outcome before
                answer = await alice.next()
                alice.came.append(answer)
                if answer.get("code") == "outcome_unknown":
                    await alice.say(op="send", id=77, room=name, body="meanwhile", key="b")
            assert await alice.bodies(1) == ["meanwhile"]


async def test_who_has_asked_for_nothing_does_not_hold_up_the_end(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser's spare connection, or a scanner's, held it for all of the seconds that pages are given."""
    for each in ("CLOSING_SECONDS", "GREETING_SECONDS"):
        monkeypatch.setattr(limits, each, 10 * DEADLINE)
    async with asyncio.timeout(DEADLINE), gateway(broker.url) as place, place.page("alice", "General") as page:
        spare = [(await asyncio.open_connection("127.0.0.1", place.port))[1] for _ in range(2)]
        spare[1].write(b"GET / HT")
        place.stop.set()
        assert await page.end() == (1012, "the gateway is shutting down")
    for writer in spare:
        writer.close()


async def test_the_gateway_says_bye_and_ends_soon(broker: Broker) -> None:
    loop = asyncio.get_running_loop()
    async with gateway(broker.url) as place, place.page("alice", "General") as alice:
        place.stop.set()
        assert await alice.end() == (1012, "the gateway is shutting down")
        assert alice.came[-1]["op"] == "bye"
        began = loop.time()
    assert loop.time() - began < 30
