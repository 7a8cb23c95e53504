"""Judging again, after a change of rules, who is in which rooms: some members a turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from zchat import errors
from zchat.broker.core.access import Access
from zchat.broker.core.sessions import Sessions
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.limits import TURN_JUDGED, TURN_UNSEATED
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.wire.commands import Right


class Revision:
    """The members that are yet to be judged by the present rules.

    A member that may not be in a room any more has its session ended, as version 1 of the protocol has no word for it;
    the client begins another, and joins the rooms that are left. One that may no longer read what was said before gets
    a gap in its place, and one that may not see names any more gets counts.
    """

    def __init__(
        self, access: Access, sessions: Sessions, pusher: Pusher, presence: Presence, state_frames: StateFrames
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._pusher = pusher
        self._presence = presence
        self._state_frames = state_frames
        self._waiting: Iterator[tuple[Session, Room]] | None = None

    @property
    def busy(self) -> bool:
        """True if a turn would judge somebody: the loop must not sleep then."""
        return self._waiting is not None

    def begin(self) -> None:
        """Judge everybody, those again who have been judged by the rules before."""
        self._waiting = self._walk()

    def turn(self) -> None:
        """Judge as many as a turn has time for."""
        if self._waiting is None:
            return
        ended = 0
        for judged, (session, room) in enumerate(self._waiting, 1):
            ended += self._judge(session, room)
            if judged >= TURN_JUDGED or ended >= TURN_UNSEATED:
                return
        self._waiting = None

    def _walk(self) -> Iterator[tuple[Session, Room]]:
        sessions = deque(self._sessions.table.by_token.values())
        while sessions:
            session = sessions.popleft()  # not kept: ten thousand that have ended take 10 ms to be freed at once
            for room in list(session.present | session.members):
                if session.ended:
                    break
                yield session, room

    def _judge(self, session: Session, room: Room) -> int:
        """Judge one session in one room; return the work of ending it, in memberships, 0 if it goes on."""
        rights = self._access.rights(session.peer.user, room)
        member = session.members.get(room)
        if not rights & Right.JOIN:
            if member is None:
                if room in session.present:  # of the connection before
                    self._presence.depart(session, room)
                return 1
            work = 1 + len(session.present)
            text = f"you may no longer be in {room.name!r}: greet again, and go on without it"
            self._sessions.end(session, errors.NotAllowed(text, retryable=True))
            return work
        if member is not None:
            if not rights & Right.READ:
                self._pusher.withhold(member, session.floors.get(room.folded, room.last))
            if bool(rights & Right.MEMBERS) is member.counted:
                self._state_frames.joined(member)
        return 0
