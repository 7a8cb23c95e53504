"""Whatever interrupts a call, and wherever: nothing is lost but what was in hand, and the client is good."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.promises.interruptions import WAYS, names, sweep
from tests.running import ROOT
from zchat.broker import Broker

# A finalizer may be interrupted as well; what it raises is shown and nothing else. Dropped clients do warn.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:.*was dropped without close:ResourceWarning"
)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        yield broker


@pytest.mark.parametrize(("way", "name"), [(way, name) for way in WAYS for name in names(way)])
def test_a_call_may_be_interrupted_at_any_of_its_steps(broker: Broker, way: str, name: str) -> None:
    assert sweep(broker.url, way, f"{way} {name}", name, most=50, thorough=7)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer that signals")
def test_signals_may_interrupt_calls_at_any_moment() -> None:
    command = [sys.executable, "-m", "tests.promises.interruptions", "--storm", "100"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    found = [f"{what}: 100 by signals\n" for what in (*WAYS, "starts and ends")]
    assert run.stdout == "".join(found), run.stderr
