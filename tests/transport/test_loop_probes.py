"""What a client in an event loop asks the network, while the loop goes on."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from threading import Event

import pytest

from tests.loop import run, until
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.threads import RealThread
from zchat.transport import keys
from zchat.transport.hosts import Lookup
from zchat.transport.loop_probes import look_up, read_mechanism


def mechanism(url: str, seconds: float = 20) -> str:
    async def main() -> str:
        return await read_mechanism(asyncio.get_running_loop(), url, seconds)

    return run(main())


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://*"])
def test_a_greeting_names_the_mechanism(url: str, tmp_path: Path) -> None:
    if "[::1]" in url and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    keys.make_server(tmp_path / "server")
    with Broker(url, insecure=True) as plain:
        assert mechanism(plain.url) == "NULL"
    with Broker(url, keys=tmp_path / "server") as keyed:
        assert mechanism(keyed.url) == "CURVE"


def test_where_nobody_listens_or_speaks_there_is_no_mechanism(tmp_path: Path) -> None:
    assert mechanism(f"ipc://{tmp_path}/nobody") == ""
    assert mechanism("tcp://127.0.0.1:9") == ""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert mechanism(f"tcp://127.0.0.1:{silent.getsockname()[1]}", 0.05) == ""


def looked_up(host: str) -> Lookup:
    over: list[Lookup] = []

    async def main() -> None:
        await look_up(asyncio.get_running_loop(), Lookup(f"tcp://{host}:5555", over.append))

    run(main())
    return over[0]


def test_a_name_is_looked_up_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    families = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
    answer = [(family, 1, 6, "", (address, 0)) for family, address in families]
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: answer)
    assert looked_up("chat.example").urls == ["tcp://127.0.0.1:5555", "tcp://[::1]:5555"]


def test_a_name_that_nobody_knows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    lookup = looked_up("nowhere.example")
    assert lookup.unknown
    assert "'nowhere.example' was not found" in lookup.reason


def test_a_name_is_looked_up_though_the_loops_own_threads_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: answer)
    over: list[Lookup] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        await look_up(loop, Lookup("tcp://chat.example:5555", over.append))
        await until(lambda: over, "it is over")

    run(main())
    assert [over[0].urls, over[0].error] == [["tcp://127.0.0.1:5555"], None]


def test_a_name_for_which_there_is_no_thread_at_all_could_not_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(thread: RealThread) -> None:
        raise RuntimeError("can't start new thread")

    over: list[Lookup] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        monkeypatch.setattr(RealThread, "start", none)
        await look_up(loop, Lookup("tcp://chat.example:5555", over.append))
        await until(lambda: over, "it is over")

    run(main())
    assert not over[0].unknown
    assert "could not be looked up (no more threads can be started (can't start new thread)" in over[0].reason


def test_a_lookup_that_outlives_its_loop_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **options: go_on.wait(DEADLINE) and [])
    over: list[Lookup] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        await look_up(loop, Lookup("tcp://slow.example:5555", over.append))

    run(main())
    go_on.set()
    eventually(lambda: not any(each.name == "zchat-lookup" for each in threading.enumerate()), "its thread has ended")
    assert not over
    assert looked_up("slow.example").over, "others are looked up as before"
