"""Judging again, after a change of rules, who is in which rooms: some members a turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from zchat.broker.core.access import Access
from zchat.broker.core.removal import Removal
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.limits import TURN_JUDGED, TURN_UNSEATED
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.rooms.session_table import SessionTable
from zchat.wire.commands import Right

OTHER_RULES = "the broker's rules no longer let you be in it"
"""What is said to a session that is put out by them."""


class Revision:
    """The members that are yet to be judged by the present rules.

    A member that may not be in a room any more is put out of it. One that may no longer send is shown as typing no
    more. One that may no longer read what was said before gets a gap in its place, and one that may not see names any
    more gets counts. Sessions that were in a room over a connection before are judged likewise. `rooms` are all rooms
    by folded name.
    """

    def __init__(
        self,
        rooms: dict[str, Room],
        access: Access,
        table: SessionTable,
        pusher: Pusher,
        state_frames: StateFrames,
        removal: Removal,
        presence: Presence,
    ) -> None:
        self._rooms = rooms
        self._access = access
        self._table = table
        self._pusher = pusher
        self._state_frames = state_frames
        self._removal = removal
        self._presence = presence
        self.waiting: Iterator[tuple[Session, Room]] | None = None
        """Those who are yet to be judged, None for nobody: while there are some, the loop must not sleep."""

    def begin(self) -> None:
        """Judge everybody, those again who have been judged by the rules before."""
        self.waiting = self._walk()

    def turn(self) -> None:
        """Judge as many as a turn has time for; while nobody waits it need not be called."""
        if self.waiting is None:
            return
        ended = 0
        for judged, (session, room) in enumerate(self.waiting, 1):
            ended += self._judge(session, room)
            if judged >= TURN_JUDGED or ended >= TURN_UNSEATED:
                return
        self.waiting = None

    def _walk(self) -> Iterator[tuple[Session, Room]]:
        sessions = deque(self._table.by_token.values())
        while sessions:
            session = sessions.popleft()  # not kept: ten thousand that have ended take 10 ms to be freed at once
            for folded in [folded for folded in session.floors if folded not in self._rooms]:
                del session.floors[folded]  # a room of that name that is made later is another
            before = [self._rooms[folded] for folded in session.floors]
            for room in dict.fromkeys([*session.present, *session.members, *before]):
                if session.ended:
                    break
                yield session, room

    def _judge(self, session: Session, room: Room) -> int:
        """Judge one session in one room; return the work of putting it out, in memberships, 0 if it stays."""
        user = session.peer.user
        rights = self._access.rights(user, room)
        if not rights & Right.JOIN:
            ban = self._access.sanction(user, room, Right.JOIN)
            if ban is not None:
                return self._removal.put_out(session, room, "banned", ban.reason, ban.by, ban.until)
            return self._removal.put_out(session, room, "not_allowed", OTHER_RULES)
        if not rights & Right.SEND:
            self._presence.end_typing(room, user)
        member = session.members.get(room)
        if member is not None:
            if not rights & Right.READ:
                self._pusher.withhold(member, session.floors.get(room.folded, room.last))
            if bool(rights & Right.MEMBERS) is member.counted:
                self._state_frames.joined(member)
        return 0
