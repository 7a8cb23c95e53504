"""The options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from zchat.address import DEFAULT_URL, MAX_PORT
from zchat.cli.logs import log_level
from zchat.errors import BadName
from zchat.names import DIRECT, check_name

F = TypeVar("F", bound=Callable[..., Any])


def check_address(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse an address that no broker can have (a click callback); only one to listen at may leave its port open."""
    one = isinstance(value, str)
    for address in (value,) if one else value:
        if not re.fullmatch(r"(tcp|ipc)://\S+", address):
            raise click.BadParameter(f"{address!a} is no address; write it like {DEFAULT_URL}")
        if address.startswith("tcp:"):
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            if not host:
                raise click.BadParameter(f"{address!a} names no host or no port; write it like {DEFAULT_URL}")
            if not (port == "*" and not one) and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= MAX_PORT):
                raise click.BadParameter(f"{address!a} has the port {port!a}: ports are 1 to {MAX_PORT}")
    return value


def check_room(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse what can be the name neither of a room nor, as `@USER`, of a direct one (a click callback)."""
    for name in (value,) if isinstance(value, str) else value:
        kind = "user" if name.startswith(DIRECT) else "room"
        check_names(kind)(context, parameter, name.removeprefix(DIRECT))
    return value


def check_names(kind: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a click callback that refuses what can't be the name of a "room" or "user", before anything is done."""

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            for name in (value,) if isinstance(value, str) else value or ():
                check_name(kind, name)
        except BadName as error:
            raise click.BadParameter(str(error)) from error
        return value

    return check


def check_between(least: float, most: float, unit: str) -> Callable[[click.Context, click.Parameter, float], float]:
    """Return a click callback that refuses a number of `unit` that isn't from `least` to `most`; NaN is none."""

    def check(context: click.Context, parameter: click.Parameter, value: float) -> float:
        if not least <= value <= most:
            raise click.BadParameter(f"{value:g} is not a number of {unit} from {least:g} to {most:g}")
        return value

    return check


def connecting(command: F) -> F:
    """Add what every command that talks to a broker has: `--connect`, `--user`, `--log-level`."""
    command = log_level(command)
    command = click.option(
        "--user",
        envvar="ZCHAT_USER",
        show_envvar=True,
        metavar="NAME",
        callback=check_names("user"),
        help="Who you are.  [default: your login name]",
    )(command)
    return click.option(
        "--connect",
        "url",
        envvar="ZCHAT_URL",
        show_envvar=True,
        metavar="URL",
        default=DEFAULT_URL,
        show_default=True,
        callback=check_address,
        help="The broker's address.",
    )(command)
