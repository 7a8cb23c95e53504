"""What the handlers of commands may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zchat.broker.core.access import Access
from zchat.broker.core.joining import Joins
from zchat.broker.core.listing import Listing
from zchat.broker.core.removal import Removal
from zchat.broker.core.replies import Replies
from zchat.broker.core.sessions import Sessions
from zchat.broker.delivery.pipes import Pipes
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.audit_trail import AuditTrail
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.figures.overall import BrokerFigures
from zchat.broker.figures.stats import FigureReader
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rates import Rates
from zchat.broker.guard.shares import Shares
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.directory import Directory
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Store


@dataclass(slots=True, eq=False)
class Context:
    """The parts of a broker by name, and the time: all that a handler is given beside its command."""

    settings: Settings
    store: Store
    directory: Directory
    access: Access
    sessions: Sessions
    removal: Removal
    pusher: Pusher
    pipes: Pipes
    presence: Presence
    state_frames: StateFrames
    replies: Replies
    joins: Joins
    listing: Listing
    counters: Counters
    log_lines: LogLines
    audit: AuditTrail
    figures: FigureReader
    broker_figures: BrokerFigures
    gate: Gate
    shares: Shares[Any]
    rates: Rates
    now: float
    """Seconds of a clock that never goes back: when the present frame was received, or the present turn began."""
