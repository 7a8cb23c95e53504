"""A message costs the cores no more calls than are recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.promises.budget import VERSION, Cost, measured, recorded, system_calls

MARGIN = 0.5
"""Calls a message by which a part may differ: what comes once in a while may come once more, or less."""

MARGIN_BYTES = 64
"""The same in bytes: a dictionary may grow a message earlier, or later."""

SYSTEM_CALLS = 0.05
"""System calls a message at most: the cores make none, and memory is asked for now and then."""


@pytest.mark.skipif(VERSION not in recorded(), reason=f"nothing is recorded for Python {VERSION}")
def test_a_message_costs_no_more_calls_and_bytes_than_recorded() -> None:
    now, before = measured(), recorded()[VERSION]
    assert now.keys() == before.keys()
    more = {name: (now[name], before[name]) for name in now if _exceeds(now[name], before[name])}
    assert not more, "it costs more than recorded: find out why, or record it with a reason"
    less = {name: (now[name], before[name]) for name in now if _exceeds(before[name], now[name])}
    assert not less, "it costs less than recorded: have it stay so, by python -m tests.promises.budget"


def _exceeds(these: Cost, those: Cost) -> bool:
    margins = MARGIN, MARGIN, MARGIN_BYTES
    return any(this > that + margin for this, that, margin in zip(these, those, margins, strict=True))


def test_a_message_costs_the_cores_no_system_calls(needs: Callable[[str], str]) -> None:
    assert system_calls(needs("strace")) <= SYSTEM_CALLS
