"""Checks of arguments that clients and brokers have in common; those of a client alone are in `zchat.protocol`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from zchat.errors import UsageError

MAX_SHOWN = 200
"""Characters of a wrong argument that an error's text has: it may be a million long."""


def shown(value: object) -> str:
    """Return a wrong argument as an error's text has it, whatever it is: short, and never an exception. Any thread."""
    try:
        text = ascii(value)
    except Exception:  # a number of too many digits, or a class with a fault
        return f"one {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def check_text(what: str, value: object) -> None:
    """Check what has to be text; `what` names it in the error's text. Any thread.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is text, not {shown(value)}")


def check_texts(what: str, kind: str, values: object) -> tuple[str, ...]:
    """Return what has to be a list of texts, or can be gone through as one; `what` names the list in the error's text,
    `kind` what is in it. Any thread.

    Raises:
        UsageError: it is something else, or a single text, whose characters would be the texts.
    """
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{what} is a list of {kind}, not {shown(values)}")
    texts = tuple(values)
    for text in texts:
        check_text(f"each of the {kind}", text)
    return texts


def check_flag(what: str, value: object) -> None:
    """Check what has to be True or False; `what` names it in the error's text. Any thread.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{what} is True or False, not {shown(value)}")


def check_timeout(seconds: float | None) -> float | None:
    """Return a timeout in seconds; None, which means no limit, also for infinity and beyond. Any thread.

    Raises:
        UsageError: it is below 0, or no number.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise UsageError(f"a timeout is a number of seconds from 0, or None for ever, not {shown(seconds)}")
    try:
        return None if float(seconds) == inf else seconds
    except OverflowError:
        return None


def check_finite_timeout(doing: str, seconds: float) -> float:
    """Return a timeout in seconds for what may not take for ever; `doing` names it in the error's text. Any thread.

    Raises:
        UsageError: it is below 0, infinite, None, or no number.
    """
    checked = check_timeout(seconds)
    if checked is None:
        raise UsageError(f"{doing} takes a timeout in seconds, not {shown(seconds)}")
    return checked
