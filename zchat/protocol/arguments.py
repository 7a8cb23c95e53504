"""Checks of what an application passes to a call: names, numbers, positions, timeouts, addresses, bodies, handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

from zchat.errors import UsageError
from zchat.events import Event
from zchat.messages import Position
from zchat.names import DIRECT, check_held_name, wire_name
from zchat.wire.limits import MAX_INT


def check_user(user: str) -> str:
    """Return a user's name if it keeps the rules. Any thread.

    Raises:
        UsageError: it is no text.
        BadName: it breaks the rules of `zchat.names.check_held_name`.
    """
    if not isinstance(user, str):
        raise UsageError(f"the name of a user is text, not {user!r}")
    return check_held_name("user", user)


def check_room(user: str, name: str) -> str:
    """Return what the protocol calls the room that `user` calls `name`. Any thread.

    Raises:
        UsageError: it is no text.
        BadName: it is neither a room's name nor `@` and another user's.
    """
    if not isinstance(name, str):
        raise UsageError(f"the name of a room is text, not {name!r}")
    return wire_name(user, name)


def direct_room(user: str) -> str:
    """Return what an application calls its direct room with `user`: `@` and that name. Any thread.

    Raises:
        UsageError: it is no text.
    """
    if not isinstance(user, str):
        raise UsageError(f"the name of a user is text, not {user!r}")
    return DIRECT + user


def check_number(what: str, value: int) -> None:
    """Check a count or a seq; `what` names it in the error's text. Any thread.

    Raises:
        UsageError: it is no whole number from 0 to MAX_INT.
    """
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise UsageError(f"{what} is a number from 0 to {MAX_INT}, not {value!r}")


def check_position(position: Position) -> None:
    """Check a position at which a room is to be joined. Any thread.

    Raises:
        UsageError: it is no `Position`, or one of its numbers is out of range.
    """
    if not isinstance(position, tuple) or len(position) != 2:
        raise UsageError(f"join: after is a Position, as Room.position gives it, not {position!r}")
    check_number("the position's epoch", position[0])
    check_number("the position's seq", position[1])


def check_timeout(seconds: float | None) -> float | None:
    """Return a timeout in seconds; None, which means no limit, also for infinity. Any thread.

    Raises:
        UsageError: it is below 0, or no number.
    """
    if seconds is None or seconds == inf:
        return None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise UsageError(f"a timeout is a number of seconds from 0, or None for ever, not {seconds!r}")
    return seconds


def check_finite_timeout(doing: str, seconds: float) -> float:
    """Return a timeout in seconds for what may not take for ever; `doing` names it in the error's text. Any thread.

    Raises:
        UsageError: it is below 0, infinite, None, or no number.
    """
    checked = check_timeout(seconds)
    if checked is None:
        raise UsageError(f"{doing} takes a timeout in seconds, not {seconds!r}")
    return checked


def check_urls(url: str | Sequence[str]) -> list[str]:
    """Return the addresses of the brokers that a client may connect to, in turn. Any thread.

    Raises:
        UsageError: there is none, or one is no text.
    """
    given: object = url
    if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise UsageError(f"a client is given the address of a broker, or several, not {given!r}")
    urls = [url] if isinstance(url, str) else list(url)
    if not urls:
        raise UsageError("a client needs the address of at least one broker")
    if wrong := [each for each in urls if not isinstance(each, str)]:
        raise UsageError(f"a broker's address is text, not {wrong[0]!r}")
    return urls


def check_handler(on_event: Callable[[Event], object]) -> None:
    """Check what is to be called with events. Any thread.

    Raises:
        UsageError: it can't be called.
    """
    if not callable(on_event):
        raise UsageError(f"on_event is a function that is called with each event, not {on_event!r}")


def check_bodies(bodies: Iterable[Any]) -> None:
    """Check what is to be sent as many messages. Any thread.

    Raises:
        UsageError: it is one text, whose characters would be the messages, or nothing that can be gone through.
    """
    if isinstance(bodies, str | bytes | bytearray) or not isinstance(bodies, Iterable):
        raise UsageError(f"send_many is given a list of bodies, or another iterable, not one {type(bodies).__name__}")
