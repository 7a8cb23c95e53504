"""Whatever a signal's handler raises in a client's loop: every call ends, and knows what became of its message."""

from __future__ import annotations

from contextlib import suppress

import pytest

import zchat
from tests.loop import run
from tests.promises.breaking_off import interrupted_at
from tests.promises.tasks.broken_turns import sweep
from zchat.broker import Broker

# What breaks a call off before its coroutine runs leaves that for the collector, which says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:.*was never awaited:RuntimeWarning",
    "ignore:.*was dropped without close:ResourceWarning",
)


class Handled(Exception):
    """What a signal's handler raises."""


def test_where_the_block_of_a_client_is_left_it_is_closed_whatever_comes_before_that_has_begun() -> None:
    async def leave(url: str, at: int) -> str:
        client = await zchat.AsyncClient(url, user="one").__aenter__()
        with interrupted_at(at, Handled) as tracer, suppress(Handled):
            await client.__aexit__(None, None, None)
        assert await client.wait(0) is True, tracer.where
        return tracer.where

    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        places = [run(leave(broker.url, at)) for at in range(1, 400, 3)]
    assert len({place for place in places if "client.py" in place}) > 5


def test_what_a_broken_close_had_begun_is_over_or_another_one_does_it() -> None:
    async def close(url: str, at: int) -> str:
        client = await zchat.AsyncClient(url, user="one").__aenter__()
        with interrupted_at(at, Handled) as tracer, suppress(Handled):
            await client.close()
        await client.close()
        assert await client.wait(0) is True, tracer.where
        return tracer.where

    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        places = [run(close(broker.url, at)) for at in range(1, 100)]
    assert len({place for place in places if "client.py" in place}) > 1


def test_a_turn_of_the_client_may_be_broken_off_at_any_step_and_so_may_what_ends_it_then() -> None:
    assert sweep(250, seed=1) == 250
