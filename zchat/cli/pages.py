"""What of a room's history one is shown next: what came while one was away, then page by page further back."""

from __future__ import annotations

from typing import NamedTuple

from zchat import Room
from zchat.messages import Message
from zchat.names import fold

MAX_SHOWN = 1000
"""Messages shown at once at most: one request; for more there is `zchat tail`."""


class Page(NamedTuple):
    """Hold messages to show, and in `about` what is to be told of them first, "" for nothing."""

    about: str
    messages: list[Message]


class Pages:
    """Keep for each room what was missed there and how far back one has gone. One thread."""

    def __init__(self) -> None:
        self._missed: dict[str, range] = {}  # of the rooms seen before: what was said while one was elsewhere
        self._before: dict[str, int] = {}  # of the rooms one goes back in: the first message shown

    def left(self, room: Room) -> None:
        """Take note that one looks away from a room."""
        unseen = room.position.seq + 1
        self._missed[fold(room.name)] = range(unseen, unseen)

    def entered(self, room: Room) -> None:
        """Take note that one looks at a room."""
        missed = self._missed.get(fold(room.name))
        if missed is not None:
            self._missed[fold(room.name)] = range(missed.start, room.position.seq + 1)

    def stop(self) -> None:
        """Begin at the end again the next time: something else was done meanwhile."""
        self._before.clear()

    def last(self, room: Room, count: int) -> Page:
        """Return the last `count` messages, MAX_SHOWN at most."""
        found = room.history(limit=min(MAX_SHOWN, count)) if count else []
        if not found:
            return Page("no messages", [])
        self._before[fold(room.name)] = found[0].seq
        self._missed.pop(fold(room.name), None)
        return Page(_CAPPED if len(found) == MAX_SHOWN < count else "", found)

    def next(self, room: Room, count: int) -> Page:
        """Return what was missed in a room, if one was away; else the last `count` messages, then those before."""
        key = fold(room.name)
        before = self._before.get(key)
        if before is not None:
            older = room.history(before=before, limit=count) if before > 1 else []
            if not older:
                return Page(f"that is the beginning of {room.name}", [])
            self._before[key] = older[0].seq
            return Page("", older)
        missed = self._missed.pop(key, range(0))
        limit = min(MAX_SHOWN, len(missed))
        found = room.history(before=missed.stop, limit=limit) if limit else []
        if not found:
            return self.last(room, count)
        self._before[key] = found[0].seq
        return Page(_CAPPED if len(found) == MAX_SHOWN and found[0].seq > missed.start else "", found)


_CAPPED = f"the last {MAX_SHOWN}; zchat tail shows more"
