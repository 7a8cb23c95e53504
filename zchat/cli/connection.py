"""How a command connects: what can't work is reported soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Thread

from zchat import Client
from zchat.cli import ending
from zchat.errors import AddressError, ConnectionLost, ZchatError

TIMEOUT = 2.0
"""Seconds for a broker to answer: one that is just starting is found, and a wrong port is soon reported."""


GOODBYE_SECONDS = 0.3
"""Seconds after a signal for the broker to answer the goodbye: without one the user stays listed for a while."""


@contextmanager
def connect(
    url: str, user: str | None, *, invitations: bool = False, closing: float | None = GOODBYE_SECONDS
) -> Iterator[Client]:
    """Give a client, which is closed at the end of the block, or once a signal asks the command to end.

    Args:
        url: the broker's address.
        user: the user's name; None for the login name.
        invitations: True to join direct rooms by itself in which somebody writes to the user.
        closing: seconds that what was accepted may take after a signal; None if the command closes the client itself.

    Raises:
        AddressError: the address names an unknown host.
        ZchatError: as `Client`.
        Ended: a signal came before the broker's answer.
    """
    if url.startswith("tcp:"):
        _check_host(url.removeprefix("tcp://").rpartition(":")[0].strip("[]"))
    opening = ending.Work(partial(Client, url, user=user, timeout=TIMEOUT, invitations=invitations))
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


def _check_host(host: str) -> None:
    """Raise AddressError if the host is unknown; a resolver that takes too long is abandoned in its thread."""
    failures: list[Exception] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failures.append(error)

    def wait() -> None:
        resolving = Thread(target=resolve, name="zchat-resolve", daemon=True)
        resolving.start()
        resolving.join(TIMEOUT)

    ending.Work(wait).result()
    if failures:
        reason = getattr(failures[0], "strerror", None) or failures[0]
        raise AddressError(f"the host {host!a} was not found ({reason}); name another with --connect") from failures[0]
