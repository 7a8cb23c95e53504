"""How a chat joins rooms: those that the user names, and those of before."""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress

from zchat import Client, Room
from zchat.cli.chat.lookup import Lookup
from zchat.cli.chat.missed import Missed
from zchat.cli.chat.rooms import Rooms, Unread
from zchat.cli.chat.transcript import Transcript
from zchat.cli.text.phrases import error_text
from zchat.cli.text.safe import named
from zchat.errors import DeadlineExceeded, NoSuchRoom, NotAMember, Refused, ZchatError
from zchat.events import Invited
from zchat.messages import RoomInfo
from zchat.names import DIRECT, fold

INVITED_SECONDS = 1.0
"""Seconds to have a room that the client is in: it asks no broker for that, unless that lies."""


class Joining:
    """The joining of rooms in a chat. One thread, but for what says otherwise.

    Args:
        client: the connection.
        rooms: the rooms of the chat, to which those joined are added.
        transcript: where new rooms, and those that can't be joined, are reported.
        lookup: which room a new name may have been meant for.
        missed: what the user has missed in a room.
        seconds: how long a lost broker is waited for.
        read_marks: True to have reading begin where a room is joined for the first time.
    """

    def __init__(
        self,
        client: Client,
        rooms: Rooms,
        transcript: Transcript,
        lookup: Lookup,
        missed: Missed,
        seconds: float,
        *,
        read_marks: bool,
    ) -> None:
        self._client = client
        self._rooms = rooms
        self._transcript = transcript
        self._lookup = lookup
        self._missed = missed
        self._seconds = seconds
        self._read_marks = read_marks
        self.before: Set[str] = set()
        """The rooms of before, by their folded names."""

    def infos(self) -> dict[str, RoomInfo]:
        """Return what is known of the rooms, by their folded names.

        Of a room of before that has no mark, as it was empty then, all is unread.

        Raises:
            ZchatError: as `Client.rooms`.
        """
        found = {fold(info.name): info for info in self._client.rooms()}
        for key in self.before & found.keys():
            if found[key].unread is None:
                found[key] = found[key]._replace(unread=found[key].last - found[key].first + 1)
        return found

    def joined(self, name: str, infos: dict[str, RoomInfo] | None = None) -> Room:
        """Return a room, joined now unless the user is in it; what the user missed there is counted.

        `infos`: what is known of the rooms, None if they are to be asked for.

        Raises:
            NotAMember: the user was removed from the room at once.
            ZchatError: as `Client.join`.
        """
        direct = name.startswith(DIRECT)
        removals = self._rooms.removals_from(name)
        try:
            room = self._client.join(name, create=False, timeout=self._seconds)  # also if joined: it may have ended
        except NoSuchRoom:
            like = "" if direct else self._lookup.room_like(name)
            room = self._client.join(name, timeout=self._seconds)
            if not direct:
                self._transcript.info(
                    f"{named(room.name)} is a new room" + (f"; did you mean {named(like)}?" if like else "")
                )
        known = self._rooms.get(room.name) is room
        missed = None if known or direct else self._missed_in(room, infos)
        if not self._rooms.add(room, removals, missed):
            with suppress(DeadlineExceeded):  # it is left all the same
                room.leave(timeout=self._seconds)  # for which room that was isn't known, if it was joined twice
            raise put_out_of(room)
        return room

    def _missed_in(self, room: Room, infos: dict[str, RoomInfo] | None) -> Unread | None:
        """Return what the user missed in a room that was just joined; None if it is nothing, or nothing is known of it.

        It is asked before the room is one of the chat's: until then nothing in it is marked as read.
        """
        upto = room.position.seq
        with suppress(ZchatError):
            if infos is None:
                infos = self.infos()
            info = infos.get(fold(room.name))
            if info is not None and info.unread is not None:
                return self._missed.count(info, upto)
            if self._read_marks:
                room.history(limit=1, timeout=self._seconds)  # who may not read marks nothing
                room.mark_read(upto)  # reading begins here
        return None

    def invited(self, event: Invited) -> None:
        """Take up a direct room that the client has joined: it is marked as read by what is shown of it. Any thread.

        Of too many such rooms the one that is quiet longest is left: the next message there invites again.
        """
        try:
            room = self._client.join(event.room, timeout=INVITED_SECONDS)
        except ZchatError:  # the client is closed, or the room was left meanwhile
            return
        self._rooms.invited(room, event.user)
        quiet = self._rooms.take_quiet()
        if quiet is not None:
            with suppress(ZchatError):
                quiet.leave(timeout=0)  # nobody waits for the answer

    def allowed(self, names: Sequence[str], infos: dict[str, RoomInfo], *, kept: bool = False) -> list[Room]:
        """Return those of some rooms that the user may join, joined now; the others are reported.

        `kept`: True for rooms of before.
        """
        found = []
        for name in names:
            try:
                found.append(self.joined(name, infos))
            except Refused as error:
                self._transcript.error(f"{named(name)} can't be joined{' again' * kept}: {error_text(error)}")
        return found


def put_out_of(room: Room) -> NotAMember:
    """Return the error of going to a room that the user was removed from while it was joined."""
    return NotAMember(f"you were put out of {named(room.name)} at once")
