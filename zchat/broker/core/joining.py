"""What a session asks of a room that it is joining, while the store locates the room's end: it waits for the join.

A client sends its requests without waiting for the answer to its join. Carried out before it they would be refused, and
a leave would leave the session in the room.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from zchat.broker.core.replies import Request
from zchat.broker.rooms.session import Session
from zchat.wire.commands import CommandSpec


class Held(NamedTuple):
    """A command that waits, or is to be carried out now that it has waited."""

    request: Request
    word: str
    spec: CommandSpec
    fields: list[Any]


class Joins:
    """The joins that wait, by session and folded room, with what waits for them: as many as may be unanswered."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[Session, str], deque[Held]] = {}
        self.ready: deque[Held] = deque()
        """What is to be carried out, in order, as its join is done."""

    def begin(self, session: Session, room: str) -> None:
        """Have what a session asks of a room wait."""
        self.waiting[session, room] = deque()

    def hold(self, room: str, held: Held) -> bool:
        """Keep a command about a room if it is to wait; return whether. What isn't answered never does."""
        request = held.request
        if request.session is None or request.number is None:
            return False
        waiting = self.waiting.get((request.session, room))
        if waiting is None:
            return False
        waiting.append(held)
        return True

    def end(self, session: Session, room: str) -> None:
        """Have what has waited be carried out, before all that comes now."""
        self.ready.extend(self.waiting.pop((session, room)))
