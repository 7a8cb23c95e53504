"""The part of a room's history that is shown next: its end when the room is entered, then page by page further back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zchat import Room
from zchat.cli.text.safe import named
from zchat.messages import Message
from zchat.names import fold

MAX_SHOWN = 1000
"""Messages shown at once at most: one request; for more there is `zchat tail`."""

PAGE = 10
"""Messages of a page where the height of the screen isn't known: what fits a small one."""

MAX_ROWS = 100
"""Messages requested to fill a screen: more rows than most have."""


class Fits(Protocol):
    """How much history fits a screen."""

    def __call__(self, messages: list[Message], *, half: bool = False) -> int:
        """Return how many of the last of some messages fit the screen, or `half` of it, one at least."""


class Page(NamedTuple):
    """Messages to show, and a line to show before them, "" for none."""

    heading: str
    messages: list[Message]
    new: int = 0
    """The first message that was new when the user came to the room; 0 if none was."""
    begin: int = 0
    """Where the page begins: nothing that there still is lies between this message and the first shown."""


class Entry(NamedTuple):
    """The end of a room that the user comes to."""

    messages: list[Message]
    new: int
    """The first message that is new to the user; 0 if none is, or the user has never read the room."""


class HistoryPages:
    """How far back each room has been shown. One thread.

    `fits`: None if the height of the screen isn't known.
    """

    def __init__(self, fits: Fits | None) -> None:
        self._fits = fits
        self._before: dict[str, int] = {}
        """The first message shown, for rooms that are being paged back."""
        self._new: dict[str, int] = {}
        """The first message that was new when the user came, by room."""
        self._after: dict[str, int] = {}
        """The last message shown of those, for rooms in which they are being paged."""

    def restart(self) -> None:
        """Begin at the end of each room again the next time."""
        self._before.clear()

    def entry(self, room: Room, new: int) -> Entry:
        """Return the last messages of a room that the user comes to, half a screen of them; none without a screen.

        `new`: the first message that is new to the user, if there are any.
        """
        key = fold(room.name)
        self._after.pop(key, None)
        self._new[key] = new  # first: if the end can't be had now, what is new can be later
        found = room.history(limit=MAX_ROWS) if self._fits else []
        last = found[-1].seq if found else room.position.seq
        self._new[key] = new if new <= last else 0
        if not found or not self._fits:
            return Entry([], 0)
        shown = found[-self._fits(found, half=True) :]
        self._before[key] = shown[0].seq
        return Entry(shown, self._new[key])

    def last(self, room: Room, count: int) -> Page:
        """Return the last `count` messages, MAX_SHOWN at most."""
        found = room.history(limit=min(MAX_SHOWN, count)) if count else []
        if not found:
            return Page("no messages", [])
        self._before[fold(room.name)] = found[0].seq
        more = "; zchat tail shows more" if len(found) == MAX_SHOWN < count else ""
        last = "the last message" if len(found) == 1 else f"the last {len(found):,} messages"
        return self._page(f"{last} of {named(room.name)}{more}", found, room)

    def next(self, room: Room) -> Page:
        """Return the last messages, then each time those before."""
        key = fold(room.name)
        before = self._before.get(key)
        found = room.history(before=before, limit=PAGE if self._fits is None else MAX_ROWS) if before != 1 else []
        if not found:
            return Page("no messages" if before is None else f"this is the beginning of {named(room.name)}", [])
        if self._fits is not None:
            found = found[-self._fits(found) :]
        first, last = found[0].seq, found[-1].seq
        self._before[key] = first
        heading = "" if before is None else f"earlier: messages {first:,} to {last:,} of {named(room.name)}"
        return self._page(heading, found, room)

    def new(self, room: Room) -> Page:
        """Return the first messages that were new when the user came, then each time those after."""
        key = fold(room.name)
        after = self._after.get(key, self._new.get(key, 0) - 1)
        found = room.history(after=after, limit=PAGE if self._fits is None else MAX_ROWS) if after >= 0 else []
        if not found:
            return Page(f"nothing {'more ' if key in self._after else ''}is new in {named(room.name)}", [])
        if self._fits is not None:
            found = found[: self._fits(found[::-1])]
        first, last = found[0].seq, found[-1].seq
        self._after[key] = last
        return Page(f"new: messages {first:,} to {last:,} of {named(room.name)}", found, begin=after + 1)

    def _page(self, heading: str, found: list[Message], room: Room) -> Page:
        return Page(heading, found, self._new.get(fold(room.name), 0), found[0].seq)
