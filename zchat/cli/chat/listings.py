"""The lists that a chat shows: rooms, the members of one, and mentions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from zchat import Client
from zchat.cli.chat.missed import Missed
from zchat.cli.chat.news import News
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms, Unread
from zchat.cli.chat.transcript import Transcript
from zchat.cli.text.colours import MENTION
from zchat.cli.text.columns import cells, cut, table
from zchat.cli.text.phrases import counted, local_time
from zchat.cli.text.safe import named
from zchat.messages import Member, RoomInfo
from zchat.names import fold

INDENTED = "  "
"""What a line of a list begins with."""

LEAST_CELLS = 8
"""Columns of a room's name that are shown in any case."""

MEMBERS_SHOWN = 20
"""Members who are named at most: what fits a small screen."""


class Lists:
    """The lists that the user of a chat asks for. One thread.

    Args:
        client: the connection.
        rooms: the rooms of the chat.
        people: the users that were seen.
        transcript: where the lists are shown.
        news: what was said to the user.
        missed: what the user has missed in other rooms.
        width: returns the columns of the screen; None for no limit.
    """

    def __init__(
        self,
        client: Client,
        rooms: Rooms,
        people: People,
        transcript: Transcript,
        news: News,
        missed: Missed,
        width: Callable[[], int] | None,
    ) -> None:
        self._client = client
        self._rooms = rooms
        self._people = people
        self._transcript = transcript
        self._news = news
        self._missed = missed
        self._width = width

    def rooms(self) -> None:
        """Show all rooms: those with something unread first, with a mark at those the user is in."""
        infos = self._client.rooms()
        unread = {fold(each.room): each for each in self._rooms.unread}
        unread |= self._missed.in_others(infos, self._rooms.joined)
        width = None if self._width is None else self._width()
        lines = room_lines(infos, self._rooms.joined, self._rooms.current_name, unread, width)
        if lines:
            self._transcript.listing(lines)
        else:
            self._transcript.info("there are no rooms")

    def members(self, name: str) -> None:
        """Show the members of a room, "" for the current one, and which of them are typing."""
        room = self._rooms.get(name) if name else self._rooms.here()
        name = room.name if room else name
        members = self._client.members(name)
        typing = sum(member.typing for member in members)
        head = f"{named(name)} has {counted(len(members), 'member')}"
        self._transcript.info(head + (f", {typing:,} typing" if typing else ""))
        self._transcript.listing(member_lines(members))
        if len(members) > MEMBERS_SHOWN:
            self._transcript.info(f"and {len(members) - MEMBERS_SHOWN:,} more; zchat members lists all")

    def mentions(self) -> None:
        """Show the latest mentions and direct messages."""
        latest = [message for message in self._news.latest if not self._people.is_ignored(message.user)]
        if latest:
            self._transcript.quotation(latest)
        else:
            self._transcript.info("nobody has mentioned you or written to you since you came")


class _Listed(NamedTuple):
    """A room in the list."""

    name: str
    """Its name, with a mark at those that the user is in."""
    room: RoomInfo
    unread: int
    meant: bool
    """True if the user is meant by something unread."""

    @property
    def long(self) -> tuple[str, str, str]:
        mark = MENTION.strip() if self.meant else ""
        return self.name, counted(self.room.members, "member"), mark + messages_in(self._number, self.unread)

    @property
    def short(self) -> tuple[str, str, str]:
        mark = MENTION.strip() if self.meant else ""
        unread = f"{mark}{self.unread:,} of " if self.unread else ""
        return self.name, f"{self.room.members:,} here", f"{unread}{self._number:,}"

    @property
    def _number(self) -> int:
        return self.room.last - self.room.first + 1


def room_lines(
    rooms: list[RoomInfo],
    joined: Collection[str],
    current: str,
    unread: Mapping[str, Unread],
    width: int | None = None,
) -> list[str]:
    """Return a line for each room: those with something unread first, then those with the most members and messages.

    Args:
        rooms: the rooms.
        joined: those that the user is in, by folded names. What is unread there the chat knows better than the broker,
            which counts the user's own messages too.
        current: the one that text goes to.
        unread: what is unread in the rooms that the user is in, by folded names.
        width: the columns of the screen; None for no limit.
    """
    found = []
    for room in rooms:
        key = fold(room.name)
        new = unread.get(key)
        number = new.number if new else 0 if key in joined else room.unread or 0
        mark = ">" if key == fold(current) else "*" if key in joined else " "
        found.append(_Listed(f"{mark} {named(room.name)}", room, number, bool(new and new.mention)))
    found.sort(key=lambda each: (not each.meant, not each.unread, -each.room.members, each.room.first - each.room.last))
    lines = indented([each.long for each in found])
    fits = width is None or all(cells(line) <= width for line in lines)
    return lines if fits else indented([each.short for each in found], width)


def member_lines(members: list[Member]) -> list[str]:
    """Return a line for each of the first members."""
    today = date.today()
    return indented(
        [
            (named(each.user), f"since {local_time(each.since, today)}", "typing" if each.typing else "")
            for each in members[:MEMBERS_SHOWN]
        ]
    )


def messages_in(number: int, unread: int) -> str:
    """Return how many messages a room has, and how many of them are unread if any are."""
    return f"{unread:,} of {number:,} unread" if unread else counted(number, "message")


def indented(rows: Sequence[tuple[str, ...]], width: int | None = None) -> list[str]:
    """Return rows as lines with an indent; names are cut to what `width` leaves of a line."""
    if width is not None:
        left = width - len(INDENTED) - sum(2 + max(map(cells, column)) for column in list(zip(*rows, strict=True))[1:])
        rows = [(cut(name, max(left, LEAST_CELLS)), *others) for name, *others in rows]
    return [f"{INDENTED}{line}" for line in table(rows)] if rows else []
