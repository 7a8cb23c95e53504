"""What the broker tells of itself: its counters, how much it holds, and who lags."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from zchat.broker.counters import Counters
from zchat.broker.ticket import Ticket, refuse_if_overloaded, session_of
from zchat.names import DIRECT

if TYPE_CHECKING:
    from zchat.broker.core import Core

COUNTS = tuple(field.name for field in fields(Counters) if field.name != "refused")
"""The counters that are one number."""


def stats(core: Core, ticket: Ticket) -> None:
    """Answer with the counters, the sizes, the refusals by code, and who is furthest behind in rooms open to all."""
    refuse_if_overloaded(core)
    session_of(ticket)
    counters = core.counters
    counts = {name: getattr(counters, name) for name in COUNTS}
    counts["sessions"] = len(core.sessions)
    counts["rooms"] = len(core.rooms)
    counts["memberships"] = sum(len(session.members) for session in core.sessions.values())
    open_to_all = (lag for lag in core.lagging.furthest if not lag.room.startswith(DIRECT))
    core.answer(ticket, counts, dict(counters.refused), [list(lag) for lag in open_to_all])
