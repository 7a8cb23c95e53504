"""The dashboard and the alerts in docs: Grafana's own model knows every field, and a broker tells every metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.request import urlopen

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.running import DEADLINE, ROOT
from zchat.broker import Broker
from zchat.broker.figures.metrics import Metrics

DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
ALERTS = (ROOT / "docs" / "alerts.yml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
METRIC = re.compile(r"\b(?:zchat|process)_\w+")


def unknown(written: Any, read: Any, place: str = "") -> Iterator[str]:
    """Yield the places of what was written and not read."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from unknown(value, read.get(key), f"{place}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for index, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from unknown(one, other, f"{place}/{index}")
    elif written != read:
        yield place


def test_grafanas_model_of_dashboards_knows_every_field() -> None:
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert list(unknown(DASHBOARD, read)) == []
    assert list(unknown({"panels": [{"titel": "?"}]}, read)) == ["/panels"]


def test_panels_stand_beside_each_other_within_the_width() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@pytest.fixture(scope="module")
def told() -> set[str]:
    """Give the names in a real scrape."""
    with Broker("tcp://127.0.0.1:*") as broker, Metrics(broker, "127.0.0.1:*") as metrics:
        text = urlopen(metrics.url, timeout=DEADLINE).read().decode()
    return set(METRIC.findall("\n".join(line for line in text.splitlines() if not line.startswith("# HELP"))))


def test_every_query_of_the_dashboard_asks_for_what_a_broker_tells(told: set[str]) -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    queries += [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    assert len(queries) > 20
    assert set(METRIC.findall("\n".join(queries))) <= told


def test_every_alert_asks_for_what_a_broker_tells_and_is_explained(told: set[str]) -> None:
    rules = re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)
    names = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
    assert len(rules) == len(names) > 5
    assert set(METRIC.findall("\n".join(rules))) <= told
    assert re.findall(r"^\| `(Zchat\w+)` \|", PAGE, re.MULTILINE) == names
