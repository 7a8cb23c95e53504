"""The threads that an event loop waits in."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from zchat.cli.screen.loop_threads import LoopThreads
from zchat.errors import ZchatError

VARIABLE = ContextVar("VARIABLE", default="unset")


def never(*arguments: object) -> None:
    raise RuntimeError("can't start new thread")


def test_all_are_there_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> list[str]:
        threads = LoopThreads(3)
        monkeypatch.setattr(threading.Thread, "start", never)
        together = threading.Barrier(3)

        def call(text: str) -> str:
            together.wait(10)
            return f"{text} {VARIABLE.get()}"

        VARIABLE.set("set")
        return await asyncio.gather(*(threads.do(call, text) for text in "abc"))

    assert asyncio.run(use()) == ["a set", "b set", "c set"]


def test_what_a_call_raises_is_raised() -> None:
    async def use() -> None:
        await LoopThreads(1).do(never, 1)

    with pytest.raises(RuntimeError, match="can't start"):
        asyncio.run(use())


def test_without_threads_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", never)
    with pytest.raises(ZchatError, match=r"no more threads can be started.*ulimit -u"):
        LoopThreads(1)
