from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loop import run
from zchat.broker import Broker


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in a loop of its own."""
    function = pyfuncitem.obj
    if not function.__code__.co_flags & 0x80:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    run(function(**arguments))
    return True


@pytest.fixture(autouse=True)
def any_loop(loop_kind: str) -> None:
    """Have a test run over asyncio, with `--uvloop` over uvloop too."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Give a room of the test's own."""
    return f"room {abs(hash(request.node.nodeid)) % 10**9}"
