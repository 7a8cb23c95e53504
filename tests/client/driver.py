"""What the tests of the client share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import zchat
from tests.faces import first
from tests.running import DEADLINE, eventually

Connect = Callable[..., zchat.Client]


def handlers_end() -> None:
    """Wait until no client's handler runs any more."""
    eventually(lambda: "zchat-events" not in [thread.name for thread in threading.enumerate()], "no handler runs")


def take(room: zchat.Room, count: int) -> list[Any]:
    """Take the next `count` bodies."""
    bodies = [message.body for message in first(room.messages(timeout=DEADLINE), count)]
    assert len(bodies) == count, f"{len(bodies)} of {count} messages came: {bodies}"
    return bodies
