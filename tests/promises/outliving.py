"""Objects with a finalizer that outlive the modules of a program: one, by its name, in a module that is cleared last.

`python -m tests.promises.outliving URL NAME` has the interpreter finalize it when the modules are gone that it uses.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any

import zchat
from zchat.transport.alarm import Alarm


async def client(url: str) -> zchat.AsyncClient:
    """Return a client that is in a room and hears itself there."""
    client = await zchat.AsyncClient(url, user="alice").connect()
    room = await client.join("General", echo=True)
    await room.send("hello")
    return client


async def messages(url: str) -> object:
    """Return a reader that holds a notification."""
    room = await (await client(url)).join("General", echo=True)
    reader = room.messages()
    await anext(reader)
    return reader


async def events(url: str) -> object:
    """Return the same of all rooms."""
    reader = (await client(url)).events()
    await anext(reader)
    return reader


def in_open_loop(made: Callable[[str], Any]) -> Callable[[str], object]:
    """Return what makes an object in a loop that is not closed."""
    return lambda url: asyncio.new_event_loop().run_until_complete(made(url))


def in_closed_loop(made: Callable[[str], Any]) -> Callable[[str], object]:
    """Return what makes an object in a loop that is closed."""
    return lambda url: asyncio.run(made(url))


OBJECTS: dict[str, Callable[[str], object]] = {
    "client": lambda url: zchat.Client(url, user="alice"),
    "client in a loop": in_closed_loop(client),
    "client in an open loop": in_open_loop(client),
    "messages": in_closed_loop(messages),
    "messages in an open loop": in_open_loop(messages),
    "events": in_closed_loop(events),
    "events in an open loop": in_open_loop(events),
    "alarm": lambda url: Alarm(),
}


if __name__ == "__main__":
    io.kept = OBJECTS[sys.argv[2]](sys.argv[1])  # type: ignore[attr-defined]
