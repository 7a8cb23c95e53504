"""The status line of a chat: connection, room, who is here, who is typing, what is unread elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from zchat.cli.chat.rooms import Unread
from zchat.cli.text.colours import MENTION
from zchat.cli.text.columns import cut, cut_name
from zchat.cli.text.phrases import counted

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
    new: tuple[Unread, ...]
    """What was not shown of the other rooms, and what was meant for the user and shown since the last key."""
    joining: bool = False
    """True if there is no room yet, as the chat begins."""

    @property
    def place(self) -> str:
        """Return the room's name, cut, or what there is in place of one."""
        return cut_name(self.room, ROOM_CELLS) if self.room else "joining" if self.joining else "no room"


def status_line(status: Status, width: int) -> str:
    """Return the line in `width` columns at most: what matters least is shortened first, then left out."""
    connection = "online" if status.connected else "offline, reconnecting"
    here = f"{status.here:,} here" if status.here else ""
    total = sum(each.number for each in status.new)
    names = [_unread(each) for each in status.new]
    long = f"new: {', '.join(names)}" if names else ""
    if len(names) > NEW_ROOMS:
        long = f"{total:,} new in {counted(len(names), 'room')}"
    named = long
    if len(names) > 1:
        named = f"new: {names[0]}, +{total - status.new[0].number:,}"
    offline = "" if status.connected else "offline"
    short = "typing" if status.typing else ""
    line = ""
    for parts in (
        (connection, status.place, here, status.typing, long),
        (offline, status.place, here, status.typing, long),
        (offline, here, status.typing, long),
        (offline, here, short, long),
        (offline, here, short, named),
        (offline, here, short, f"{total:,} new" if total else ""),
    ):
        line = SEPARATOR.join(filter(None, parts))
        if len(line) <= width and line == cut(line, width):
            return line
    return cut(line, width)


def _unread(unread: Unread) -> str:
    """Return a room's name and how many of its messages are new, with a mark if one mentions the user."""
    return f"{cut_name(unread.room, ROOM_CELLS)} {MENTION.strip() if unread.mention else ''}{unread.number:,}"
