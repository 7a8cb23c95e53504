"""What was said to the user: mentions and direct messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from zchat.cli.chat.rooms import Unread, merged
from zchat.messages import Message
from zchat.names import fold

MENTIONS_KEPT = 50
"""Mentions and direct messages that `/mentions` lists at most: those of a day or so, on two screens."""


class News:
    """The latest mentions and direct messages, and how many were shown while nobody typed. Any thread.

    `ring`: called with each that comes.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._lock = Lock()
        self._latest: OrderedDict[tuple[str, int], Message] = OrderedDict()
        """By folded room and seq, at most `MENTIONS_KEPT`."""
        self._unseen: dict[str, Unread] = {}
        """Those that were shown since the last key, by folded room."""

    def keep(self, messages: list[Message]) -> None:
        """Keep messages that were found in the history of a room."""
        with self._lock:
            for message in messages:
                self._latest[fold(message.room), message.seq] = message
            while len(self._latest) > MENTIONS_KEPT:
                self._latest.popitem(last=False)

    def come(self, message: Message, *, shown: bool) -> None:
        """Keep a message that has just come; if it is `shown`, the user may be elsewhere and not see it."""
        self.keep([message])
        if shown:
            key = fold(message.room)
            with self._lock:
                unread = Unread(message.room, 1, message.seq, message.seq, message.seq)
                self._unseen[key] = merged(self._unseen.get(key), unread)
        self._ring()

    def recounted(self, unread: Unread, ignored: Callable[[str], bool]) -> Unread:
        """Return what is unread in a room with the last that is meant for the user, now that others may be `ignored`.

        Of what is kept here; a mention that is not counts whoever wrote it.
        """
        key = fold(unread.room)
        with self._lock:
            kept = {seq: message.user for (room, seq), message in self._latest.items() if room == key}
        heard = [seq for seq, user in kept.items() if unread.first <= seq <= unread.last and not ignored(user)]
        known = unread.mention in kept
        return unread._replace(mention=max(heard, default=0) if known else max(unread.mention, *heard, 0))

    def seen(self, room: str = "") -> bool:
        """Record that the user has seen what was shown, of a room or of all; return True if there was something."""
        with self._lock:
            if room:
                return self._unseen.pop(fold(room), None) is not None
            some, self._unseen = bool(self._unseen), {}
            return some

    @property
    def unseen(self) -> tuple[Unread, ...]:
        """Return what was shown since the user last pressed a key."""
        with self._lock:
            return tuple(self._unseen.values())

    @property
    def latest(self) -> list[Message]:
        """Return the messages that are kept, in the order of their times."""
        with self._lock:
            return sorted(self._latest.values(), key=lambda message: message.timestamp)


def together(*lists: tuple[Unread, ...]) -> tuple[Unread, ...]:
    """Return what is unread by room, the rooms first in which the user is meant."""
    found: dict[str, Unread] = {}
    for unread in (each for some in lists for each in some):
        found[fold(unread.room)] = merged(found.get(fold(unread.room)), unread)
    return tuple(sorted(found.values(), key=lambda each: not each.mention))
