"""Calls in the handlers of signals and in finalizers: each works, or is refused at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.promises.interruptions import BATCHED, WAYS
from tests.promises.nested import OUTER, closed, inner_names, nest, nest_in_receive_thread
from tests.running import ROOT
from zchat.broker import Broker

pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped without close:ResourceWarning")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        yield broker


@pytest.mark.parametrize(
    ("way", "name"), [(way, name) for way in WAYS for name in (["read"] if way in BATCHED else inner_names())]
)
def test_a_call_may_begin_in_the_middle_of_another(broker: Broker, way: str, name: str) -> None:
    done = [nest(broker.url, way, f"{way} {name} {outer}", outer, name, most=2) for outer in OUTER]
    assert sum(done) > len(OUTER)


@pytest.mark.parametrize("name", inner_names())
def test_in_a_thread_that_callers_wait_for_a_call_is_refused_if_it_would_wait(broker: Broker, name: str) -> None:
    assert nest_in_receive_thread(broker.url, "messages", f"receive thread {name}", name, 10)


@pytest.mark.parametrize("outer", OUTER)
def test_a_client_may_be_closed_in_the_middle_of_a_call(outer: str) -> None:
    assert closed("messages", outer, most=6)


def ran(*options: str) -> str:
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-m", "tests.promises.nested", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer that signals")
def test_the_handler_of_a_signal_may_make_any_call_while_another_one_waits() -> None:
    assert ran("--signals").endswith(" in handlers\n")


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
def test_finalizers_may_make_any_call_wherever_the_collector_runs_them(
    tmp_path_factory: pytest.TempPathFactory, store: str
) -> None:
    if store == "sqlite":
        store = f"sqlite:{tmp_path_factory.mktemp('store')}/z.db"
    assert " in finalizers" in ran("--finalizers", "500", "--store", store)
