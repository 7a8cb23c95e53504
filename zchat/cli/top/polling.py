"""Polling a broker: what it reports at intervals, or why it reports nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from zchat import Client
from zchat.cli.streams import READER_SECONDS
from zchat.errors import ConnectionLost, DeadlineExceeded, Refused
from zchat.events import Disconnected, Reconnected
from zchat.stats import Stats

ANSWER_SECONDS = 2.0
"""Seconds that a broker has to answer before the screen says that it doesn't."""

LOST = "connection lost; reconnecting"


def samples(client: Client, every: float, between: Callable[[], object] = lambda: None) -> Iterator[Stats | str]:
    """Yield a sample every so many seconds, or a few words that say why there is none, until the client is closed.

    A lost connection is reported immediately, and the first sample after it is taken immediately.
    `between` is called once a second while no sample is due; what it raises is raised. One thread at a time.

    Raises:
        Refused, ProtocolError: why the client has ended, or that the broker doesn't know the request.
    """
    due = time.monotonic()
    connected = True
    while not client.wait(0):
        left = max(0.0, due - time.monotonic())
        event = next(client.events(timeout=min(left, READER_SECONDS)), None)
        if isinstance(event, Disconnected):
            connected = False
            yield LOST
        elif isinstance(event, Reconnected):
            connected = True
            due = time.monotonic()
        elif event is None and left > READER_SECONDS:
            between()
        elif event is None:  # it is time
            yield _sample(client) if connected else LOST
            due = max(due + every, time.monotonic())


def _sample(client: Client) -> Stats | str:
    try:
        return client.stats(timeout=ANSWER_SECONDS)
    except (DeadlineExceeded, ConnectionLost):
        return f"no answer within {ANSWER_SECONDS:g} s"
    except Refused as error:
        if not error.retryable:
            raise
        return f"refused: {error.code}"
