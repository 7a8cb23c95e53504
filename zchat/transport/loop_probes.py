"""What a client in an event loop asks the network beside its DEALER, without ever blocking the loop."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop, timeout
from contextlib import suppress
from functools import partial

from zchat.transport.greeting import BEGINNING, GREETING_SECONDS, Greeting, place_of
from zchat.transport.hosts import Lookup, each_once, look_up_in_thread


async def look_up(loop: AbstractEventLoop, lookup: Lookup) -> None:
    """Carry a lookup out, which calls its `done`, by the loop's own means of looking names up.

    asyncio has none once its threads have ended: those of all loops when the main thread has, though the loop goes on.
    Then a thread of ours does it.
    """
    try:
        found = each_once(await loop.getaddrinfo(lookup.host, None, type=socket.SOCK_STREAM))
    except RuntimeError:
        look_up_beside(loop, lookup)
    except Exception as error:  # of the system, or of whatever stands in for its function
        lookup.end([], error)
    else:
        lookup.end(found, None)


def look_up_beside(loop: AbstractEventLoop, lookup: Lookup) -> None:
    """Have a thread of ours carry a lookup out; its `done` is called in the loop, unless that is closed by then."""
    look_up_in_thread(Lookup(lookup.url, partial(_tell, loop, lookup), lookup.host))


def _tell(loop: AbstractEventLoop, lookup: Lookup, done: Lookup) -> None:
    """End a lookup in its loop as one that a thread has carried out."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(lookup.end, done.found, done.error)


async def read_mechanism(loop: AbstractEventLoop, url: str, seconds: float = GREETING_SECONDS) -> str:
    """Return what `zchat.transport.greeting.read_mechanism` returns; other tasks run meanwhile."""
    place = place_of(url)
    greeting = Greeting()
    family = socket.AF_UNIX if isinstance(place, bytes) else socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            async with timeout(seconds):
                await loop.sock_connect(connection, place)
                await loop.sock_sendall(connection, BEGINNING)
                while missing := greeting.missing:
                    greeting.receive(await loop.sock_recv(connection, missing))
    except OSError:  # a timeout, too
        return ""
    return greeting.mechanism
