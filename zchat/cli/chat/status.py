"""The status line of a chat: the connection, the room, who is here, who types, what is new elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from zchat.cli.text.columns import cut
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import harmless

SEPARATOR = " | "

ROOM_CELLS = 20
"""Columns of a room's name, here and in the prompt: a long one leaves space for the rest."""

NEW_ROOMS = 3
"""Rooms with something new that are named: of more it is told how many they are."""


class Status(NamedTuple):
    """Hold what the line says.

    `here`: users in the room, 0 if that isn't known. `typing`: in words, "" if nobody does. `new`:
    the other rooms in which something was said since one was there, and how many messages.
    """

    connected: bool
    room: str | None
    here: int
    typing: str
    new: tuple[tuple[str, int], ...]


def status_line(status: Status, width: int) -> str:
    """Return the line in `width` columns at most: what matters least is shortened first, then left out."""
    connection = "online" if status.connected else "offline, trying again"
    room = cut(harmless(status.room), ROOM_CELLS) if status.room else "no room"
    here = f"{status.here:,} here" if status.here else ""
    total = sum(count for _, count in status.new)
    named = ", ".join(f"{cut(harmless(name), ROOM_CELLS)} {count:,}" for name, count in status.new)
    long = f"new: {named}" if named else ""
    if len(status.new) > NEW_ROOMS:
        long = f"{total:,} new in {counted(len(status.new), 'room')}"
    short = f"{total:,} new" if total else ""
    quiet = "" if status.connected else "offline"
    line = ""
    for parts in (
        (connection, room, here, status.typing, long),
        (connection, room, here, status.typing, short),
        (quiet, room, here, status.typing, short),
        (quiet, here, status.typing, short),
        (quiet, here, "typing" if status.typing else "", short),
    ):
        line = SEPARATOR.join(filter(None, parts))
        if len(line) <= width and line == cut(line, width):
            return line
    return cut(line, width)
