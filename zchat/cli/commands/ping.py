"""`zchat ping`: whether a broker responds."""

from __future__ import annotations

import time

import click

from zchat.cli.connection import TIMEOUT, connect
from zchat.cli.options import addressing, seconds
from zchat.cli.text.safe import safe

USER = "zchat ping"
"""The user that asks: no login name is needed, and nobody's read marks or direct rooms are touched."""

MIN_TIMEOUT = 0.01
"""The fewest seconds that can be waited: less is no answer, even on the same machine."""

MAX_TIMEOUT = 3600.0
"""The most seconds that can be waited: an hour."""


@click.command()
@seconds("--timeout", TIMEOUT, MIN_TIMEOUT, MAX_TIMEOUT, "Seconds that the broker may take to answer.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if it answers.")
@addressing
def ping(url: str, timeout: float, quiet: bool) -> None:
    """Check whether a broker responds: exit with 0 if it has answered in time, with 1 if not.

    \b
    Examples:
      zchat ping
      zchat ping --timeout 10 --connect tcp://192.0.2.7:5555
      zchat ping -q || systemctl restart zchat

    It is meant for health checks. The broker has answered once its loop has taken the request, so
    one that hangs fails. One whose disk is full still answers: restarting it would not help.
    """
    began = time.monotonic()
    with connect(url, USER, timeout=timeout) as client:
        took = time.monotonic() - began
        answered = client.url
    if not quiet:
        click.echo(f"{safe(answered)} answered in {took * 1000:.0f} ms")
