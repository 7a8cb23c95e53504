"""The families of metrics that Prometheus is told, made of a broker's figures when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from zchat.broker.figures.lag import Lag
from zchat.errors import REFUSALS
from zchat.version import __version__
from zchat.wire.replies import Figures

MAX_LAGGARDS = 1_000
"""Members whose lag is ever told by name: each is a series that Prometheus keeps for as long as it keeps data, and
names cost whoever invents them nothing. From then on new ones are in `zchat_max_lag_messages` alone."""

COUNTED = {
    "frames": "Frames received.",
    "received_bytes": "Bytes of the frames received.",
    "sent_bytes": "Bytes of the notifications, states and answers sent.",
    "answers": "Answers and other words sent, beside notifications and state.",
    "answer_bytes": "Bytes of the answers and other words sent.",
    "messages": "Messages stored.",
    "blocks": "Blocks stored.",
    "duplicates": "Blocks that had been stored before.",
    "pushes": "Notifications sent to members.",
    "push_bytes": "Bytes of the notifications sent to members.",
    "deliveries": "Messages in the notifications sent to members.",
    "deferred": "Pushes that found no credit.",
    "retried": "Pushes that found a full pipe.",
    "failed": "Pushes and answers that found nobody.",
    "gaps": "Gaps told to members.",
    "fenced": "Frames of connections whose session went on over a later one.",
    "stale_credit": "Words of credit that no longer mattered.",
    "reads": "Pages asked of the store for members far behind.",
    "unread": "Pages that the store could not read.",
    "untrimmed": "Steps of retention that failed.",
    "states": "Frames with the state of rooms sent.",
    "state_bytes": "Bytes of the frames with the state of rooms.",
    "stale_seen": "Words about frames of state that no longer mattered.",
    "typing_dropped": "Words of typing that came too early.",
    "marks": "Read marks stored.",
    "uninvited": "Invitations beyond what a session can have waiting.",
    "expired": "Sessions that fell silent.",
    "greeted": "Greetings accepted.",
}
"""What each counter counts, by its name in the figures: `zchat_NAME_total`."""

HELD = {
    "sessions": ("sessions", "Sessions that there are."),
    "users": ("users", "Users who have a session."),
    "rooms": ("rooms", "Rooms that there are."),
    "memberships": ("memberships", "Memberships that there are: a session in a room."),
    "in_flight": ("in_flight_bytes", "Bytes of notifications that members have not taken yet."),
    "waiting": ("waiting_bytes", "Bytes of answers that wait for full pipes."),
    "lagging": ("lagging_members", "Members behind the log at the last look, every five seconds."),
    "behind": ("behind_messages", "Messages that all members together had yet to be sent at the last look."),
    "furthest": ("max_lag_messages", "Messages that the member furthest behind had yet to be sent at the last look."),
}
"""What rises and falls: its metric, and what it is."""

MEASURED = {
    "turn": ("turn_seconds", 1_000_000, "How long turns of the broker's loop took."),
    "commit": ("commit_seconds", 1_000_000, "How long commits of the store took."),
    "commit_bytes": ("commit_size_bytes", 1, "How many bytes of blocks commits of the store had."),
}
"""What is measured: its metric, how many of the figures' units make one of the metric's, and what it is."""

ELSEWHERE = {"turns", "commits", "commit_bytes", "uptime", "interval"}
"""Counts that other metrics tell as well: the histograms, and the time of the start."""


class Families(Collector):
    """Tell a broker's figures as Prometheus names them. `figures` returns them. One thread at a time."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._named: set[tuple[str, str]] = set()

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        found = self._figures()
        yield InfoMetricFamily("zchat_build", "The version of zchat.", {"version": __version__})
        started = found.counts["started"] / 1_000_000
        yield GaugeMetricFamily("zchat_start_time_seconds", "When the broker started, in seconds since 1970.", started)
        for name, text in COUNTED.items():
            yield CounterMetricFamily(f"zchat_{name}", text, found.counts[name])
        for name, (metric, text) in HELD.items():
            yield GaugeMetricFamily(f"zchat_{metric}", text, found.counts[name])
        for name, (metric, unit, text) in MEASURED.items():
            yield _histogram(f"zchat_{metric}", text, unit, *found.times[name])
        yield _refused(found.refused)
        yield self._lags(found.lagging)

    def _lags(self, lagging: list[Lag]) -> Metric:
        behind: dict[tuple[str, str], int] = {}  # of several sessions of a user the furthest
        for room, user, messages in lagging:
            name = room, user
            if name in self._named or len(self._named) < MAX_LAGGARDS:
                self._named.add(name)
                behind[name] = max(messages, behind.get(name, 0))
        text = "Messages that one of the members furthest behind had yet to be sent, in rooms open to all."
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
    """Return a histogram, whose buckets are told as how many values they and those before them have."""
    upto = [*(repr(bound / unit) for bound in bounds), "+Inf"]
    buckets = list(zip(upto, map(float, accumulate(counts)), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total / unit)
