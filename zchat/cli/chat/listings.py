"""The lists that a chat shows: rooms, and the people in one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from zchat.cli.text.columns import table
from zchat.cli.text.phrases import counted, local_time
from zchat.cli.text.safe import harmless
from zchat.messages import Member, RoomInfo
from zchat.names import fold

MEMBERS_SHOWN = 20
"""People who are named at most: what fits a small screen."""


def room_lines(rooms: list[RoomInfo], within: Collection[str], current: str | None) -> list[str]:
    """Return a line a room, with a mark at the `current` one and those one is `within`, by their folded names."""
    rows: list[tuple[str, ...]] = []
    for room in rooms:
        key = fold(room.name)
        mark = ">" if key == fold(current or "") else "*" if key in within else " "
        rows.append((f"{mark} {harmless(room.name)}", f"{room.members} in it", messages_in(room)))
    return _indented(rows) if rows else []


def member_lines(members: list[Member]) -> list[str]:
    """Return a line for each of the first members."""
    today = date.today()
    return _indented(
        [
            (harmless(each.user), f"since {local_time(each.since, today)}", "typing" if each.typing else "")
            for each in members[:MEMBERS_SHOWN]
        ]
    )


def messages_in(room: RoomInfo) -> str:
    """Return how many messages a room has, and how many of them are new to the user if that is known."""
    messages = counted(room.last - room.first + 1, "message")
    return f"{room.unread} of {messages.partition(' ')[0]} unread" if room.unread else messages


def _indented(rows: list[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in table(rows)]
