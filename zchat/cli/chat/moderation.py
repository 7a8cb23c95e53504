"""What the user of a chat does as a moderator: of the current room, or of the broker as a whole."""

from __future__ import annotations

from datetime import datetime

from zchat import Client, Room, Sanction
from zchat.cli.chat.listings import indented
from zchat.cli.chat.lookup import Lookup, NobodySeen
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.syntax import EVERYWHERE, quoted
from zchat.cli.chat.transcript import Transcript
from zchat.cli.text.phrases import local_minute, until_text
from zchat.cli.text.safe import named, safe
from zchat.errors import UsageError
from zchat.names import DIRECT

SANCTIONS_SHOWN = 20
"""Sanctions that are listed at most, the latest: what fits a small screen."""


DONE = {"ban": "banned", "mute": "muted"}
"""What is said of a user on whom a sanction of a kind is imposed."""


class Moderation:
    """The moderation of a chat. One thread.

    `lookup` says whom a typed name may mean.

    Raises:
        UsageError: the user is in no room, or in a direct one.
        ZchatError: what the broker doesn't allow, or doesn't answer.
    """

    def __init__(self, client: Client, rooms: Rooms, lookup: Lookup, transcript: Transcript) -> None:
        self._client = client
        self._rooms = rooms
        self._lookup = lookup
        self._transcript = transcript

    def kick(self, user: str, reason: str) -> None:
        """Put a user out of the current room."""
        room = self._here()
        user, doubt = self._meant(user)
        if room.kick(user, reason):
            self._transcript.info(f"{named(user)} is out of {named(room.name)}{_because(reason)}")
        else:
            self._transcript.info(f"{named(user)} is not in {named(room.name)}")
            self._warn(doubt)

    def ban(self, user: str, seconds: int, reason: str, *, everywhere: bool) -> None:
        """Ban a user from the current room, or from the broker as a whole, for so many seconds, 0 for ever."""
        where, place = self._where(everywhere=everywhere)
        user, doubt = self._meant(user, everywhere=everywhere)
        until = where.ban(user, seconds, reason)
        self._transcript.info(f"{named(user)} is banned from {place} {_imposed(until, reason)}")
        self._warn(doubt, f"/unban{f' {EVERYWHERE}' * everywhere}", user)

    def unban(self, user: str, *, everywhere: bool) -> None:
        """End the ban of a user."""
        where, place = self._where(everywhere=everywhere)
        was = "is no longer" if where.unban(user) else "was not"
        self._transcript.info(f"{named(user)} {was} banned from {place}")

    def mute(self, user: str, seconds: int, reason: str) -> None:
        """Let a user say nothing in the current room for so many seconds, 0 for ever."""
        room = self._here()
        user, doubt = self._meant(user)
        until = room.mute(user, seconds, reason)
        self._transcript.info(f"{named(user)} is muted in {named(room.name)} {_imposed(until, reason)}")
        self._warn(doubt, "/unmute", user)

    def unmute(self, user: str) -> None:
        """Let a user speak in the current room again."""
        room = self._here()
        was = "is no longer" if room.unmute(user) else "was not"
        self._transcript.info(f"{named(user)} {was} muted in {named(room.name)}")

    def close(self, reason: str) -> None:
        """Close the current room."""
        room = self._here()
        if room.close_room(reason):
            self._transcript.info(
                f"{named(room.name)} is closed to all but owners and operators, until /open{_because(reason)}"
            )
        else:
            self._transcript.info(f"{named(room.name)} was closed already")

    def open(self) -> None:
        """Open the current room again."""
        room = self._here()
        was = "is open again" if room.open_room() else "was not closed"
        self._transcript.info(f"{named(room.name)} {was}")

    def bans(self, *, everywhere: bool) -> None:
        """List what is in force in the current room, or at the broker as a whole."""
        where, place = self._where(everywhere=everywhere)
        found = where.sanctions()
        now = datetime.now()
        for closed in (each for each in found if not each.user):
            self._transcript.info(f"{place} is closed {_origin(closed, now)}")
        users = [each for each in found if each.user]
        imposed = f"banned {'from' if everywhere else 'or muted in'} {place}"
        if users:
            latest = f", the latest {SANCTIONS_SHOWN} of {len(users):,}" if len(users) > SANCTIONS_SHOWN else ""
            self._transcript.info(f"{imposed}{latest}:")
            rows = [(named(each.user), _sentence(each, now)) for each in users[-SANCTIONS_SHOWN:]]
            self._transcript.listing(indented(rows))
        else:
            self._transcript.info(f"nobody is {imposed}")
        if not everywhere:
            self._transcript.info(f"bans from the broker as a whole: /bans {EVERYWHERE}, for operators")

    def _here(self) -> Room:
        """Return the current room.

        Raises:
            UsageError: there is none, or it is a direct one.
        """
        room = self._rooms.here()
        if room.name.startswith(DIRECT):
            other = room.name.removeprefix(DIRECT)
            raise UsageError(f"nobody moderates a direct room: /ignore {quoted(other)} hides what {named(other)} says")
        return room

    def _where(self, *, everywhere: bool) -> tuple[Client | Room, str]:
        """Return the current room, or the broker as a whole, and what that is called."""
        if everywhere:
            return self._client, "this broker"
        room = self._here()
        return room, named(room.name)

    def _meant(self, user: str, *, everywhere: bool = False) -> tuple[str, str]:
        """Return the user that a typed name means, and in words what is doubtful about it, "" for nothing.

        `everywhere`: True if the user may be in rooms that the moderator isn't in.
        """
        try:
            return self._lookup.user_meant(user, everywhere=everywhere), ""
        except NobodySeen as error:
            return user, error.what

    def _warn(self, doubt: str, undo: str = "", user: str = "") -> None:
        if doubt:
            stop = "" if doubt.endswith("?") else ";"
            self._transcript.error(f"{doubt}{stop} {undo} {quoted(user)} undoes it" if undo else doubt)


def _imposed(until: float | None, reason: str) -> str:
    return f"{until_text(until, datetime.now())}{_because(reason)}"


def _because(reason: str) -> str:
    return f": {safe(reason)}" if reason else ""


def _sentence(sanction: Sanction, now: datetime) -> str:
    done = DONE.get(sanction.kind) or safe(sanction.kind)
    return f"{done} {until_text(sanction.until, now)}, {_origin(sanction, now)}"


def _origin(sanction: Sanction, now: datetime) -> str:
    return f"by {named(sanction.by)} at {local_minute(sanction.at, now.date())}{_because(sanction.reason)}"
