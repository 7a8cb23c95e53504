"""Looking at a broker again and again: what it tells, or why it tells nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from zchat import Client, Stats
from zchat.errors import ConnectionLost, DeadlineExceeded, Refused
from zchat.events import Disconnected, Reconnected

ANSWER = 2.0
"""Seconds that a broker has for its answer before the screen says that there is none."""

LOST = "lost; connecting again"


def looks(client: Client, every: float) -> Iterator[Stats | str]:
    """Yield a look every so many seconds, or in a few words why there is none, until the client is closed.

    A lost connection is told at once, and so is the first look over the next one. One thread at a time.

    Raises:
        Refused, ProtocolError: why the client has ended, or that the broker doesn't know the question.
    """
    due = time.monotonic()
    connected = True
    while not client.wait(0):
        event = next(client.events(timeout=max(0.0, due - time.monotonic())), None)
        if isinstance(event, Disconnected):
            connected = False
            yield LOST
        elif isinstance(event, Reconnected):
            connected = True
            due = time.monotonic()
        elif event is None:  # it is time
            yield _look(client) if connected else LOST
            due = max(due + every, time.monotonic())


def _look(client: Client) -> Stats | str:
    try:
        return client.stats(timeout=ANSWER)
    except (DeadlineExceeded, ConnectionLost):
        return f"no answer within {ANSWER:g} s"
    except Refused as error:
        if not error.retryable:
            raise
        return f"refused: {error.code}"
