"""Whatever is cancelled at random while others send, join, read and ask: all in order, nothing lost, nothing left."""

from __future__ import annotations

import os

import pytest

from tests.loop import KINDS, run
from tests.promises.tasks.stress import Stress
from zchat.broker import Broker


@pytest.mark.parametrize("loop_kind", KINDS, indirect=True)
def test_tasks_that_are_cancelled_at_random_lose_nothing_and_leave_nothing(loop_kind: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}: make cancel SEED={seed}")
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        stress = Stress(broker.url, 1.0, seed)
        run(stress.run())
    for what in ("send", "send_many", "join", "leave", "history", "members", "loop"):
        assert stress.count[what] > 0
