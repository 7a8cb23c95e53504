"""Checks of what an application passes to a client's call: names, numbers, positions, addresses, bodies, handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from zchat.checks import check_flag, check_text, shown
from zchat.errors import UsageError
from zchat.events import Event
from zchat.messages import Position
from zchat.names import DIRECT, check_held_name, wire_name
from zchat.wire.limits import LOG, MAX_INT, MAX_SANCTION, OWN, PRESENT

ASK_TIMEOUT = 5.0
"""Seconds that a request to the broker may take, if nothing else is said."""

REPORT = "report"
"""What a client is given as `invitations` to report them and join no room by itself."""

UNMARKED = "unmarked"
"""What it is given to join rooms by itself, and leave their read marks to the application."""

SEND_TIMEOUT = 5.0
"""Seconds that a send waits, if nothing else is said: a broker that is restarted is back by then."""


def check_user(user: str) -> str:
    """Return a user's name if it keeps the rules. Any thread.

    Raises:
        UsageError: it is no text.
        BadName: it breaks the rules of `zchat.names.check_held_name`.
    """
    check_text("the name of a user", user)
    return check_held_name("user", user)


def check_room(user: str, name: str) -> str:
    """Return what the protocol calls the room that `user` calls `name`. Any thread.

    Raises:
        UsageError: it is no text.
        BadName: it is neither a room's name nor `@` and another user's.
    """
    check_text("the name of a room", name)
    return wire_name(user, name)


def direct_room(user: str) -> str:
    """Return what an application calls its direct room with `user`: `@` and that name. Any thread.

    Raises:
        UsageError: it is no text.
    """
    check_text("the name of a user", user)
    return DIRECT + user


def join_flags(echo: bool, reads: bool, present: bool) -> int:
    """Return the flags of a join, as in `zchat.wire.limits`. Any thread.

    Raises:
        UsageError: one is neither True nor False, or `echo` is asked for without `reads`.
    """
    for what, value in (("echo", echo), ("reads", reads), ("present", present)):
        check_flag(what, value)
    if echo and not reads:
        raise UsageError("join: echo without reads: own messages come among the others, or not at all")
    return LOG * reads | PRESENT * present | OWN * echo


def check_invitations(invitations: bool | str) -> None:
    """Check what a client is to do with invitations. Any thread.

    Raises:
        UsageError: it is neither True nor False nor `REPORT` nor `UNMARKED`.
    """
    if invitations not in (REPORT, UNMARKED):
        check_flag("invitations", invitations)


def check_number(what: str, value: int) -> None:
    """Check a count or a seq; `what` names it in the error's text. Any thread.

    Raises:
        UsageError: it is no whole number from 0 to MAX_INT.
    """
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise UsageError(f"{what} is a number from 0 to {MAX_INT}, not {shown(value)}")


def check_sanction_seconds(seconds: int) -> int:
    """Return how long a ban or a mute is to last. Any thread.

    Raises:
        UsageError: it is no whole number from 0 (for ever) to MAX_SANCTION.
    """
    if type(seconds) is not int or not 0 <= seconds <= MAX_SANCTION:
        raise UsageError(f"seconds is a whole number from 0 (for ever) to {MAX_SANCTION}, not {shown(seconds)}")
    return seconds


def check_position(position: Position) -> None:
    """Check a position at which a room is to be joined. Any thread.

    Raises:
        UsageError: it is no `Position`, or one of its numbers is out of range.
    """
    if not isinstance(position, tuple) or len(position) != 2:
        raise UsageError(f"join: after is a Position, as Room.position gives it, not {shown(position)}")
    check_number("the position's epoch", position[0])
    check_number("the position's seq", position[1])


def check_handler(on_event: Callable[[Event], object]) -> None:
    """Check what is to be called with events. Any thread.

    Raises:
        UsageError: it can't be called, or to call it does nothing: it is asynchronous, or a generator.
    """
    if not callable(on_event):
        raise UsageError(f"on_event is a function that is called with each event, not {shown(on_event)}")
    function: object = on_event
    while isinstance(function, partial):
        function = function.func
    for each in (function, type(function).__call__):
        if iscoroutinefunction(each) or isgeneratorfunction(each) or isasyncgenfunction(each):
            raise UsageError(f"on_event is an ordinary function, neither async nor a generator, not {shown(on_event)}")


def check_bodies(bodies: Iterable[Any]) -> None:
    """Check what is to be sent as many messages. Any thread.

    Raises:
        UsageError: it is one body, whose characters, bytes or keys would be the messages, or nothing that can be gone
            through.
    """
    if isinstance(bodies, str | bytes | bytearray | memoryview | Mapping) or not isinstance(bodies, Iterable):
        raise UsageError(f"send_many is given a list of bodies, or another iterable, not one {type(bodies).__name__}")
