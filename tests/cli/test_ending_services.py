"""How a broker and a gateway end when a signal asks them to: with 0, at any moment, but for errors of their own."""

from __future__ import annotations

import shlex
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.outside import CODES, caught
from tests.cli.test_ending import quick
from tests.running import DEADLINE, Running, Start, eventually


@pytest.mark.parametrize("number", [each for each in CODES if each != signal.SIGHUP])
def test_a_broker_ends_as_it_was_asked_to_while_its_store_does_not_answer(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    with silent() as place:
        running = start("broker", "--bind", f"ipc://{tmp_path}/zchat", "--store", f"redis://{place}")
        ends_at(running, number)


@pytest.mark.parametrize("number", CODES)
def test_a_gateway_ends_as_it_was_asked_to_while_its_broker_does_not_answer(
    start: Start, number: signal.Signals
) -> None:
    with silent() as place:
        running = start("web", "--open", "--no-page", "--listen", "127.0.0.1:*", "--broker", f"tcp://{place}")
        ends_at(running, number)


@contextmanager
def silent() -> Iterator[str]:
    """Give a place where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def ends_at(running: Running, number: signal.Signals) -> None:
    """Assert that what serves ends soon after a signal, with 0, though it has yet to start."""
    eventually(lambda: caught(running.process.pid) == len(CODES), "it has begun")
    time.sleep(1)  # nothing shows that it waits
    with quick():
        running.process.send_signal(number)
        assert running.process.wait(DEADLINE) == 0
    assert running.errors == ""


def test_an_error_of_the_brokers_own_is_reported_though_a_signal_has_asked_for_the_end(
    start: Start, tmp_path: Path
) -> None:
    program = (
        "from zchat.broker.store.memory import MemoryStore; from zchat.cli.main import main\n"
        "def close(*a, **k): raise OSError(5, 'Input/output error')\n"
        "MemoryStore.close = close; main()"
    )
    bind = f"ipc://{tmp_path}/zchat"
    running = start(shell=f'exec "$1" -c "$PROGRAM" broker --store memory: --bind {shlex.quote(bind)}', PROGRAM=program)
    running.until("clients: about")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(DEADLINE) == 1
    assert "Input/output error" in running.errors
