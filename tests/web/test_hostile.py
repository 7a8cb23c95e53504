"""A hostile page harms nobody but itself."""

from __future__ import annotations

import pytest

from tests.web.hostile import live


@pytest.mark.parametrize("seed", [1, 2])
def test_commands_made_by_chance_fail_nothing_leave_nothing_and_disturb_no_other_page(seed: int) -> None:
    counters = live(1500, seed).gateway.context.counters
    assert counters.commands > 300
    assert counters.refused["malformed"] > 100
    assert counters.closed[4002] > 100
