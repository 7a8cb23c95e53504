"""Short texts for what is shown: numbers, times, and what an event means."""

from __future__ import annotations

from datetime import date, datetime

from zchat.cli.text.safe import named, safe
from zchat.events import Disconnected, Gap, Reconnected
from zchat.messages import GapReason

NAMED = 3
"""Users named in a line; of more the first ones, and how many others."""


def room_named(text: str) -> str:
    """Return the room that a text names where one is typed: `#General`, as rooms are shown, is General."""
    return text.removeprefix("#")


def listed(names: list[str]) -> str:
    """Return names as an enumeration, `NAMED` at most."""
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def local_time(timestamp: int, today: date | None = None) -> str:
    """Return a time in microseconds since 1970 (UTC) as local date and time, of `today` the time alone."""
    try:
        when = datetime.fromtimestamp(timestamp / 1e6)
    except (OverflowError, ValueError, OSError):  # no calendar has it
        return "--:--:--"
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%Y-%m-%d %H:%M:%S}"


def connection_text(event: Disconnected | Reconnected) -> str:
    """Return one line that reports a lost or restored connection."""
    if isinstance(event, Disconnected):
        return f"disconnected: {event.reason}; reconnecting"
    return "reconnected"


def gap_text(gap: Gap) -> str:
    """Return one line that explains a gap to the reader."""
    room = named(gap.room)
    match gap.reason:
        case GapReason.TRIMMED:
            return f"{room}: messages {gap.after + 1} to {gap.upto} are no longer kept"
        case GapReason.RESET:
            return f"{room}: the room's log was replaced; reading continues after message {gap.upto}"
        case GapReason.TAIL_LOST:
            return f"{room}: the end of the room's log was lost; reading continues after message {gap.upto}"
        case GapReason.WITHHELD:
            return f"{room}: messages {gap.after + 1} to {gap.upto} are from before you came, and not for you to read"
        case reason:
            return f"{room}: messages {gap.after + 1} to {gap.upto} are not available ({safe(reason)})"
