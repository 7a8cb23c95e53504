"""What a typed name may mean: the rooms and users that there are, as far as the broker tells."""

from __future__ import annotations

from collections.abc import Callable

from zchat import Client
from zchat.cli.chat.people import People, closest
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.syntax import quoted
from zchat.cli.text.safe import named
from zchat.errors import NoSuchRoom, UsageError, ZchatError
from zchat.names import DIRECT, check_held_name, fold

ANSWER_SECONDS = 0.5
"""Seconds for each answer that only serves a warning."""

ASKED_ROOMS = 10
"""Rooms whose members and latest messages are asked for, to find a user."""

STOPS = ",.:;!?"
"""What follows a name that is addressed, and is none of it."""


class NobodySeen(UsageError):
    """A user of whom nothing was seen: the name may be a slip."""


class Lookup:
    """What names mean. Any thread.

    `seen`: called with each user of whom something is found.
    """

    def __init__(self, client: Client, rooms: Rooms, people: People, seen: Callable[[str], None]) -> None:
        self._client = client
        self._rooms = rooms
        self._people = people
        self._seen = seen

    def room_like(self, name: str) -> str:
        """Return the room that a new name may have been meant for; "" if there is none."""
        try:
            return closest(name, [room.name for room in self._client.rooms() if not room.name.startswith(DIRECT)])
        except ZchatError:
            return ""

    def user_meant(self, name: str) -> str:
        """Return the user that a typed name means: it, or it without `STOPS` at its end if only that is known.

        Raises:
            BadName: no user has such a name.
            NobodySeen: nobody of that name was seen.
        """
        check_held_name("user", name)
        bare = name.rstrip(STOPS)
        try:
            for each in dict.fromkeys(filter(None, (name, bare))):
                if fold(each) == fold(self._client.user) or self._people.has_seen(each) or self._is_there(each):
                    return each
        except ZchatError:  # nothing is known
            return name
        like = closest(bare, self._people.seen)
        raise NobodySeen(
            f"no user {named(name)} was seen here"
            + (f"; did you mean {named(like)}?" if like else ";")
            + f" /msg! {quoted(name)} writes all the same"
        )

    def _is_there(self, user: str) -> bool:
        """Return True if there are messages in a user's direct room, or the user is or was in one of the rooms."""
        try:
            if self._client.history(f"{DIRECT}{user}", limit=1, timeout=ANSWER_SECONDS):
                return True
        except NoSuchRoom:
            pass
        for room in self._rooms.public[-ASKED_ROOMS:]:
            for member in room.members(timeout=ANSWER_SECONDS):
                self._seen(member.user)
        if not self._people.has_seen(user):
            for room in self._rooms.public[-ASKED_ROOMS:]:
                for sender in {message.user for message in room.history(timeout=ANSWER_SECONDS)}:
                    self._seen(sender)
        return self._people.has_seen(user)
