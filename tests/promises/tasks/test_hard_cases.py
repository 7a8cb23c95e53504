"""Clients in an event loop whose broker is killed under load, and programs over uvloop that close, or forget to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import zchat
from tests.loop import KINDS, new_loop, run, until
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker

SENDERS = 5


@pytest.mark.parametrize("loop_kind", KINDS, indirect=True)
def test_a_broker_that_is_killed_three_times_under_load_loses_nothing_and_has_nothing_twice(
    loop_kind: str, tmp_path: Path
) -> None:
    async def main(mortal: Mortal) -> None:
        async with (
            zchat.AsyncClient(mortal.url, user="alice", timeout=DEADLINE) as alice,
            zchat.AsyncClient(mortal.url, user="bob", timeout=DEADLINE) as bob,
        ):
            said, read = await alice.join("General"), await bob.join("General")
            heard: list[str] = []
            is_over = False

            async def send(sender: int) -> list[str]:
                bodies: list[str] = []
                while not is_over:
                    bodies.append(f"{sender} {len(bodies)}")
                    await said.send(bodies[-1], timeout=DEADLINE)
                return bodies

            async def take() -> None:
                async for message in read.messages():
                    heard.append(message.body)
                    if message.body == "the end":
                        break

            reading = asyncio.create_task(take())
            sending = [asyncio.create_task(send(number)) for number in range(SENDERS)]
            for _ in range(3):
                before = len(heard)
                await until(lambda before=before: len(heard) > before + 100, "messages flow")  # type: ignore[misc]
                mortal.kill()
                mortal.start()
            before = len(heard)
            await until(lambda: len(heard) > before, "they flow again")
            is_over = True
            sent = await asyncio.gather(*sending)
            await said.send("the end", timeout=DEADLINE)
            await reading
            stored = [message.body for message in await bob.history("General", after=0, limit=1_000_000)]
            assert heard == stored
            for number, bodies in enumerate(sent):
                assert [body for body in stored if body.startswith(f"{number} ")] == bodies, "once, and in order"

    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        run(main(mortal))


PROGRAM = """
import sys, uvloop, zchat

async def main(forgets):
    client = await zchat.AsyncClient(sys.argv[1], user="alice").connect()
    room = await client.join("General")
    await room.send("x")
    if not forgets:
        await client.close()

uvloop.run(main(False), debug=True)
uvloop.run(main(sys.argv[2] == "forgets"))
print("over")
"""


@pytest.mark.parametrize("how", ["closes", "forgets"])
def test_over_uvloop_a_program_that_closes_is_warned_of_nothing_and_one_that_forgets_to_ends(
    how: str,
) -> None:
    new_loop("uvloop").close()
    with Broker("tcp://127.0.0.1:*") as broker:
        line = [sys.executable, "-X", "dev", "-W", "always", "-c", PROGRAM, broker.url, how]
        ran = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert (ran.returncode, ran.stdout) == (0, "over\n"), ran.stderr
    warned = [line for line in ran.stderr.splitlines() if "Warning:" in line]
    assert bool(warned) is (how == "forgets"), ran.stderr
    assert ran.stderr.count("was dropped without close()") == (how == "forgets"), ran.stderr
