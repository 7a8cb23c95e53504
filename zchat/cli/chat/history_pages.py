"""The part of a room's history that is shown next: what the user missed, then page by page further back."""

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
"""Messages requested to fill a screen: more rows than most have."""

Fits = Callable[[list[Message]], int]
"""Return how many of the last of some messages fit the screen, one at least."""

_CAPPED = f"the last {MAX_SHOWN:,} messages; zchat tail shows more"


class Page(NamedTuple):
    """Messages to show, and a line to show before them, "" for none."""

    heading: str
    messages: list[Message]


class HistoryPages:
    """What the user missed in each room, and how far back each has been shown. One thread.

    `fits`: None if the height of the screen isn't known.
    """

    def __init__(self, fits: Fits | None) -> None:
        self._fits = fits
        self._missed: dict[str, range] = {}
        """What came while the user was elsewhere, for rooms that were left for another."""
        self._before: dict[str, int] = {}
        """The first message shown, for rooms that are being paged back."""

    def leave(self, room: Room) -> None:
        """Record that the user goes elsewhere."""
        unseen = room.position.seq + 1
        self._missed[fold(room.name)] = range(unseen, unseen)

    def enter(self, room: Room) -> None:
        """Record that the user comes, perhaps back, to a room."""
        missed = self._missed.get(fold(room.name))
        if missed is not None:
            self._missed[fold(room.name)] = range(missed.start, room.position.seq + 1)

    def restart(self) -> None:
        """Begin at the end of each room again the next time."""
        self._before.clear()

    def last(self, room: Room, count: int) -> Page:
        """Return the last `count` messages, MAX_SHOWN at most."""
        found = room.history(limit=min(MAX_SHOWN, count)) if count else []
        if not found:
            return Page("no messages", [])
        self._before[fold(room.name)] = found[0].seq
        self._missed.pop(fold(room.name), None)
        return Page(_CAPPED if len(found) == MAX_SHOWN < count else "", found)

    def next(self, room: Room) -> Page:
        """Return what the user missed, if anything; otherwise the last messages, then each time those before."""
        key = fold(room.name)
        before = self._before.get(key)
        missed = range(0) if before is not None else self._missed.pop(key, range(0))
        limit = min(MAX_SHOWN, len(missed))
        found = room.history(before=missed.stop, limit=limit) if limit else []
        heading = _CAPPED if len(found) == MAX_SHOWN and found[0].seq > missed.start else ""
        if not found and before != 1:
            found = room.history(before=before, limit=PAGE if self._fits is None else MAX_ROWS)
            found = found if self._fits is None else found[-self._fits(found) :]
        if found:
            self._before[key] = found[0].seq
        else:
            heading = "no messages" if before is None else f"this is the beginning of {room.name}"
        return Page(heading, found)
