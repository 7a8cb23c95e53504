"""The state of the rooms, without I/O: who is here, who is typing, how far each has read, invitations.

Latest values only. The broker has one state frame out until it is answered, which happens at once, whatever the
application does, but for rooms that are joined without their messages; rosters (`zchat.protocol.rooms.roster`) keep
what it said. Read marks wait here until the broker has stored them: the highest of each room, one request at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf

from zchat.errors import Closing, Refused
from zchat.messages import Position
from zchat.names import fold
from zchat.protocol.requests import Request, Requests
from zchat.protocol.rooms.membership import Membership
from zchat.wire.commands import encode_command
from zchat.wire.limits import LOG, TYPING_EVERY
from zchat.wire.notices import PersonEntry, State
from zchat.wire.replies import Marked

READ_MARK_AGAIN = 1.0
"""Seconds until a read mark is sent again that the broker had no place for: soon, and next to nothing each time."""


UNREAD_EVERY = 1.0
"""Seconds between two answers to state frames about rooms that are joined without their messages: a program that has a
client for each of many users is sent a room's changes once for each of them."""


class _ReadMark:
    """How far a room is to be marked as read."""

    __slots__ = ("again_at", "out", "room", "wanted")

    def __init__(self, room: Membership, wanted: int) -> None:
        self.room = room
        self.wanted = wanted  # up to this seq
        self.out = False  # a request for it is on its way, or waits for a place
        self.again_at = 0.0  # when to ask again, 0 if the broker has not put it off


class RoomStates:
    """The state half of the client's core, which drives it.

    Requests for read marks go to `requests`; `invited` is called with each invitation to a room that isn't joined,
    `mark_refused` with each room whose read mark the broker will not store, and why.
    """

    def __init__(
        self,
        requests: Requests,
        invited: Callable[[str, str, Position], None],
        mark_refused: Callable[[str, Refused], None],
    ) -> None:
        self._requests = requests
        self._invited = invited
        self._mark_refused = mark_refused
        self._read_marks: dict[str, _ReadMark] = {}  # by the rooms' folded names
        self._closing = False
        self._now = 0.0
        self.unanswered: int | None = None
        """The number of a state frame whose answer is put off."""
        self._answer_at = -inf  # such a frame may be answered from then on
        self.due = inf  # when `tick` has something to do

    # -- what the application says -----------------------------------------------------------------

    def typing(self, room: Membership, active: bool, now: float) -> bytes | None:
        """Return the frame that shows the others whether the user is typing.

        None, and it is dropped: too often, without a connection, or once the room is left.
        """
        if not room.live or room.left:
            return None
        if active and now - room.typed_at >= TYPING_EVERY:
            room.typing = True
            room.typed_at = now
        elif active or not room.typing:
            return None
        else:
            room.typing = False
        return encode_command("typing", room.name, active)

    def mark_read(self, room: Membership, seq: int) -> None:
        """Have the broker store that a room is read up to `seq`, now or as soon as there is a connection."""
        if room.left and not room.cursor.sure:
            return  # as in `left`
        mark = self._read_marks.get(fold(room.name))
        if mark is None:
            mark = self._read_marks[fold(room.name)] = _ReadMark(room, seq)
        mark.room = room
        mark.wanted = max(mark.wanted, seq)
        room.feed.roster.marked_read(mark.wanted)
        self._request(mark)

    def _request(self, mark: _ReadMark) -> None:
        room = mark.room
        if not mark.out and not mark.again_at and room.cursor.sure and (room.live or room.left):
            mark.out = True
            special = partial(self._marked, mark, mark.wanted)
            self._requests.add(Request("mark", (room.name, mark.wanted), None, special=special))

    def _marked(self, mark: _ReadMark, asked: int, answer: Marked | None, error: Refused | None) -> None:
        """Take the reply to a read mark; while the client is closing a broker without a place is not waited for."""
        mark.out = False
        if error is not None and error.retryable and (isinstance(error, Closing) or not self._closing):
            mark.again_at = self._now + READ_MARK_AGAIN
            self.due = min(self.due, mark.again_at)
        elif error is None and mark.wanted > asked:
            self._request(mark)
        else:
            self._read_marks.pop(fold(mark.room.name), None)
            roster = mark.room.feed.roster
            if error is not None:
                roster.mark_refused(error)
                self._mark_refused(roster.room, error)
            elif answer is not None:
                roster.mark_stored(min(asked, answer.seq))

    # -- what the broker says ----------------------------------------------------------------------

    def receive(self, state: State, rooms: Mapping[str, Membership], now: float) -> bytes | None:
        """Take a state frame; `rooms` are the joined ones by name. Returns its answer, None if that is put off.

        What the application reads is never put off, nor is what may be the proof that an earlier answer was read.
        """
        self._now = now
        for update in state.rooms:
            room = rooms.get(update.room)
            if room is None or not room.live:
                continue  # left meanwhile
            roster = room.feed.roster
            if update.people is None:
                roster.crowded(update.members, update.typing, update.caught_up)
            else:
                roster.named(update.whole, update.members, dict(map(_person, update.people)), now)
                self.due = min(self.due, roster.expire(now))
        for invitation in state.invitations:
            if invitation.room not in rooms:
                self._invited(invitation.room, invitation.user, Position(invitation.epoch, invitation.seq))
        self.unanswered = state.number
        if now < self._answer_at and not self._requests.out and _is_unread(state, rooms):
            self.due = min(self.due, self._answer_at)
            return None
        return self.answer()

    def answer(self) -> bytes | None:
        """Return the answer to a state frame that has none yet, None if there is no such frame."""
        number, self.unanswered = self.unanswered, None
        if number is None:
            return None
        self._answer_at = self._now + UNREAD_EVERY
        return encode_command("seen", number)

    # -- the connection and the time ---------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Return whether a read mark is not stored yet."""
        return bool(self._read_marks)

    def opened(self) -> None:
        """Record that there is a connection: marks that wait for no room go out."""
        for mark in list(self._read_marks.values()):
            self._request(mark)

    def joined(self, room: Membership, user: str) -> None:
        """Record that `user` has joined a room, or joined it again; a mark waits for the gap, if one comes first."""
        room.feed.roster.begin(room.shown, user)
        mark = self._read_marks.get(fold(room.name))
        if mark is not None:
            self._request(mark)

    def settled(self, room: Membership, *, another_log: bool) -> None:
        """Record the gap that a join began with, which says whether the log is another one than before."""
        if another_log:
            room.feed.roster.marks_lost()
            self._read_marks.pop(fold(room.name), None)  # its number is of a log that is no more
        elif (mark := self._read_marks.get(fold(room.name))) is not None:
            self._request(mark)

    def left(self, room: Membership) -> None:
        """Record that a room is left, or can't be joined again: its mark waits for it no longer."""
        mark = self._read_marks.get(fold(room.name))
        if mark is not None:
            self._request(mark)
            if not room.cursor.sure:  # its number may be of a log that is no more
                del self._read_marks[fold(room.name)]

    def close(self) -> None:
        """Record that the client waits to end: what the broker has no place for is tried once more."""
        self._closing = True
        for mark in list(self._read_marks.values()):
            mark.again_at = 0.0
            self._request(mark)

    def lost(self, rooms: Iterable[Membership]) -> None:
        """Record that the connection is lost: nobody is typing, and marks without a reply go out again."""
        self.due = inf
        self.unanswered = None
        for room in rooms:
            room.typing = False
            room.feed.roster.lost()
        for mark in self._read_marks.values():
            mark.out = False
            mark.again_at = 0.0

    def tick(self, now: float, rooms: Iterable[Membership]) -> bytes | None:
        """Carry out what time brings; returns the answer to a state frame that is to be sent now."""
        self._now = now
        if now < self.due:
            return None
        self.due = inf
        for mark in list(self._read_marks.values()):
            if mark.again_at and now >= mark.again_at:
                mark.again_at = 0.0
                self._request(mark)
            elif mark.again_at:
                self.due = min(self.due, mark.again_at)
        for room in rooms:
            self.due = min(self.due, room.feed.roster.expire(now))
        if self.unanswered is not None and now < self._answer_at:
            self.due = min(self.due, self._answer_at)
            return None
        return self.answer()


def _is_unread(state: State, rooms: Mapping[str, Membership]) -> bool:
    """Return whether a state frame is about rooms alone that are joined without their messages."""
    joined = [rooms.get(update.room) for update in state.rooms]
    return bool(joined) and not state.invitations and all(room and not room.flags & LOG for room in joined)


def _person(entry: PersonEntry) -> tuple[str, PersonEntry | None]:
    return fold(entry.user), entry if entry.since else None
