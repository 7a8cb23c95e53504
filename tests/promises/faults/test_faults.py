"""The real thing under fault, in its short form; `make soak` runs the long one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.promises.faults import scenarios
from tests.redis_server import RedisServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by SIGSTOP")

FLOWING = 10.0
"""Seconds until messages must flow again: ten times what is promised, for a machine that does ten other things."""

MEMORY = 10 << 20
"""Bytes that a stopped reader may cost the broker."""


def test_nothing_acknowledged_is_lost_or_comes_twice_when_the_broker_is_killed(tmp_path: Path) -> None:
    figures = scenarios.killed(tmp_path, restarts=3, publishers=3)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING
    assert figures.garbage


def test_nothing_acknowledged_is_lost_or_comes_twice_when_the_server_of_the_store_is_killed(
    tmp_path: Path, needs: Callable[[str], str]
) -> None:
    with RedisServer(needs("redis-server"), tmp_path) as server:
        figures = scenarios.server_killed(tmp_path, server, restarts=3, publishers=2, between=8_000)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING


def test_nothing_acknowledged_is_lost_or_comes_twice_when_one_of_two_brokers_on_a_server_is_killed(
    tmp_path: Path, needs: Callable[[str], str]
) -> None:
    with RedisServer(needs("redis-server"), tmp_path) as server:
        figures = scenarios.one_of_two_killed(tmp_path, server, restarts=4, publishers=3, between=8_000)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING


def test_nothing_acknowledged_is_lost_or_comes_twice_when_the_store_is_copied_to_a_server_and_back(
    tmp_path: Path, needs: Callable[[str], str]
) -> None:
    (tmp_path / "server").mkdir()
    with RedisServer(needs("redis-server"), tmp_path / "server") as server:
        figures = scenarios.moved(tmp_path, server, moves=4, publishers=3, between=4_000)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING


@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is read from /proc")
def test_a_stopped_reader_costs_the_broker_nothing_and_gets_everything_in_the_end(tmp_path: Path) -> None:
    figures = scenarios.stopped_reader(tmp_path, seconds=3, before=1.5, publishers=2, rate=40_000)
    assert figures.clean, figures
    assert figures.memory < MEMORY


def test_nothing_is_lost_or_comes_twice_over_a_network_that_cuts_halves_delays_and_swallows(tmp_path: Path) -> None:
    figures = scenarios.bad_network(tmp_path, rounds=1, publishers=2)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING


def test_nothing_is_lost_over_a_broker_that_stood_still(tmp_path: Path) -> None:
    figures = scenarios.stopped_broker(tmp_path, seconds=3.5, publishers=2)
    assert figures.clean, figures
    assert max(figures.flowing) < FLOWING
