"""Where connections to the gateway come in."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import ExitStack

import pytest

from tests.running import DEADLINE
from tests.web.driver import gateway
from zchat.broker import Broker
from zchat.web import descriptors, listening
from zchat.web.listening import Listener
from zchat.web.tls import tls_context


class Silent(asyncio.Protocol):
    """A connection of which it is kept whether it was lost."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Shares:
    """Descriptors that a test takes away."""

    def __init__(self) -> None:
        self.used_up = False
        self.noted = 0

    def is_used_up(self) -> bool:
        return self.used_up

    def note(self) -> None:
        self.noted += 1


async def ended(connection: socket.socket) -> bool:
    """Return whether a connection is ended by the other end, once it is."""
    connection.setblocking(False)
    async with asyncio.timeout(DEADLINE):
        try:
            return await asyncio.get_running_loop().sock_recv(connection, 1) == b""
        except ConnectionResetError:
            return True


async def test_newcomers_are_hung_up_on_while_there_are_no_descriptors_for_them_and_come_in_again_later() -> None:
    share, full, here = Shares(), [], [Silent(), Silent()]
    listener = Listener(share, lambda address: here.pop(), lambda: full.append(1))  # type: ignore[arg-type]
    port = await listener.listen("127.0.0.1", 0, None)
    with ExitStack() as stack:

        def come() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE))

        first = here[-1]
        caller = come()
        async with asyncio.timeout(DEADLINE):
            while len(here) > 1:
                await asyncio.sleep(0)
        share.used_up = True
        assert await ended(come())
        assert await ended(come())
        assert (len(full), len(here), first.lost.is_set()) == (2, 1, False)
        share.used_up = False
        come()
        async with asyncio.timeout(DEADLINE):
            while here:
                await asyncio.sleep(0)
            caller.close()
            await first.lost.wait()
    listener.close()


async def test_where_not_even_one_descriptor_is_left_it_rests_and_asyncio_logs_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, tries, here = Shares(), [], [Silent()]
    monkeypatch.setattr(listening, "REST_SECONDS", 0.01)
    accept = socket.socket.accept

    def failing(self: socket.socket) -> object:
        tries.append(1)
        if len(tries) < 4:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    listener = Listener(share, lambda address: here.pop(), lambda: None)  # type: ignore[arg-type]
    port = await listener.listen("127.0.0.1", 0, None)
    with monkeypatch.context() as patched, socket.create_connection(("127.0.0.1", port), DEADLINE):
        patched.setattr(socket.socket, "accept", failing)
        async with asyncio.timeout(DEADLINE):
            while here:
                await asyncio.sleep(0.001)
    listener.close()
    assert share.noted == 3
    assert caplog.messages == []


async def test_one_who_does_not_agree_upon_tls_in_time_is_ended_and_counted_no_more(
    certificate: tuple[object, object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "GREETING_SECONDS", 0.2)
    here: list[Silent] = []

    def arrive(address: str) -> Silent:
        here.append(Silent())
        return here[-1]

    listener = Listener(Shares(), arrive, lambda: None)  # type: ignore[arg-type]
    port = await listener.listen("127.0.0.1", 0, tls_context(*map(str, certificate)))
    with ExitStack() as stack:
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE))
            caller.sendall(said)
        async with asyncio.timeout(DEADLINE):
            while len(here) < 3:
                await asyncio.sleep(0.001)
            for each in here:
                await each.lost.wait()
    listener.close()
    assert caplog.messages == []


async def test_of_connections_that_have_not_begun_when_it_is_closed_nothing_is_left() -> None:
    here: list[Silent] = []

    def arrive(address: str) -> Silent:
        here.append(Silent())
        asyncio.get_running_loop().call_soon(listener.close)  # before the task that begins the connection
        return here[-1]

    listener = Listener(Shares(), arrive, lambda: None)  # type: ignore[arg-type]
    port = await listener.listen("127.0.0.1", 0, None)
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as caller:
        assert await ended(caller)
    async with asyncio.timeout(DEADLINE):
        await here[0].lost.wait()


async def test_all_addresses_of_a_name_are_listened_at_and_one_in_use_is_reported() -> None:
    here: list[Silent] = []

    def arrive(address: str) -> Silent:
        here.append(Silent())
        return here[-1]

    listener = Listener(Shares(), arrive, lambda: None)  # type: ignore[arg-type]
    port = await listener.listen("localhost", 0, None)
    other = Listener(Shares(), arrive, lambda: None)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="in use"):
        await other.listen("127.0.0.1", port, None)
    listener.close()
    assert await other.listen("127.0.0.1", port, None) == port
    other.close()


async def test_strangers_who_ask_for_nothing_disturb_no_page_and_users_wait_for_descriptors(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The descriptors of this process are many: how many are kept is what makes them few."""
    caplog.set_level(logging.INFO, "zchat.web")
    few = False

    def scarce(most: int, kept: int) -> bool:
        return few

    monkeypatch.setattr(descriptors, "scarce", scarce)
    async with gateway(broker.url) as place, place.page("alice", name) as alice, place.page() as bob:
        few = True
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", place.port), DEADLINE) as stranger:
                assert await ended(stranger)
        assert (await alice.ask("send", room=name, body="still", key="k"))["op"] == "ok"
        refused = await bob.ask("hello", version=1, user="bob")
        assert (refused["op"], refused["code"], refused["retryable"]) == ("error", "connection_lost", True)
        few = False
        async with place.page("carol", name) as carol:
            assert (await carol.ask("send", room=name, body="now", key="k"))["op"] == "ok"
        fails = [each.getMessage().partition(" fails")[0] for each in caplog.records if "fails" in each.getMessage()]
        assert sorted(fails) == ["accepting connections", "beginning users' sessions"]
