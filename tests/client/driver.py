"""What the tests of the client share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zchat
from tests.running import DEADLINE

Connect = Callable[..., zchat.Client]


def take(room: zchat.Room, count: int) -> list[Any]:
    """Take the next `count` bodies."""
    bodies = []
    for message in room.messages(timeout=DEADLINE):
        bodies.append(message.body)
        if len(bodies) == count:
            return bodies
    raise AssertionError(f"{len(bodies)} of {count} messages came: {bodies}")
