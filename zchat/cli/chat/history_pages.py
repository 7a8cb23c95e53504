"""What of a room's history one is shown next: what came while one was away, then page by page further back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat import Room
from zchat.messages import Message
from zchat.names import fold

MAX_SHOWN = 1000
"""Messages shown at once at most: one request; for more there is `zchat tail`."""


PAGE = 10
"""Messages of a page where the height of the screen isn't known: what fits a small one."""

MAX_ROWS = 100
"""Messages asked for to fill a screen: more rows than most have."""

Fits = Callable[[list[Message]], int]
"""Return how many of the last of some messages fit the screen, one at least."""


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

    def next(self, room: Room, fits: Fits | None) -> Page:
        """Return what was missed in a room, if one was away; else its last messages, then those before, as `fits`."""
        key = fold(room.name)
        before = self._before.get(key)
        missed = range(0) if before is not None else self._missed.pop(key, range(0))
        limit = min(MAX_SHOWN, len(missed))
        found = room.history(before=missed.stop, limit=limit) if limit else []
        about = _CAPPED if len(found) == MAX_SHOWN and found[0].seq > missed.start else ""
        if not found and before != 1:
            found = room.history(before=before, limit=PAGE if fits is None else MAX_ROWS)
            found = found if fits is None else found[-fits(found) :]
        if found:
            self._before[key] = found[0].seq
        else:
            about = "no messages" if before is None else f"that is the beginning of {room.name}"
        return Page(about, found)


_CAPPED = f"the last {MAX_SHOWN}; zchat tail shows more"
