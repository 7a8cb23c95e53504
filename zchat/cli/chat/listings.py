"""The lists that a chat shows: rooms, and the members of one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from zchat.cli.text.columns import table
from zchat.cli.text.phrases import counted, local_time
from zchat.cli.text.safe import named
from zchat.messages import Member, RoomInfo
from zchat.names import fold

MEMBERS_SHOWN = 20
"""Members who are named at most: what fits a small screen."""


def room_lines(rooms: list[RoomInfo], joined: Collection[str], current: str) -> list[str]:
    """Return a line for each room, with a mark at the `current` one and those that are `joined` (folded names)."""
    rows: list[tuple[str, ...]] = []
    for room in rooms:
        key = fold(room.name)
        mark = ">" if key == fold(current) else "*" if key in joined else " "
        rows.append((f"{mark} {named(room.name)}", counted(room.members, "member"), messages_in(room)))
    return _indented(rows) if rows else []


def member_lines(members: list[Member]) -> list[str]:
    """Return a line for each of the first members."""
    today = date.today()
    return _indented(
        [
            (named(each.user), f"since {local_time(each.since, today)}", "typing" if each.typing else "")
            for each in members[:MEMBERS_SHOWN]
        ]
    )


def messages_in(room: RoomInfo) -> str:
    """Return how many messages a room has, and how many of them are unread if any are."""
    number = room.last - room.first + 1
    return f"{room.unread:,} of {number:,} unread" if room.unread else counted(number, "message")


def _indented(rows: list[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in table(rows)]
