"""Figures as the families of metrics that Prometheus reads: who is behind, under names that anyone may choose."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from zchat.broker import Lag
from zchat.broker.figures import prometheus
from zchat.broker.figures.prometheus import MEASURED, FigureCollector
from zchat.broker.figures.stats import METRICS
from zchat.wire.replies import Figures

HOSTILE = 'a"} 1\\n{b="c'


def figures(*lagging: Lag) -> Figures:
    """Return figures that a test can look through, with members that are behind."""
    counts = dict.fromkeys(METRICS, 0)
    return Figures(counts, {}, list(lagging), {name: ((1,), [0, 0], 0) for name in MEASURED}, [])


def lags(told: FigureCollector) -> dict[tuple[str, str], float]:
    """Return who is reported to be behind, and by how much."""
    text = generate_latest(told).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(s.labels["room"], s.labels["user"]): s.value for s in samples if s.name == "zchat_lag_messages"}


def test_a_user_with_several_sessions_behind_is_reported_once() -> None:
    found = figures(Lag("General", "bob", 7), Lag("General", "bob", 9), Lag("General", "alice", 5))
    assert lags(FigureCollector(lambda: found)) == {("General", "bob"): 9, ("General", "alice"): 5}


def test_names_cant_write_metrics_of_their_own() -> None:
    found = figures(Lag(HOSTILE, f"{HOSTILE}\n", 7))
    assert lags(FigureCollector(lambda: found)) == {(HOSTILE, f"{HOSTILE}\n"): 7}


def test_names_without_end_make_no_series_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MAX_LAGGARDS", 2)
    found = figures(Lag("General", "alice", 3), Lag("General", "bob", 2), Lag("General", "carol", 1))
    told = FigureCollector(lambda: found)
    assert set(lags(told)) == {("General", "alice"), ("General", "bob")}
    found = figures(Lag("General", "dave", 9), Lag("General", "bob", 2))
    assert set(lags(told)) == {("General", "bob")}
