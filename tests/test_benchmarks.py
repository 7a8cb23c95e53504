"""What a benchmark leaves behind: nothing. And that those of the faces and of the gateway run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import Queue
from threading import Event, Thread, current_thread
from typing import Any

import pytest

import zchat
from tests.running import DEADLINE, ROOT, eventually
from tests.web.driver import gateway
from zchat.broker import Broker
from zchat.web.core.limits import WINDOW


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_benchmark_that_a_signal_ends_leaves_neither_workers_nor_stores(tmp_path: Path, number: int) -> None:
    line = [sys.executable, str(ROOT / "benchmarks" / "latency.py"), "--store", "sqlite", "--keys"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        line, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: _stored(tmp_path) > 200_000, "all its workers run, and messages are stored")
        process.send_signal(number)
        told = process.communicate(timeout=DEADLINE)
        said = [
            line for line in told[1].splitlines() if b" is left out: " not in line
        ]  # of contenders that there are not
        assert (process.returncode, told[0], said) == (128 + number, b"", [])
        assert list(tmp_path.glob("zchat-benchmark-*")) == []
        eventually(lambda: not _group(process.pid), "its workers have ended")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _stored(folder: Path) -> int:
    """Return how many bytes the stores of benchmarks have in a folder."""
    return sum(each.stat().st_size for each in folder.glob("zchat-benchmark-*/log.sqlite-wal"))


_END = object()
"""What a worker hears once the other end is gone."""


class Aside:
    """A worker that is a thread of this process, and the pipe that it is given."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._said: Queue[Any] = Queue()
        self._told: Queue[Any] = Queue()
        self._over = Event()
        self._thread = Thread(target=self._work, args=(target, arguments), daemon=True)
        self._thread.start()

    def ask(self, value: Any = None) -> Any:
        self._told.put(value)
        return self.said()

    def _work(self, target: Callable[..., None], arguments: Sequence[Any]) -> None:
        with suppress(EOFError):
            target(self, *arguments)

    def stop(self) -> None:
        self._over.set()
        self._told.put(_END)
        self._thread.join(DEADLINE)

    def said(self) -> Any:
        return self._said.get(timeout=DEADLINE)

    def say(self, value: Any = None) -> None:
        self._said.put(value)

    def hear(self) -> Any:
        """Return what the other end says: there are two here, and the worker's is in its own thread."""
        if self._thread is not current_thread():
            return self.said()
        value = self._told.get(timeout=DEADLINE)
        if value is _END:
            raise EOFError
        return value

    def wait_for_the_end(self) -> None:
        self._over.wait(DEADLINE)


@contextmanager
def asides() -> Iterator[Callable[..., Aside]]:
    with ExitStack() as stack:

        def start(target: Callable[..., None], *arguments: Any) -> Aside:
            aside = Aside(target, *arguments)
            stack.callback(aside.stop)
            return aside

        yield start


def test_every_kind_of_client_is_in_every_table_of_the_faces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    faces, kinds = import_module("faces"), import_module("_faces")
    monkeypatch.setattr(faces, "workers", asides)
    monkeypatch.setattr(faces, "WARM_UP", 10)
    monkeypatch.setattr(faces, "SLOWEST", float("inf"))
    monkeypatch.setattr(kinds, "IDLE_SECONDS", 0.01)
    few = "--rounds 1 --messages 20 --readers 2 --together 2 --clients 2 --json"
    monkeypatch.setattr(sys, "argv", ["faces.py", *few.split()])
    faces.main()
    tables = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    titles = [table["benchmark"].split(",")[0] for table in tables]
    assert titles == ["deliveries a second: readers 2", "latency", "acknowledged sends a second", "what a client costs"]
    faced = {"threads", "asyncio"}
    for table in tables:
        names = {row["contender"] for row in table["rows"]}
        assert faced <= {part for name in names for part in name.replace(" > ", ", ").split(", ")}
        assert all(isinstance(value, float) for row in table["rows"] for value in list(row.values())[1:])
    assert {"threads, bodies", "asyncio, bodies"} <= {row["contender"] for row in tables[0]["rows"]}


def test_the_browsers_of_the_gateways_benchmark_have_every_message_as_they_acknowledge_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    browsers = import_module("_browsers")
    count = 2 * WINDOW

    async def have_all() -> None:
        async with gateway(broker.url) as place, zchat.AsyncClient(broker.url, user="publisher") as client:
            room = await client.join("General")
            bare = start(browsers.browse, place.port, "user")
            assert await asyncio.to_thread(bare.ask, ("open", 3)) > 0
            await asyncio.to_thread(bare.ask, ("drain", 0.05))
            await asyncio.to_thread(bare.ask, ("read", count))
            for _ in range(count):
                await room.send(browsers.stamped(80))
            delays, _ = await asyncio.to_thread(bare.said)
            assert len(delays) == 3 * count
            await asyncio.to_thread(bare.stop)

    with Broker("tcp://127.0.0.1:*") as broker, asides() as start:
        asyncio.run(have_all())


def _group(number: int) -> bool:
    """Return True if a process group has processes."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
