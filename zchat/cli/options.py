"""The options that several commands share."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from zchat.cli.show import harmless
from zchat.defaults import DEFAULT_URL

LEVELS = ("debug", "info", "warning", "error")

F = TypeVar("F", bound=Callable[..., Any])


class _HarmlessFormatter(logging.Formatter):
    """Keep what others sent from steering the terminal by way of a log record."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(harmless, super().format(record).split("\n")))


def _begin_logging(context: click.Context, parameter: click.Parameter, level: str | None) -> None:
    if level is None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def check_address(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse an address that no broker can have (a click callback)."""
    for address in (value,) if isinstance(value, str) else value:
        if not re.match(r"[a-z]+://\S", address):
            raise click.BadParameter(f"{address!r} is no address; write it like {DEFAULT_URL}")
    return value


def log_level(command: F) -> F:
    """Add `--log-level`."""
    return click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        expose_value=False,
        callback=_begin_logging,
        help="Log to standard error from this level on.  [default: no log]",
    )(command)


def connecting(command: F) -> F:
    """Add what every command that talks to a broker has: `--connect`, `--user`, `--log-level`."""
    command = log_level(command)
    command = click.option(
        "--user", envvar="ZCHAT_USER", show_envvar=True, metavar="NAME", help="Who you are.  [default: your login name]"
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
