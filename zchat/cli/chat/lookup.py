"""What a typed name may mean: the rooms and users that there are, as far as the broker tells."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from zchat import Client
from zchat.cli.chat.people import People, closest
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.syntax import quoted
from zchat.cli.text.safe import named
from zchat.errors import NoSuchRoom, Refused, UsageError, ZchatError
from zchat.names import DIRECT, check_held_name, fold

ANSWER_SECONDS = 0.5
"""Seconds for each answer that only serves a warning."""

ASKED_ROOMS = 10
"""Rooms whose members and latest messages are asked for, to find a user."""

STOPS = ",.:;!?"
"""What follows a name that is addressed, and is none of it."""


class NobodySeen(UsageError):
    """A user of whom nothing was seen: `name` may be a slip, and `like` be meant, if it isn't ""."""

    def __init__(self, name: str, like: str) -> None:
        self.what = f"no user {named(name)} was seen here" + (f"; did you mean {named(like)}?" if like else "")
        """What is wrong, without what to do."""
        super().__init__(f"{self.what}{'' if like else ';'} /msg! {quoted(name)} writes all the same")


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

    def user_meant(self, name: str, *, everywhere: bool = False) -> str:
        """Return the user that a typed name means: it, or it without `STOPS` at its end if only that is known.

        `everywhere`: True to ask for rooms that the user isn't in as well, of those the ones with the most members.

        Raises:
            BadName: no user has such a name.
            NobodySeen: nobody of that name was seen.
        """
        check_held_name("user", name)
        bare = name.rstrip(STOPS)
        try:
            for each in dict.fromkeys(filter(None, (name, bare))):
                if fold(each) == fold(self._client.user) or self._people.has_seen(each):
                    return each
                if self._is_there(each, everywhere=everywhere):
                    return each
        except ZchatError:  # nothing is known
            return name
        raise NobodySeen(name, closest(bare, self._people.seen))

    def _is_there(self, user: str, *, everywhere: bool) -> bool:
        """Return True if there are messages in a user's direct room, or the user is or was in one of the rooms."""
        try:
            if self._client.history(f"{DIRECT}{user}", limit=1, timeout=ANSWER_SECONDS):
                return True
        except NoSuchRoom:
            pass
        rooms = [room.name for room in self._rooms.public[-ASKED_ROOMS:]]
        if everywhere:
            rooms += self._others()
        for name in rooms:
            with suppress(Refused):  # the others may tell
                for member in self._client.members(name, timeout=ANSWER_SECONDS):
                    self._seen(member.user)
        if not self._people.has_seen(user):
            for name in rooms:
                with suppress(Refused):
                    for sender in {message.user for message in self._client.history(name, timeout=ANSWER_SECONDS)}:
                        self._seen(sender)
        return self._people.has_seen(user)

    def _others(self) -> list[str]:
        """Return rooms that the user isn't in, and that are no direct ones: those with the most members first."""
        infos = sorted(self._client.rooms(timeout=ANSWER_SECONDS), key=lambda room: -room.members)
        others = [info.name for info in infos if fold(info.name) not in self._rooms.joined]
        return [name for name in others if not name.startswith(DIRECT)][:ASKED_ROOMS]
