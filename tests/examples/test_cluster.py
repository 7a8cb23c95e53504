"""One Redis, two brokers and two clients by one command: who is killed is started again, and Ctrl-C ends everything."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

import zchat
from tests.examples.conftest import Example
from tests.running import DEADLINE, Running, eventually
from zchat.broker import Broker


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give two addresses at which nobody listens, which the example takes."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        found = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in taken]
    monkeypatch.setenv("CLUSTER_URLS", ",".join(found))
    return found


def pids(shown: Running, name: str) -> list[int]:
    return [int(pid) for pid in re.findall(rf"^{name} runs; .*: kill -9 (\d+)$", shown.text, re.MULTILINE)]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def lines(shown: Running) -> list[int]:
    """Return the numbers of the lines that bob has read."""
    return [int(number) for number in re.findall(r"^bob reads: alice: line (\d+)$", shown.text, re.MULTILINE)]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_both_clients_go_on_whoever_is_killed_and_one_signal_ends_everything(
    example: Example,
    needs: Callable[[str], str],
    urls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: signal.Signals,
) -> None:
    needs("redis-server")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shown = example("cluster/cluster", "")
    shown.until("bob reads: alice: line 1\n")
    for name in ("broker 1", "broker 2", "Redis") if ending is signal.SIGINT else ():
        (pid,) = pids(shown, name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda name=name: len(pids(shown, name)) == 2, "it is started again")  # type: ignore[misc]
        seen = len(lines(shown))
        eventually(lambda seen=seen: len(lines(shown)) > seen, "alice and bob go on")  # type: ignore[misc]
    with zchat.Client(urls, user="carol") as carol:
        carol.join("General").send("hello")
        shown.until("bob reads: carol: hello\n")
    everyone = [pid for name in ("Redis", "broker 1", "broker 2") for pid in pids(shown, name)]
    shown.process.send_signal(ending)
    assert (shown.process.wait(DEADLINE), shown.end(), shown.text.endswith("bye\n")) == (0, 0, True), shown.errors
    read = lines(shown)
    assert read == list(range(1, len(read) + 1))
    assert not any(map(is_there, everyone))
    assert list(tmp_path.glob("zchat-*")) == []
    assert "belongs to no option" not in shown.errors


def test_a_redis_that_can_not_start_ends_everything_with_what_it_says(
    example: Example,
    needs: Callable[[str], str],
    urls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs("redis-server")
    folder = tmp_path / ("x" * 120)  # too long for the name of a socket
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    shown = example("cluster/cluster", "")
    assert shown.end() == 1
    assert "Redis has ended before it was ready\n" in shown.errors
    assert "socket" in shown.errors
    assert [is_there(pid) for pid in pids(shown, "Redis")] == [False]
    assert list(folder.iterdir()) == []


def test_a_broker_whose_address_another_has_ends_everything_and_nobody_connects_to_that_one(
    example: Example,
    needs: Callable[[str], str],
    urls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs("redis-server")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Broker(urls[1], store="memory:") as stranger:
        shown = example("cluster/cluster", "")
        assert shown.end() == 1
        assert "broker 2 has ended before it was ready" in shown.errors
        assert "in use" in shown.errors
        assert stranger.counters.greeted == 0
    assert not any(is_there(pid) for name in ("Redis", "broker 1", "broker 2") for pid in pids(shown, name))
    assert list(tmp_path.glob("zchat-*")) == []
