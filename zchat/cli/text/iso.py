"""Times as ISO 8601 writes them, and times that a user means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""The units of an age, as `timedelta` calls them."""

AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
"""A number and a unit; an age is one or several."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""The first time that the calendar has."""


def iso_time(timestamp: int) -> str | None:
    """Return a time in microseconds since 1970 as `2026-01-31T23:59:59.123456Z`; None if no calendar has it."""
    try:
        when = EPOCH + timedelta(microseconds=timestamp)
    except OverflowError:
        return None
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if when.year >= 1000 else None


def span_meant(text: str) -> timedelta | None:
    """Return what an age such as `90s` or `1h30m` means, `timedelta.max` if that is longer; None if it is none."""
    parts = AGE.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return sum((timedelta(**{UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
    except OverflowError:
        return timedelta.max


def time_meant(text: str, now: datetime) -> int:
    """Return in microseconds since 1970 what a user means: an age such as `90s` or `1h30m`, or a time.

    A time without an offset is local; a date is its beginning. Ages are counted from `now`, which has a zone; an age
    that is longer than the calendar means the calendar's beginning.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    age = span_meant(text)
    if age is not None:
        when = now - age if age < now - BEGINNING else BEGINNING
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(
                f"{text!a} is neither an age such as 90s, 30m, 1h, 2d or 1w nor a time such as 2026-01-31 or "
                "2026-01-31T18:30"
            ) from error
        if when.tzinfo is None:
            when = _local(when)
    return (when - EPOCH) // timedelta(microseconds=1)


def _local(when: datetime) -> datetime:
    """Return a local time with its zone; at the calendar's ends, where a day matters to nobody, that may be UTC."""
    try:
        return when.astimezone()
    except (ValueError, OverflowError, OSError):
        return when.replace(tzinfo=UTC)
