"""How a command connects: it tells soon what can't work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread

from zchat import Client
from zchat.errors import AddressError
from zchat.events import Event

TIMEOUT = 2.0
"""Seconds for a broker to answer: one that is just starting is found, and whoever typed a wrong port soon knows."""


def connect(url: str, user: str | None, on_event: Callable[[Event], object] | None = None) -> Client:
    """Return a client; `user` None is the login name. One that shows events is in direct rooms as well.

    Raises:
        AddressError: the address names a host that isn't known.
        ZchatError: as `Client`.
    """
    if url.startswith("tcp:"):
        _check_host(url.removeprefix("tcp://").rpartition(":")[0].strip("[]"))
    return Client(url, user=user, timeout=TIMEOUT, on_event=on_event, invitations=on_event is not None)


def _check_host(host: str) -> None:
    """Raise AddressError if the host isn't known; a resolver that takes too long is left behind in its thread."""
    failures: list[Exception] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failures.append(error)

    resolving = Thread(target=resolve, name="zchat-resolve", daemon=True)
    resolving.start()
    resolving.join(TIMEOUT)
    if failures:
        reason = getattr(failures[0], "strerror", None) or failures[0]
        raise AddressError(f"the host {host!a} can't be found ({reason}); name another with --connect") from failures[0]
