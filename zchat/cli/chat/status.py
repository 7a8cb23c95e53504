"""The status line of a chat: connection, room, who is here, who is typing, what is unread elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from zchat.cli.text.columns import cut
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import safe

SEPARATOR = " | "

ROOM_CELLS = 20
"""Columns of a room's name, here and in the prompt: a long one leaves space for the rest."""

NEW_ROOMS = 3
"""Rooms with unread messages that are named; of more only the number is shown."""


class Status(NamedTuple):
    """What the status line says."""

    connected: bool
    room: str | None
    """The current room's name; None if there is none."""
    here: int
    """How many users are in the room; 0 if that isn't known."""
    typing: str
    """Who is typing, in words; "" for nobody."""
    new: tuple[tuple[str, int], ...]
    """The other rooms with messages since the user was last there, and how many."""


def status_line(status: Status, width: int) -> str:
    """Return the line in `width` columns at most: what matters least is shortened first, then left out."""
    connection = "online" if status.connected else "offline, reconnecting"
    room = cut(safe(status.room), ROOM_CELLS) if status.room else "no room"
    here = f"{status.here:,} here" if status.here else ""
    total = sum(count for _, count in status.new)
    named = ", ".join(f"{cut(safe(name), ROOM_CELLS)} {count:,}" for name, count in status.new)
    long = f"new: {named}" if named else ""
    if len(status.new) > NEW_ROOMS:
        long = f"{total:,} new in {counted(len(status.new), 'room')}"
    short = f"{total:,} new" if total else ""
    offline = "" if status.connected else "offline"
    line = ""
    for parts in (
        (connection, room, here, status.typing, long),
        (connection, room, here, status.typing, short),
        (offline, room, here, status.typing, short),
        (offline, here, status.typing, short),
        (offline, here, "typing" if status.typing else "", short),
    ):
        line = SEPARATOR.join(filter(None, parts))
        if len(line) <= width and line == cut(line, width):
            return line
    return cut(line, width)
