"""What docs/scale.md computes of a fleet: from unit costs, as written there."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from tests.running import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("scale")


def costs() -> dict[str, float]:
    """Return the unit costs that the page has."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.,]+) (?:µs|bytes) \|$", PAGE, re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def shown(heading: str) -> dict[str, float]:
    """Return the figures of a table of the page, by their names."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.,]+) \|$", part, re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def test_one_room_of_a_million_members_costs_what_the_page_says(scale: Any) -> None:
    found = scale.one_room(costs(), 1_000_000, 100, 5)
    assert shown("One room of 1,000,000 members, over 100 brokers") == pytest.approx(found, rel=0.02, abs=0.006)


def test_a_million_rooms_cost_what_the_page_says(scale: Any) -> None:
    found = scale.many_rooms(costs(), 1_000_000, 10, 10, 1_000_000 / 60)
    assert shown("1,000,000 rooms, over 10 brokers") == pytest.approx(found, rel=0.02, abs=0.006)
    found = scale.many_rooms(costs(), 100_000, 1, 10, 100_000 / 60)
    assert shown("100,000 rooms in each of ten stores") == pytest.approx(found, rel=0.02, abs=0.006)
