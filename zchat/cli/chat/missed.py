"""What the user has missed in a room: the messages of others after the read mark."""

from __future__ import annotations

from collections.abc import Callable, Collection

from zchat import Client
from zchat.cli.chat.rooms import Unread
from zchat.cli.text.colours import MENTION
from zchat.cli.text.phrases import listed
from zchat.cli.text.safe import named
from zchat.errors import Refused, ZchatError
from zchat.messages import Message, RoomInfo
from zchat.names import DIRECT, fold

SEARCHED = 1000
"""Messages searched for mentions at most, the latest: one request."""

ELSEWHERE = 10
"""Rooms that the user is not in which are searched: some lines of them, and a request for each."""


class Missed:
    """The messages that the user has missed, but for those of ignored users. One thread.

    A room that the user has never read has none; of a direct room, which is meant for the user, all are.

    Args:
        client: the connection.
        mentions: returns True if a message mentions the user.
        ignored: returns True if the user ignores the one of that name.
        keep: called with the mentions that are found.
    """

    def __init__(
        self,
        client: Client,
        mentions: Callable[[Message], bool],
        ignored: Callable[[str], bool],
        keep: Callable[[list[Message]], None],
    ) -> None:
        self._client = client
        self._own = fold(client.user) if client else ""
        self._mentions = mentions
        self._ignored = ignored
        self._keep = keep

    def count(self, info: RoomInfo, upto: int) -> Unread | None:
        """Return what the user has missed in a room up to `upto`; None if it is nothing.

        Of more than `SEARCHED` messages the oldest count, whatever their sender.
        """
        first = first_unread(info) or info.last + 1
        if first > upto:
            return None
        begin = max(first, upto - SEARCHED + 1)
        found = self._others(info.name, begin, upto)
        number = begin - first + len(found)
        if not number:
            return None
        mentions = self._mentioning(found)
        begin = first if begin > first else found[0].seq
        return Unread(info.name, number, begin, upto, mentions[-1].seq if mentions else 0)

    def in_others(self, infos: list[RoomInfo], joined: Collection[str]) -> dict[str, Unread]:
        """Return by folded names what is unread in rooms that are not `joined`, by folded names too.

        Of more than `ELSEWHERE` such rooms the others are left out; direct rooms are joined by themselves. In a room
        that the user may not read, as after a ban, there is nothing to be read.
        """
        found = [info for info in infos if fold(info.name) not in joined and first_unread(info)]
        found = [info for info in found if not info.name.startswith(DIRECT)][:ELSEWHERE]
        return {fold(info.name): self._in_other(info) or Unread(info.name, 0, 0, 0) for info in found}

    def _in_other(self, info: RoomInfo) -> Unread | None:
        try:
            return self.count(info, info.last)
        except Refused:
            return None

    def elsewhere(self, infos: list[RoomInfo], joined: Collection[str]) -> str:
        """Return in words what is unread in rooms that are not `joined`, by folded names; "" if nothing is."""
        try:
            found = [each for each in self.in_others(infos, joined).values() if each.number]
        except ZchatError:
            return ""
        mark = MENTION.strip()
        texts = [f"{named(each.room)} {mark if each.mention else ''}{each.number:,}" for each in found]
        return ", ".join(texts) + (" …: /list" if len(found) == ELSEWHERE else "")

    def mentioned_by(self, room: str, first: int, last: int) -> str:
        """Return who mentioned the user in the messages of a room from `first` to `last`; "" if nobody did."""
        mentions = self._mentioning(self._others(room, first, last))
        return listed(list(dict.fromkeys(named(message.user) for message in mentions)))

    def _others(self, room: str, first: int, upto: int) -> list[Message]:
        """Return the messages of others to be shown from `first` to `upto`, of the last `SEARCHED`."""
        begin = max(first, upto - SEARCHED + 1)
        found = self._client.history(room, after=begin - 1, before=upto + 1, limit=SEARCHED)
        return [each for each in found if fold(each.user) != self._own and not self._ignored(each.user)]

    def _mentioning(self, messages: list[Message]) -> list[Message]:
        """Return those of some messages that mention the user, which are kept."""
        found = [message for message in messages if self._mentions(message)]
        self._keep(found)
        return found


def first_unread(info: RoomInfo) -> int:
    """Return the first message of a room that the user has not read, 0 if there is none."""
    unread = info.unread
    if unread is None and info.name.startswith(DIRECT):
        unread = info.last - info.first + 1
    return info.last - unread + 1 if unread else 0
