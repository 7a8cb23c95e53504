"""What the broker tells of itself: its counters, how much it holds, who lags, how long things take, what is busy."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from zchat.broker.core.replies import Ticket, refuse_if_overloaded, session_of
from zchat.broker.figures.busiest import RoomTraffic
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.lag import Lag
from zchat.names import DIRECT

if TYPE_CHECKING:
    from zchat.broker.core.core import Core

COUNTS = tuple(field.name for field in fields(Counters) if field.name != "refused")
"""The counters that are one number."""


class Figures(NamedTuple):
    """Hold all that the broker tells of itself, as `stats` is answered: nothing in it changes any more.

    `times` are the tallies by name: the buckets' upper bounds, the counts in them, the sum.
    """

    counts: dict[str, int]
    refused: dict[str, int]
    lagging: list[Lag]
    times: dict[str, tuple[tuple[int, ...], list[int], int]]
    busiest: tuple[RoomTraffic, ...]


def figures(core: Core) -> Figures:
    """Return the figures of this moment; who lags and what is busy only of rooms open to all.

    Any thread: read by another than the loop's, counts may be of slightly different moments.
    """
    counters, times = core.counters, core.histograms
    counts = {name: getattr(counters, name) for name in COUNTS}
    counts["sent_bytes"] = counters.push_bytes + counters.state_bytes + counters.answer_bytes
    counts["started"] = core.started
    counts["uptime"] = round((core.now - core.began) * 1_000_000)
    counts["interval"] = core.busiest.interval
    counts["sessions"] = len(core.sessions)
    counts["users"] = len(core.users)
    counts["rooms"] = len(core.rooms)
    counts["memberships"] = sum(len(session.members) for session in list(core.sessions.values()))
    counts["in_flight"] = core.pusher.in_flight
    counts["waiting"] = core.pipes.waiting
    return Figures(
        counts,
        dict(counters.refused),
        [lag for lag in core.lag.furthest if not lag.room.startswith(DIRECT)],
        {
            name: (tally.bounds, list(tally.counts), tally.sum)
            for name, tally in (("turn", times.turn), ("commit", times.commit), ("commit_bytes", times.commit_bytes))
        },
        core.busiest.rooms,
    )


def stats(core: Core, ticket: Ticket) -> None:
    """Answer with the figures."""
    refuse_if_overloaded(core)
    session_of(ticket)
    core.answer(ticket, figures(core))
