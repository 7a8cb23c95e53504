"""Why a command is refused or a connection closed, as pages are notified."""

from __future__ import annotations

import re
from enum import IntEnum
from math import ceil
from typing import Any

from zchat.errors import REFUSALS, Busy, Malformed, Refused, ZchatError, refusal
from zchat.events import Removed


class Close(IntEnum):
    """The codes with which the gateway closes a connection (docs/web.md, *Ends of a connection*)."""

    TOO_LARGE = 1009
    FAULT = 1011
    AGAIN = 1012
    NOT_LET_IN = 4001
    MALFORMED = 4002
    SUPERSEDED = 4003
    TOO_FAST = 4029


class Turned(Exception):
    """A command that the gateway itself refuses: the code, why, and after how many milliseconds it would be taken."""

    def __init__(self, code: str, text: str, *, after: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.after = after

    @property
    def retryable(self) -> bool:
        """True if the same command can work later."""
        return self.code in _RETRYABLE


_RETRYABLE = frozenset(("too_fast", "busy", "connection_lost", "deadline_exceeded", "outcome_unknown"))


def malformed(text: str) -> Turned:
    """Return the refusal of what is no command."""
    return Turned(Malformed.code, text)


def not_let_in(text: str) -> Turned:
    """Return the refusal of someone who may not come in."""
    return Turned("not_let_in", text)


def fields(error: Turned | ZchatError) -> dict[str, Any]:
    """Return the fields of an `error` frame."""
    if isinstance(error, Turned):
        more = {} if error.after is None else {"after": error.after}
        return {"code": error.code, "text": error.text, "retryable": error.retryable, **more}
    if not isinstance(error, Refused):
        code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
        return {"code": code, "text": str(error), "retryable": code in _RETRYABLE}
    found: dict[str, Any] = {"code": error.code, "text": error.text, "retryable": error.retryable}
    if isinstance(error, Busy) and error.detail is not None:
        found["after"] = error.detail
    until = getattr(error, "until", None)
    return found if until is None else {**found, "until": int(until)}


def is_retryable(error: Turned | ZchatError) -> bool:
    """Return whether the same can work later."""
    return bool(fields(error)["retryable"])


def put_out(event: Removed) -> ZchatError:
    """Return why a page can't come in whose user was put out of the room meanwhile."""
    text = f"you are not in {event.room} any more" + (f": {event.reason}" if event.reason else "")
    until = None if event.until is None else ceil(event.until)
    return refusal(event.code, text, REFUSALS.get(event.code, Refused).retryable, until)


def removal(room: str, error: ZchatError) -> Removed | None:
    """Return the end of a room into which a user can't come again, as pages are notified; None: it can work later."""
    if is_retryable(error):
        return None
    found = fields(error)
    return Removed(room, found["text"], "", found.get("until"), found["code"])
