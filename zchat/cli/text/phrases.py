"""Short texts for what is shown: numbers, times, and what an event means."""

from __future__ import annotations

import re
from datetime import date, datetime
from math import ceil

from zchat.cli.text.safe import named, safe
from zchat.errors import Banned, Kicked, Muted
from zchat.events import Disconnected, Gap, Reconnected, Removed
from zchat.messages import GapReason

SOON_SECONDS = 120.0
"""Seconds from its end within which the end of a ban or mute is shown with its seconds."""

NAMED = 3
"""Users named in a line; of more the first ones, and how many others."""


_UNTIL_UTC = re.compile(r"until \d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? UTC")


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


def local_minute(seconds: float, today: date | None = None) -> str:
    """Return a time in seconds since 1970 as `local_time` does, without its seconds."""
    return local_time(int(seconds * 1e6), today).rpartition(":")[0]


def until_text(until: float | None, now: datetime) -> str:
    """Return until when something is in force, a time in seconds since 1970, None for ever.

    It is local, with its date unless that is today's, and with its seconds if `now`, which is local, is near.
    """
    if until is None:
        return "for ever"
    text = local_time(ceil(until) * 1_000_000, now.date())  # whole seconds, as the broker's errors have them
    soon = abs(until - now.timestamp()) < SOON_SECONDS
    return f"until {text if soon else text.rpartition(':')[0]}"


def error_text(error: Exception, now: datetime | None = None) -> str:
    """Return what an error says, with the end of a ban or mute as `until_text` has it; None: it is now."""
    text = str(error)
    return _by_this_clock(text, error.until, now or datetime.now()) if isinstance(error, Banned | Muted) else text


def _by_this_clock(text: str, until: float | None, now: datetime) -> str:
    """Return a text of the broker's, which gives the end of a ban or mute in UTC, with the local time of the end."""
    return text if until is None else _UNTIL_UTC.sub(until_text(until, now), text, count=1)


def removed_text(event: Removed, now: datetime) -> str:
    """Return one line that says why the user is in a room no longer; `now` as in `until_text`."""
    by, room, reason = named(event.by), named(event.room), event.reason
    match event.code:
        case _ if not event.by:
            reason = _by_this_clock(event.reason, event.until, now)
            text = f"you are not in {room} any more"
        case Kicked.code:
            text = f"{by} has put you out of {room}"
        case Banned.code:
            text = f"{by} has banned you from {room} {until_text(event.until, now)}"
        case _:
            text = f"{by} has removed you from {room}"
    return f"{text}: {safe(reason)}" if reason else text


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
