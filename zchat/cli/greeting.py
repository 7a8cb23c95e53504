"""What a command that serves prints for people."""

from __future__ import annotations

import click

from zchat.cli.logs import is_json
from zchat.logs import Logger


def say(text: str) -> None:
    """Print a text for people; where the log is JSON its events say the same, and a program reads them.

    It waits for whatever reads standard output, or until a signal has come.

    Raises:
        OSError: it can't be written.
    """
    if not is_json():
        click.echo(text)


def greet(text: str, log: Logger) -> None:
    """Print a text at the start, or else log that it can't be: the command serves all the same."""
    try:
        say(text)
    except OSError as error:
        log.warning("what is printed at the start can't be written: %s", error, event="greeting_failed")
