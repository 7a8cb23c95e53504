"""A message costs the cores no more calls than are recorded."""

from __future__ import annotations

import pytest

from tests.promises.budget import VERSION, measured, recorded

MARGIN = 0.5
"""Calls a message by which a part may differ: what comes once in a while may come once more, or less."""


@pytest.mark.skipif(VERSION not in recorded(), reason=f"nothing is recorded for Python {VERSION}")
def test_a_message_costs_no_more_calls_than_recorded() -> None:
    now, before = measured(), recorded()[VERSION]
    assert now.keys() == before.keys()
    more = {name: (now[name], before[name]) for name in now if _exceeds(now[name], before[name])}
    assert not more, "it costs more than recorded, (calls, calls of C): find out why, or record it with a reason"
    less = {name: (now[name], before[name]) for name in now if _exceeds(before[name], now[name])}
    assert not less, "it costs less than recorded: have it stay so, by python -m tests.promises.budget"


def _exceeds(these: list[float], those: list[float]) -> bool:
    return any(this > that + MARGIN for this, that in zip(these, those, strict=True))
