"""Running a test's coroutine in an event loop of its own, under a deadline."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from tests.running import DEADLINE

T = TypeVar("T")

KINDS = ("asyncio", "uvloop")
"""The kinds of loops that the client is tested in."""

_kind = "asyncio"


@pytest.fixture
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the test's loops be of this kind."""
    kind: str = request.param
    monkeypatch.setattr(f"{__name__}._kind", kind)
    return kind


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Return a loop of a kind; skips the test where there is no uvloop (fails it in CI)."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    try:
        import uvloop
    except ImportError:
        reason = f"there is no uvloop for this Python on {sys.platform}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and in CI nothing may be skipped for that")
        pytest.skip(reason)
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T], seconds: float = DEADLINE) -> T:
    """Return what a coroutine returns, in a loop that ends with it; a task that is left fails the test."""

    async def within() -> T:
        async with asyncio.timeout(seconds):
            result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    with asyncio.Runner(loop_factory=lambda: new_loop(_kind)) as runner:
        return runner.run(within())


async def until(true: Callable[[], object], what: str) -> None:
    """Wait until something is true; `what` it is. The loop goes on meanwhile."""
    async with asyncio.timeout(DEADLINE):
        while not true():
            await asyncio.sleep(0.005)
    assert true(), what
