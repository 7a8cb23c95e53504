"""The families of metrics for Prometheus, made of a broker's figures when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from zchat.broker.figures.counters import Kind
from zchat.broker.figures.lag import Lag
from zchat.broker.figures.stats import METRICS
from zchat.errors import REFUSALS, UsageError
from zchat.version import __version__
from zchat.wire.replies import Figures

MAX_LAGGARDS = 1_000
"""Members whose lag is ever reported by name: each is a series that Prometheus keeps for as long as it keeps data, and
made-up names cost their maker nothing. From then on new ones are in `zchat_max_lag_messages` alone."""

MEASURED = {
    "turn": ("turn_seconds", 1_000_000, "How long turns of the broker's loop took."),
    "commit": ("commit_seconds", 1_000_000, "How long commits of the store took."),
    "commit_bytes": ("commit_size_bytes", 1, "How many bytes of blocks commits of the store had."),
}
"""What is measured: its metric, how many of the figures' units make one of the metric's, and what it is."""


class FigureCollector(Collector):
    """A broker's figures as Prometheus names them. One thread at a time.

    `figures` returns them; a UsageError says that there are none yet, as the broker is just starting.
    """

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._named: set[tuple[str, str]] = set()

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        try:
            found = self._figures()
        except UsageError:
            return
        yield InfoMetricFamily("zchat_build", "The version of zchat.", {"version": __version__})
        started = found.counts["started"] / 1_000_000
        yield GaugeMetricFamily("zchat_start_time_seconds", "When the broker started, in seconds since 1970.", started)
        for name, metric in METRICS.items():
            if metric.kind is not Kind.ELSEWHERE:
                family = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                yield family(f"zchat_{metric.name}", metric.help, found.counts[name])
        for name, (histogram, unit, text) in MEASURED.items():
            yield _histogram(f"zchat_{histogram}", text, unit, *found.times[name])
        yield _refused(found.refused)
        yield self._lags(found.lagging)

    def _lags(self, lagging: list[Lag]) -> Metric:
        behind: dict[tuple[str, str], int] = {}  # of several sessions of a user the furthest
        for room, user, messages in lagging:
            name = room, user
            if name in self._named or len(self._named) < MAX_LAGGARDS:
                self._named.add(name)
                behind[name] = max(messages, behind.get(name, 0))
        text = "Messages by which each of the furthest members was behind, in rooms open to all."
        family = GaugeMetricFamily("zchat_lag_messages", text, labels=["room", "user"])
        for name, messages in behind.items():
            family.add_metric(name, messages)
        return family


def _refused(refused: dict[str, int]) -> Metric:
    family = CounterMetricFamily(
        "zchat_refused", "Commands and sessions refused, by the error's code.", labels=["code"]
    )
    for code, number in {**dict.fromkeys(REFUSALS, 0), **refused}.items():  # from 0 on, so that the first is a rise
        family.add_metric([code], number)
    return family


def _histogram(name: str, text: str, unit: int, bounds: tuple[int, ...], counts: list[int], total: int) -> Metric:
    """Return a histogram, whose buckets have the values of those before them too."""
    upto = [*(repr(bound / unit) for bound in bounds), "+Inf"]
    buckets = list(zip(upto, map(float, accumulate(counts)), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total / unit)
