"""The state of the rooms, without I/O: who is here, who types, how far each has read, invitations.

Latest values only. The broker has one state frame out until it is answered, which happens at
once, whatever the application does; rosters (`zchat.protocol.roster`) keep what it said. Marks wait here
until the broker has stored them: the highest of each room, one request at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

from zchat.errors import Closing, Refused
from zchat.messages import Position
from zchat.names import fold
from zchat.protocol.membership import Membership
from zchat.wire.commands import encode_command
from zchat.wire.limits import TYPING_EVERY
from zchat.wire.notices import PersonEntry, State
from zchat.wire.replies import Marked

MARK_AGAIN = 1.0
"""Seconds until a mark is sent again that the broker had no place for: soon, and next to nothing each time."""

Answered = Callable[[Any, Refused | None], None]


class _Mark:
    """Hold how far a room is to be marked as read: `wanted`, whether a request is `out`, when to try again."""

    __slots__ = ("again_at", "out", "room", "wanted")

    def __init__(self, room: Membership, wanted: int) -> None:
        self.room = room
        self.wanted = wanted
        self.out = False
        self.again_at = 0.0


class RoomStates:
    """Keep the state half of the client's core, which drives it.

    `rooms` are the memberships by name. `send` sends a frame, `ask` a request whose answer comes to
    the function given with it, `invited` is called with each invitation.
    """

    def __init__(
        self,
        rooms: Mapping[str, Membership],
        send: Callable[[bytes], None],
        ask: Callable[[str, tuple[Any, ...], Answered], None],
        invited: Callable[[str, str, Position], None],
    ) -> None:
        self._rooms = rooms
        self._send = send
        self._ask = ask
        self._invited = invited
        self._marks: dict[str, _Mark] = {}
        self._connected = False
        self._closing = False
        self._now = 0.0
        self.due = inf

    # -- what the application says -----------------------------------------------------------------

    def typing(self, room: Membership, active: bool, now: float) -> None:
        """Tell the others that the user types, or has ended; too often, or without a connection, it is dropped."""
        if not (self._connected and room.live) or room.left:
            return
        if active and now - room.typed_at >= TYPING_EVERY:
            room.typing = True
            room.typed_at = now
        elif active or not room.typing:
            return
        else:
            room.typing = False
        self._send(encode_command("typing", room.name, active))

    def mark(self, room: Membership, seq: int) -> None:
        """Have the broker store that a room is read up to `seq`, now or as soon as there is a connection."""
        if room.left and not room.cursor.sure:
            return  # as in `left`
        mark = self._marks.get(fold(room.name))
        if mark is None:
            mark = self._marks[fold(room.name)] = _Mark(room, seq)
        mark.room = room
        mark.wanted = max(mark.wanted, seq)
        room.feed.roster.marked(mark.wanted)
        self._request(mark)

    def _request(self, mark: _Mark) -> None:
        room = mark.room
        if self._connected and not mark.out and not mark.again_at and room.cursor.sure and (room.live or room.left):
            mark.out = True
            self._ask("mark", (room.name, mark.wanted), partial(self._marked, mark, mark.wanted))

    def _marked(self, mark: _Mark, asked: int, answer: Marked | None, error: Refused | None) -> None:
        """Take the answer to a mark; while the client is closing a broker without a place is not waited for."""
        mark.out = False
        if error is not None and error.retryable and (isinstance(error, Closing) or not self._closing):
            mark.again_at = self._now + MARK_AGAIN
            self.due = min(self.due, mark.again_at)
        elif error is None and mark.wanted > asked:
            self._request(mark)
        else:
            self._marks.pop(fold(mark.room.name), None)
            roster = mark.room.feed.roster
            if error is not None:
                roster.unmarked(error)
            elif answer is not None:
                roster.marked(min(asked, answer.seq))

    # -- what the broker says ----------------------------------------------------------------------

    def receive(self, state: State, now: float) -> None:
        """Take a state frame."""
        self._send(encode_command("seen", state.number))
        for update in state.rooms:
            room = self._rooms.get(update.room)
            if room is None or not room.live:
                continue  # left meanwhile
            roster = room.feed.roster
            if update.people is None:
                roster.crowded(update.members, update.typing, update.caught_up)
            else:
                roster.named(update.whole, update.members, dict(map(_person, update.people)), now)
                self.due = min(self.due, roster.expire(now))
        for invitation in state.invitations:
            if invitation.room not in self._rooms:
                self._invited(invitation.room, invitation.user, Position(invitation.epoch, invitation.seq))

    # -- the connection and the time ---------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Tell whether a mark is not stored yet."""
        return bool(self._marks)

    def opened(self) -> None:
        """Take note that there is a connection: marks that wait for no room go out."""
        self._connected = True
        for mark in list(self._marks.values()):
            self._request(mark)

    def joined(self, room: Membership, user: str) -> None:
        """Take note that `user` has joined a room, or joined it again; a mark waits for the gap, if one comes first."""
        room.feed.roster.begin(room.shown, user)
        mark = self._marks.get(fold(room.name))
        if mark is not None:
            self._request(mark)

    def settled(self, room: Membership, *, another_log: bool) -> None:
        """Take note of the gap that a join began with, which says whether the log is another one than before."""
        if another_log:
            room.feed.roster.marked(0)
            self._marks.pop(fold(room.name), None)  # its number is of a log that is no more
        elif (mark := self._marks.get(fold(room.name))) is not None:
            self._request(mark)

    def left(self, room: Membership) -> None:
        """Take note that a room is left, or can't be joined again: its mark waits for it no longer."""
        mark = self._marks.get(fold(room.name))
        if mark is not None:
            self._request(mark)
            if not room.cursor.sure:  # its number may be of a log that is no more
                del self._marks[fold(room.name)]

    def close(self) -> None:
        """Take note that the client waits to end: what the broker has no place for is tried once more."""
        self._closing = True
        for mark in list(self._marks.values()):
            mark.again_at = 0.0
            self._request(mark)

    def lost(self) -> None:
        """Take note that the connection is lost: nobody types, and marks without an answer go out again."""
        self._connected = False
        self.due = inf
        for room in self._rooms.values():
            room.typing = False
            room.feed.roster.lost()
        for mark in self._marks.values():
            mark.out = False
            mark.again_at = 0.0

    def tick(self, now: float) -> None:
        """Carry out what time brings."""
        self._now = now
        if now < self.due:
            return
        self.due = inf
        for mark in list(self._marks.values()):
            if mark.again_at and now >= mark.again_at:
                mark.again_at = 0.0
                self._request(mark)
            elif mark.again_at:
                self.due = min(self.due, mark.again_at)
        for room in self._rooms.values():
            self.due = min(self.due, room.feed.roster.expire(now))


def _person(entry: PersonEntry) -> tuple[str, PersonEntry | None]:
    return fold(entry.user), entry if entry.since else None
