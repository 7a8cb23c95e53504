"""What a program expects of a library that it embeds: it starts nothing by itself, leaves nothing, and says nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import deque

import anyio
import pytest

import zchat
from tests.loop import run
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT, eventually, output_of
from zchat.broker import Broker, limits
from zchat.broker.core import core, sessions

BLOCKED = float(os.environ.get("ZCHAT_BLOCKED_SECONDS", "0"))
"""Seconds for which a loop is blocked at a broker with its own bounds: over 15, 0 for a broker that waits for less."""

IMPORTING = """
import os, sys, threading
def opened():
    return sorted(os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if each != "3")
before = opened()
import zchat
print({"asyncio", "logging", "zmq"} & set(sys.modules) or "nothing")
from zchat import *
from zchat.broker import Broker
AsyncClient, Client
print(threading.active_count(), len(os.listdir("/proc/self/task")), opened() == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has")
def test_importing_it_starts_no_thread_opens_nothing_and_is_soon_done() -> None:
    assert output_of(IMPORTING) == "nothing\n1 1 True\n"


def containers() -> dict[str, int]:
    """Return the sizes of everything that grows in the package's modules and classes."""
    found: dict[str, int] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("zchat"):
            owners = {key: each for key, each in vars(module).items() if getattr(each, "__module__", "") == name}
            for owner, place in {**owners, "": module}.items():
                for attribute, value in list(getattr(place, "__dict__", {}).items()):
                    if isinstance(value, dict | list | set | deque | bytearray) and not attribute.startswith("__"):
                        found[f"{name}:{owner}.{attribute}"] = len(value)
    return found


def test_nothing_of_a_client_is_left_in_modules_or_classes_once_it_is_closed() -> None:
    def chat(url: str, number: int) -> None:
        with zchat.Client(url, user=f"thread {number}") as client:
            client.join(f"room {number}").send("hello")

    async def chat_in_loop(url: str, number: int) -> None:
        async with zchat.AsyncClient(url, user=f"task {number}") as client:
            await (await client.join(f"room {number}")).send("hello")

    with Broker("tcp://127.0.0.1:*") as broker:
        for number in range(10):
            chat(broker.url, number)
            run(chat_in_loop(broker.url, number))
            if number == 0:
                before = containers()
        assert "zchat.transport.context:._contexts" in before
        # Threads of other tests may end meanwhile.
        eventually(lambda: [name for name, size in containers().items() if size > before.get(name, 0)] == [], "is left")


SILENT = """
import asyncio, logging, sys, threading, zchat
came_back = threading.Event()

def handle(event):
    if isinstance(event, zchat.Reconnected):
        came_back.set()

async def main():
    async with zchat.AsyncClient(sys.argv[1], user="task") as client:
        await client.join("General")
        print("joined", flush=True)
        async for event in client.events():
            if isinstance(event, zchat.Reconnected):
                print("back", flush=True)
                break

with zchat.Client(sys.argv[1], user="thread", on_event=handle) as client:
    client.join("General")
    asyncio.run(main())
    came_back.wait()
print(*(name for name in logging.root.manager.loggerDict if name.startswith("zchat")))
print([name for name in logging.root.manager.loggerDict if logging.getLogger(name).handlers])
"""


def test_its_loggers_are_named_after_its_parts_and_say_nothing_though_the_broker_goes_and_comes() -> None:
    line = [sys.executable, "-W", "always", "-c", SILENT]
    pipe = subprocess.PIPE
    with (
        Mortal("memory:") as broker,
        subprocess.Popen([*line, broker.url], stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process,
    ):
        assert process.stdout
        assert process.stdout.readline() == "joined\n"
        broker.kill()
        broker.start()
        output, errors = process.communicate(timeout=DEADLINE)
    back, names, handled = output.splitlines()
    assert (back, handled, errors) == ("back", "[]", "")
    assert {"zchat.client", "zchat.broker"} <= set(names.split())
    assert [name for name in names.split() if not (ROOT / name.replace(".", "/")).is_dir()] == []


@pytest.mark.parametrize("late", [False, True], ids=["within its timeout", "beyond it"])
def test_a_loop_that_is_blocked_for_longer_than_a_session_lives_has_lost_time_alone(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    if not BLOCKED:
        monkeypatch.setattr(limits, "PING_EVERY", 0.1)
        monkeypatch.setattr(sessions, "EXPIRE_AFTER", 0.3)
        monkeypatch.setattr(core, "EXPIRE_EVERY", 0.05)

    def block(broker: Broker) -> None:
        before = broker.counters.expired
        time.sleep(BLOCKED)
        eventually(lambda: broker.counters.expired > before, "its session has expired")

    async def main(broker: Broker) -> None:
        async with zchat.AsyncClient(broker.url, user="alice") as alice:
            room = await alice.join("General")
            await room.send("before")
            sending = asyncio.create_task(room.send("within", timeout=0.1 if late else None))
            await asyncio.sleep(0)
            block(broker)
            with zchat.Client(broker.url, user="bob") as bob:
                bob.join("General").send("meanwhile")
            if late:
                with pytest.raises((zchat.OutcomeUnknown, zchat.DeadlineExceeded)):
                    await sending
            else:
                await sending
            await room.send("after", timeout=DEADLINE)
            assert [(await anext(room.messages(DEADLINE))).body] == ["meanwhile"]
            said = [message.body for message in await room.history()]
            assert sorted(said) == sorted({"before", "within", "meanwhile", "after"} & set(said))
            assert set(said) >= {"before", "meanwhile", "after"} | (set() if late else {"within"})

    with Broker("tcp://127.0.0.1:*") as broker:
        run(main(broker))


def test_a_scope_of_anyio_that_ends_takes_the_client_with_it_and_the_others_see_it_leave() -> None:
    async def main(url: str) -> None:
        async with zchat.AsyncClient(url, user="watcher") as watcher:
            await watcher.join("General")
            events = watcher.events(DEADLINE)

            async def follow() -> None:
                async with zchat.AsyncClient(url, user="alice") as alice:
                    room = await alice.join("General")
                    async for _ in room.messages():
                        pass

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                assert await anext(events) == zchat.MemberJoined("General", "alice")
                tasks.cancel_scope.cancel()
            assert await anext(events) == zchat.MemberLeft("General", "alice")
            with anyio.move_on_after(0) as scope:
                await anext(events)
            assert scope.cancelled_caught
            assert await watcher.rooms(), "the client goes on"

    with Broker("tcp://127.0.0.1:*") as broker:
        run(main(broker.url))
