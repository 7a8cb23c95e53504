"""Whatever a signal's handler raises in a client's loop: every call ends, and knows what became of its message."""

from __future__ import annotations

import pytest

from tests.promises.tasks.broken_turns import sweep

# What breaks a call off before its coroutine runs leaves that for the collector, which says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:.*was never awaited:RuntimeWarning",
    "ignore:.*was dropped without close:ResourceWarning",
)


def test_a_turn_of_the_client_may_be_broken_off_at_any_step_and_so_may_what_ends_it_then() -> None:
    assert sweep(250, seed=1) == 250
