"""Times as ISO 8601 writes them, and times that a user means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""The units of an age, as `timedelta` calls them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(timestamp: int) -> str | None:
    """Return a time in microseconds since 1970 as `2026-01-31T23:59:59.123456Z`; None if no calendar has it."""
    try:
        when = EPOCH + timedelta(microseconds=timestamp)
    except OverflowError:
        return None
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if when.year >= 1000 else None


def span_meant(text: str) -> timedelta | None:
    """Return what an age such as `90s` or `1h30m` means; None if it is none, or longer than any calendar."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return sum((timedelta(**{UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
    except OverflowError:
        return None


def time_meant(text: str, now: datetime) -> int:
    """Return in microseconds since 1970 what a user means: an age such as `90s` or `1h30m`, or a time.

    A time without an offset is local; a date is its beginning. Ages are counted from `now`, which has a zone.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    age = span_meant(text)
    try:
        when = datetime.fromisoformat(text).astimezone() if age is None else now - age
        return (when - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(
            f"{text!a} is neither an age such as 90s, 30m, 1h, 2d or 1w nor a time such as 2026-01-31 or "
            "2026-01-31T18:30"
        ) from error
