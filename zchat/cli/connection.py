"""How a command connects: what can't work is reported soon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Literal

from zchat import Client
from zchat.cli import ending
from zchat.cli.failures import hinting_at
from zchat.cli.options import addresses, given_keys
from zchat.errors import (
    AddressError,
    BadKey,
    BadName,
    ConnectionLost,
    NoKeysThere,
    ServerKeyWrong,
    UsageError,
    WrongName,
    ZchatError,
)

TIMEOUT = 2.0
"""Seconds for a broker to answer: one that is just starting is found, and a wrong port is soon reported."""

GOODBYE_SECONDS = 0.3
"""Seconds after a signal for the broker to answer the goodbye: without one the user stays listed for a while."""

HINTS: dict[type[ZchatError], str] = {
    ConnectionLost: "--connect URL",
    AddressError: "--connect URL",
    BadName: "--user NAME",
    WrongName: "--user NAME",
    BadKey: "--key FILE, --server-key FILE",
    NoKeysThere: "--connect URL",
    ServerKeyWrong: "--server-key FILE",
    UsageError: "--user NAME",  # there is no login name
}
"""The options that mend what can be wrong with a connection."""


@contextmanager
def connect(
    url: str,
    user: str | None,
    *,
    timeout: float | None = None,
    invitations: Literal[False, "unmarked"] = False,
    closing: float | None = GOODBYE_SECONDS,
) -> Iterator[Client]:
    """Give a client, which is closed at the end of the block, or once a signal asks the command to end.

    Args:
        url: the broker's address; or several, with commas between them, of which the first that answers is used.
        user: the user's name; None for the login name.
        timeout: seconds that the broker may take to answer; None for `TIMEOUT`.
        invitations: "unmarked" to join direct rooms by itself in which somebody writes to the user.
        closing: seconds that what was accepted may take after a signal; None if the command closes the client itself.

    Raises:
        ZchatError: as `Client`.
        Ended: a signal came before the broker's answer.
    """
    timeout = TIMEOUT if timeout is None else timeout
    opening = ending.Work(
        partial(Client, addresses(url), user=user, timeout=timeout, invitations=invitations, **given_keys())
    )
    with hinting_at(HINTS):
        client = opening.result()
    with nullcontext() if closing is None else ending.calling(partial(client.close, closing)), client:
        try:
            yield client
        finally:
            if ending.asked():
                client.close(closing or GOODBYE_SECONDS)


def is_lost(error: ZchatError) -> bool:
    """Return True if an error means that the client has ended, whatever else it means."""
    return isinstance(error, ConnectionLost) or isinstance(error.__cause__, ConnectionLost)
