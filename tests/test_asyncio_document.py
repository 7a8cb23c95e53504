"""The page about event loops: what it shows runs, as it stands there, and does what it says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import FunctionType
from typing import Any

import pytest

import zchat
from tests.loop import run, until
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker

PAGE = (ROOT / "docs" / "asyncio.md").read_text(encoding="utf-8")
PROGRAM, *PIECES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
URL = "tcp://127.0.0.1:5555"

Names = dict[str, Any]


def test_the_quick_start_prints_what_the_page_says() -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        line = [sys.executable, "-c", PROGRAM.replace(URL, broker.url)]
        ran = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (ran.stdout, ran.stderr) == (PRINTED, "")


@asynccontextmanager
async def begun(word: str) -> AsyncIterator[tuple[Names, io.StringIO]]:
    """Run the piece with a word in it, for as long as the block: give its names, and what it prints."""
    (piece,) = [each for each in PIECES if word in each]
    with Broker("tcp://127.0.0.1:*") as broker:
        async with (
            zchat.AsyncClient(broker.url, user="alice") as client,
            zchat.AsyncClient(broker.url, user="bob") as bob,
        ):
            names: Names = {"asyncio": asyncio, "zchat": zchat, "client": client, "room": await client.join("General")}
            await (await bob.join("General")).send_many(["one", "two"])
            text = piece.replace(URL, broker.url).replace("timeout=1)", f"timeout={DEADLINE})")
            code = compile(text, "docs/asyncio.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = FunctionType(code, names)()
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                if inspect.iscoroutine(result):
                    names["task"] = asyncio.create_task(result)
                yield names, printed
            for name in {"task", "watching"} & set(names):
                names[name].cancel()
                await asyncio.wait([names[name]])


async def watching() -> None:
    async with begun("client.events()") as (names, printed):
        await until(lambda: printed.getvalue() == "General 1 bob: one\nGeneral 2 bob: two\n", "both are printed")
        assert not names["watching"].done()


async def breaking() -> None:
    async with begun("break\n") as (_, printed):
        await until(lambda: printed.getvalue() == "one\ntwo\n", "both are printed, each once")


async def batches() -> None:
    async with begun("room.batches(") as (names, printed):
        await until(lambda: printed.getvalue() == "1 2 ['one', 'two']\n", "the batch is printed")
        assert names["keep"].seq == 2


async def sending() -> None:
    async with begun("readings()") as (names, _):
        await names["task"]
        said = [message.body for message in await names["room"].history(after=2)]
        assert said == [{"celsius": celsius} for celsius in (20.5, 20.7, 21.0)]


async def paying() -> None:
    async with begun("the order is paid") as (names, _):
        await names["task"]
        assert (await names["room"].history())[-1].body == "the order is paid"


async def ending() -> None:
    before = signal.getsignal(signal.SIGTERM)
    working = asyncio.create_task(asyncio.sleep(DEADLINE))
    piece = next(each for each in PIECES if "add_signal_handler" in each)

    async def work() -> None:
        exec(piece, {"asyncio": asyncio})
        await working

    task = asyncio.create_task(work())
    await until(lambda: signal.getsignal(signal.SIGTERM) != before, "the signal is asked for")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await task
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def serving() -> None:
    async with begun("FastAPI(lifespan=lifespan)") as (names, _):
        async with names["lifespan"](names["app"]):
            assert await names["say"]("from the website") == 3
        last = (await names["room"].history())[-1]
        assert (last.user, last.body) == ("website", "from the website")


CHECKS = [watching, breaking, batches, sending, paying, ending, serving]


def test_there_is_a_check_for_every_piece() -> None:
    assert len(CHECKS) == len(PIECES)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_piece_runs_and_does_what_the_page_says(check: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await check()

    run(main())


def test_what_is_awaited_is_named_there_or_among_moderation() -> None:
    (listed,) = re.findall(r"These are awaited: (.*?) These are not,", PAGE, re.DOTALL)
    moderation = (
        (ROOT / "docs" / "client.md").read_text(encoding="utf-8").split("\n## Moderation\n")[1].split("\n## ")[0]
    )
    awaited = {
        name
        for kind in (zchat.AsyncClient, zchat.AsyncRoom)
        for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_") and name != "aclose"
    }
    assert awaited - set(re.findall(r"\b(\w+)\(", moderation)) == set(re.findall(r"`(\w+)`", listed))


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", PAGE)
    assert links
    for place, heading in links:
        path = ROOT / "docs" / place
        assert path.exists(), place
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, heading
