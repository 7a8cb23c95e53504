"""Putting sessions out of rooms: at once, and with a word about it that the session's version of the protocol has."""

from __future__ import annotations

from collections import deque

from zchat import errors
from zchat.broker.core.sessions import Sessions
from zchat.broker.delivery.pipes import Pipes
from zchat.broker.limits import TURN_UNSEATED
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.wire.limits import OLDEST_VERSION
from zchat.wire.notices import Removed, encode_removed

_WORDS = {
    "kicked": "{by} has put you out of {room!r}",
    "banned": "{by} has banned you from {room!r}",
    "not_allowed": "you may no longer be in {room!r}: greet again, and go on without it",
}
"""What a client of version 1 is sent, which has no word for the end of one membership."""


class Removal:
    """The end of memberships that the client didn't ask for.

    A session of version 1 is ended, retryably: its client greets again, and joins the rooms that are left. A session
    that is ended here does and is sent nothing more from then on; that it is in its rooms ends some rooms a turn.
    """

    def __init__(self, sessions: Sessions, pipes: Pipes) -> None:
        self._sessions = sessions
        self._pipes = pipes
        self.waiting: deque[Session] = deque()
        """Ended sessions that are yet to be taken out of their rooms: while there are some, the loop must not sleep."""

    def put_user_out(self, user: str, room: Room, code: str, text: str, by: str, until: int = 0) -> int:
        """Put a user, by folded name, out of a room; return how many sessions were there. The rest as in `put_out`."""
        there = 0
        for session in self._sessions.table.of(user):
            there += room in session.members or room in session.present
            self.put_out(session, room, code, text, by, until)
        return there

    def put_out(self, session: Session, room: Room, code: str, text: str, by: str = "", until: int = 0) -> int:
        """Put a session out of a room in which it is, or was over the connection before; return the work of it.

        If it joins again, that begins anew. `code`, `text`, `by` and `until` are those of `Removed`. The work is
        counted in memberships.
        """
        member = self._sessions.leave(session, room)
        if member is None:
            return 1
        if session.version > OLDEST_VERSION:
            self._pipes.reply(session, encode_removed(Removed(room.name, member.join, code, text, by, until)), 0)
            return 1
        words = _WORDS[code].format(by=by, room=room.name)
        self.end(session, errors.refusal(code, f"{words}: {text}" if by and text else words, retryable=True))
        return 2 + len(session.present)

    def end(self, session: Session, error: errors.Refused) -> None:
        """End a session at once; it is taken out of its rooms in the next turn, or one soon after it."""
        self._sessions.cut_off(session, error)
        self.waiting.append(session)

    def turn(self) -> None:
        """Take as many ended sessions out of their rooms as a turn has time for."""
        work = 0
        while self.waiting and work < TURN_UNSEATED:
            session = self.waiting.popleft()
            work += 1 + len(session.present)
            self._sessions.empty(session)
