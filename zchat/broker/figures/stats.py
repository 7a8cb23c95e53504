"""What the broker reports of itself: its counters, how much it holds, who lags, how long things take, what is busy."""

from __future__ import annotations

from dataclasses import fields

from zchat.broker.delivery.pipes import Pipes
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.busiest import Busiest
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.histograms import Histograms
from zchat.broker.figures.lag import LagSampler
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session_table import SessionTable
from zchat.names import DIRECT
from zchat.wire.replies import Figures

COUNTS = tuple(field.name for field in fields(Counters) if field.name != "refused")
"""The counters that are one number."""


class FigureReader:
    """All figures of a broker, read when they are asked for.

    `started`: when the broker started, in microseconds since 1970; `began`: the same in seconds of the clock of `read`.
    """

    def __init__(
        self,
        counters: Counters,
        histograms: Histograms,
        rooms: dict[str, Room],
        sessions: SessionTable,
        pusher: Pusher,
        pipes: Pipes,
        lag: LagSampler,
        busiest: Busiest,
        started: int,
        began: float,
    ) -> None:
        self._counters = counters
        self._histograms = histograms
        self._rooms = rooms
        self._sessions = sessions
        self._pusher = pusher
        self._pipes = pipes
        self._lag = lag
        self._busiest = busiest
        self._started = started
        self._began = began

    def read(self, now: float) -> Figures:
        """Return the figures of this moment; who lags and what is busy only of rooms open to all.

        Any thread: read by another than the loop's, counts may be of slightly different moments.
        """
        counters = self._counters
        sessions = list(self._sessions.by_routing_id.values())
        counts = {name: getattr(counters, name) for name in COUNTS}
        counts["sent_bytes"] = counters.push_bytes + counters.state_bytes + counters.answer_bytes
        counts["started"] = self._started
        counts["uptime"] = round((now - self._began) * 1_000_000)
        counts["interval"] = self._busiest.interval
        counts["sessions"] = len(sessions)
        counts["users"] = len(self._sessions.by_user)
        counts["rooms"] = len(self._rooms)
        counts["memberships"] = sum(len(session.members) for session in sessions)
        counts["in_flight"] = self._pusher.in_flight
        counts["waiting"] = self._pipes.waiting
        return Figures(
            counts,
            dict(counters.refused),
            [lag for lag in self._lag.furthest if not lag.room.startswith(DIRECT)],
            {name: (tally.bounds, list(tally.counts), tally.sum) for name, tally in self._histograms.by_name()},
            list(self._busiest.rooms),
        )
