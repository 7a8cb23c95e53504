"""What the broker reports of itself: its counters, how much it holds, lag, times, the busiest rooms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from zchat.broker.figures.busiest import Busiest
from zchat.broker.figures.counters import COUNTED, Counters, Kind, Metric
from zchat.broker.figures.histograms import Histograms
from zchat.broker.figures.lag import LagSampler
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session_table import SessionTable
from zchat.broker.store.contract import Health
from zchat.names import DIRECT
from zchat.wire.replies import Figures

STORING = {"storing", "storing read marks"}
"""What fails, as the log names it, while nothing can be stored."""


class Delivery(Protocol):
    """What delivers notifications."""

    @property
    def memberships(self) -> int:
        """How many memberships there are."""

    @property
    def in_flight(self) -> int:
        """The bytes of notifications that members have not taken yet."""


class Sources(NamedTuple):
    """Where the figures come from."""

    counters: Counters
    histograms: Histograms
    rooms: dict[str, Room]
    sessions: SessionTable
    delivery: Delivery
    waiting: Callable[[], int]
    """Return the bytes of answers that wait for full pipes."""
    lag: LagSampler
    busiest: Busiest
    log_lines: LogLines
    health: Callable[[], Health]
    """Return how the connection to the store's server is."""
    sees: Callable[[str, str], bool]
    """Return whether a user, "" for everybody, may see the room of a name."""
    started: int
    """When the broker started, in microseconds since 1970."""
    began: float
    """The same in seconds of a clock that never goes back."""


HELD: dict[str, tuple[Metric, Callable[[Sources, float], int]]] = {
    "sent_bytes": (
        Metric(Kind.COUNTER, "Bytes of the notifications, states and answers sent.", "sent_bytes"),
        lambda of, now: of.counters.push_bytes + of.counters.state_bytes + of.counters.answer_bytes,
    ),
    "started": (
        Metric(Kind.ELSEWHERE, "When the broker started, in microseconds since 1970.", "started"),
        lambda of, now: of.started,
    ),
    "uptime": (
        Metric(Kind.ELSEWHERE, "Microseconds since the broker started.", "uptime"),
        lambda of, now: round((now - of.began) * 1_000_000),
    ),
    "interval": (
        Metric(Kind.ELSEWHERE, "Microseconds between the last two samples.", "interval"),
        lambda of, now: of.busiest.interval,
    ),
    "sessions": (
        Metric(Kind.GAUGE, "Sessions that exist.", "sessions"),
        lambda of, now: len(of.sessions.by_routing_id),
    ),
    "users": (Metric(Kind.GAUGE, "Users who have a session.", "users"), lambda of, now: len(of.sessions.by_user)),
    "rooms": (Metric(Kind.GAUGE, "Rooms that exist.", "rooms"), lambda of, now: len(of.rooms)),
    "memberships": (
        Metric(Kind.GAUGE, "Memberships that exist: each is a session in a room.", "memberships"),
        lambda of, now: of.delivery.memberships,
    ),
    "in_flight": (
        Metric(Kind.GAUGE, "Bytes of notifications that members have not taken yet.", "in_flight_bytes"),
        lambda of, now: of.delivery.in_flight,
    ),
    "storing_fails": (
        Metric(Kind.GAUGE, "1 while storing fails, until it has worked for ten seconds.", "storing_fails"),
        lambda of, now: int(not STORING.isdisjoint(of.log_lines.troubles)),
    ),
    "damaged": (
        Metric(Kind.GAUGE, "1 once the store was found damaged, until the broker is restarted.", "store_damaged"),
        lambda of, now: int(of.log_lines.damaged),
    ),
    "store_connected": (
        Metric(Kind.GAUGE, "1 while the store's server can be used.", "store_connected"),
        lambda of, now: int(of.health().connected),
    ),
    "store_silent": (
        Metric(Kind.GAUGE, "Seconds since the store's server last answered.", "store_silent_seconds"),
        lambda of, now: int(of.health().silent),
    ),
    "store_waiting": (
        Metric(Kind.GAUGE, "Blocks, read marks and sanctions that wait for the store's server.", "store_waiting"),
        lambda of, now: of.health().waiting,
    ),
    "store_attachments": (
        Metric(Kind.COUNTER, "Times that the store's server was attached to anew.", "store_attachments"),
        lambda of, now: of.health().attachments,
    ),
    "store_looks": (
        Metric(Kind.COUNTER, "Partitions looked at as a notice of another broker had not come.", "store_looks"),
        lambda of, now: of.health().looks,
    ),
    "store_tends": (
        Metric(Kind.GAUGE, "1 at the broker that removes old messages from the store.", "store_tends"),
        lambda of, now: int(of.health().tends),
    ),
    "waiting": (
        Metric(Kind.GAUGE, "Bytes of answers that wait for full pipes.", "waiting_bytes"),
        lambda of, now: of.waiting(),
    ),
}
"""What is not counted but added up or found when it is asked for: what it means, and how it is found."""

METRICS: dict[str, Metric] = {**COUNTED, **{name: metric for name, (metric, _) in HELD.items()}}
"""Every one of the counts in the figures, with what it means."""


class FigureReader:
    """All figures of a broker, read when they are asked for."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def counts(self, now: float) -> dict[str, int]:
        """Return the counts of this moment, by the names of `METRICS`. Any thread, as `read`."""
        sources = self._sources
        counts = {name: getattr(sources.counters, name) for name in COUNTED}
        counts.update((name, find(sources, now)) for name, (_, find) in HELD.items())
        return counts

    def read(self, now: float, user: str = "") -> Figures:
        """Return the figures of this moment; lag and the busiest rooms only of rooms that a user sees.

        No direct rooms are among them. `user` is a folded name, "" for everybody.
        Any thread: read by another than the loop's, counts may be of slightly different moments.
        """
        sources = self._sources
        return Figures(
            self.counts(now),
            dict(sources.counters.refused),
            [lag for lag in sources.lag.furthest if not lag.room.startswith(DIRECT) and sources.sees(user, lag.room)],
            {name: (tally.bounds, list(tally.counts), tally.sum) for name, tally in sources.histograms.by_name()},
            [traffic for traffic in sources.busiest.rooms if sources.sees(user, traffic.room)],
        )
