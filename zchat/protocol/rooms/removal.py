"""Why a membership has ended that the application did not end: as an error, and as an event."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from typing import NamedTuple

from zchat import events
from zchat.errors import REFUSALS, Banned, Refused, refusal
from zchat.wire.notices import Removed


class Removal(NamedTuple):
    """The end of a membership: the error for calls of the room, and the event for the application."""

    error: Refused
    event: events.Removed


def removed(room: str, notice: Removed) -> Removal:
    """Return the removal that the broker has sent a notice of; `room` is what the application calls the room."""
    until = until_of(notice.until)
    detail = None if notice.code != Banned.code else -(-notice.until // 1_000_000)  # up, as the broker's refusals
    retryable = REFUSALS.get(notice.code, Refused).retryable
    error = refusal(notice.code, _text(room, notice, until), retryable, detail)
    return Removal(error, events.Removed(room, notice.text, notice.by, until, notice.code))


def refused(room: str, error: Refused) -> Removal:
    """Return the removal that a broker causes which refuses to have a room joined again."""
    until = error.until if isinstance(error, Banned) else None
    return Removal(error, events.Removed(room, error.text, "", until, error.code))


def until_of(microseconds: int) -> float | None:
    """Return a time of the protocol at which something ends, in seconds since 1970; None if it doesn't end."""
    return microseconds / 1e6 if microseconds else None


def _text(room: str, notice: Removed, until: float | None) -> str:
    if not notice.by:
        return f"you are not in {room} any more: {notice.text or notice.code}"
    done = {"kicked": f"put you out of {room}", "banned": f"banned you from {room}"}
    text = f"{notice.by} has {done.get(notice.code, f'removed you from {room}')}"
    if until is not None and (when := _utc(until)):
        text += f" until {when}"
    return f"{text}: {notice.text}" if notice.text else text


def _utc(seconds: float) -> str:
    """Return a time in words, "" if no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(ceil(seconds), UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return ""
