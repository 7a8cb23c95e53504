"""Where a client in an event loop may be called, and what is said elsewhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import zchat
from tests.loop import run
from tests.running import DEADLINE, FORKING, ROOT
from zchat.broker import Broker


def test_a_client_that_has_not_connected_says_what_to_do() -> None:
    client = zchat.AsyncClient("tcp://127.0.0.1:1", user="alice")
    assert (client.user, client.url) == ("alice", "tcp://127.0.0.1:1")

    async def main() -> None:
        calls: list[Callable[[], Awaitable[Any]]] = [client.rooms, client.wait, lambda: client.join("General")]
        for call in calls:
            with pytest.raises(zchat.UsageError, match=r"await client.connect\(\)"):
                await call()
        with pytest.raises(zchat.UsageError, match=r"await client.connect\(\)"):
            client.events()
        with pytest.raises(zchat.UsageError, match=r"await client.connect\(\)"):
            assert client.max_message
        await client.close()
        with pytest.raises(zchat.UsageError, match="closed"):
            await client.connect()

    run(main())


async def test_a_client_connects_once(broker: Broker) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        with pytest.raises(zchat.UsageError, match="has connected before"):
            await client.connect()
        assert await client.rooms()


def test_another_loop_and_another_thread_are_refused(broker: Broker) -> None:
    def elsewhere(call: Callable[[], Any]) -> str:
        async def calling() -> None:
            found = call()
            if isinstance(found, Awaitable):
                await found

        caught: list[str] = []

        def work() -> None:
            try:
                asyncio.run(calling())
            except zchat.UsageError as error:
                caught.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(DEADLINE)
        return caught[0]

    async def main() -> None:
        async with zchat.AsyncClient(broker.url, user="alice") as client:
            room = await client.join("General")
            messages = room.messages()
            calls: list[Callable[[], Any]] = [
                client.rooms, client.close, room.typing, lambda: room.send("x"), lambda: room.send_many(["x"]),
                lambda: anext(messages), client.events, client.aclose, lambda: client.__aexit__(None, None, None),
            ]  # fmt: skip
            for call in calls:
                assert "another event loop" in elsewhere(call)
                assert (await room.send("a call that is refused changes nothing")).seq > 0

    run(main())


def test_a_client_of_a_loop_that_has_ended_is_refused_in_the_next_one_which_may_have_its_own(broker: Broker) -> None:
    kept: list[zchat.AsyncClient] = []

    async def first() -> None:
        kept.append(await zchat.AsyncClient(broker.url, user="alice").connect())

    async def second() -> None:
        with pytest.raises(zchat.UsageError, match="another event loop"):
            await kept[0].rooms()
        async with zchat.AsyncClient(broker.url, user="alice") as own:
            assert await own.rooms()

    run(first())
    run(second())
    with pytest.warns(ResourceWarning, match="a client of 'alice' .* was dropped without close"):
        kept.clear()


FORK = """
import asyncio, os, sys, zchat
from zchat.broker import Broker

async def child(room, client):
    for call in (lambda: room.send("x"), client.rooms, lambda: anext(room.messages()), lambda: client.join("a")):
        try:
            await call()
            os._exit(3)
        except zchat.UsageError as error:
            assert "fork" in str(error), error
    await client.close()

async def own(url):
    async with zchat.AsyncClient(url, user="bob") as client:
        await (await client.join("General")).send("from the child")

async def main(url):
    async with zchat.AsyncClient(url, user="alice") as client:
        room = await client.join("General")
        pid = os.fork()
        if not pid:
            try:
                asyncio.events._set_running_loop(None)
                asyncio.new_event_loop().run_until_complete(child(room, client))
                asyncio.new_event_loop().run_until_complete(own(url))
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
            os._exit(4)
        async for message in room.messages(20):
            assert message.body == "from the child"
            break
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        await room.send("still here")

with Broker("tcp://127.0.0.1:*") as broker:
    asyncio.run(main(broker.url))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork")
def test_a_forked_child_is_asked_to_make_its_own_client() -> None:
    ran = subprocess.run([sys.executable, *FORKING, "-c", FORK], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
