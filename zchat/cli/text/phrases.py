"""Short texts for what is shown: counts, times, and what an event means."""

from __future__ import annotations

from datetime import date, datetime

from zchat.cli.text.safe import harmless
from zchat.events import Disconnected, Gap, Reconnected
from zchat.messages import GapReason


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def local_time(timestamp: int, today: date | None = None) -> str:
    """Return a time given in microseconds since 1970 (UTC) as date and time here; of `today` the time alone."""
    try:
        when = datetime.fromtimestamp(timestamp / 1e6)
    except (OverflowError, ValueError, OSError):  # no calendar has it
        return "--:--:--"
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%Y-%m-%d %H:%M:%S}"


def link_text(event: Disconnected | Reconnected) -> str:
    """Say in a line that the connection is lost, or there again."""
    if isinstance(event, Disconnected):
        return f"disconnected: {event.reason}; trying again"
    return "connected again"


def gap_text(gap: Gap) -> str:
    """Return what a gap means to whoever reads."""
    room = harmless(gap.room)
    match gap.reason:
        case GapReason.TRIMMED:
            return f"{room}: messages {gap.after + 1} to {gap.upto} are no longer kept"
        case GapReason.RESET:
            return f"{room}: its log is another one than before; it goes on behind message {gap.upto}"
        case GapReason.TAIL_LOST:
            return f"{room}: the broker's log lost its end; it goes on behind message {gap.upto}"
        case reason:
            return f"{room}: messages {gap.after + 1} to {gap.upto} can't be had ({harmless(reason)})"
