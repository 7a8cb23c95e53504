"""Sending members a room's state: only the latest, conflated, never queued.

For each member nothing is kept but the version of the roster that it was sent. A session has one
state frame out at most; the next, once the client has seen that, holds what is the latest then.
A room's changes go out together, at once after a quiet while and else every now and then, the more
seldom the more sessions there are.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from math import inf

from zchat.broker.delivery.pipes import Pipes
from zchat.broker.figures.counters import Counters
from zchat.broker.limits import (
    MAX_MEMBERSHIPS,
    RETRY_FIRST,
    STATE_BYTES,
    STATE_EVERY,
    STATE_FRAMES_A_SECOND,
    TURN_STALE,
    TURN_STATE_BYTES,
    TURN_STATES,
    UNREAD_BYTES,
)
from zchat.broker.port import Port, Sent
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.wire.notices import Invitation, encode_invitation, encode_state


class StateFrames:
    """The sessions to be sent state, and how they are sent it in turns.

    `sessions_of` returns a user's sessions, by folded name; `is_named_to` whether a member may be sent names.
    """

    def __init__(
        self,
        port: Port,
        pipes: Pipes,
        counters: Counters,
        sessions_of: Callable[[str], Iterable[Session]],
        is_named_to: Callable[[Member], bool],
    ) -> None:
        self._port = port
        self._pipes = pipes
        self._counters = counters
        self._sessions_of = sessions_of
        self._is_named_to = is_named_to
        self.ready: deque[Session] = deque()
        """The sessions to send a state frame to: while there are some, the loop must not sleep."""
        self.due = inf
        """When the next room's changes are to go out, infinity if there are none."""
        self.now = -inf
        """The time, as of the last turn."""
        self._flushes: list[tuple[float, int, Room]] = []
        self._tie = count()

    # -- what happens ------------------------------------------------------------------------------

    def changed(self, room: Room) -> None:
        """Have a room's members sent its changes, as soon as its pace allows."""
        if not room.scheduled:
            room.scheduled = True
            due = room.updated + max(STATE_EVERY, len(room.members) / STATE_FRAMES_A_SECOND)
            heapq.heappush(self._flushes, (max(self.now, due), next(self._tie), room))
            self.due = self._flushes[0][0]

    def grew(self, room: Room) -> None:
        """Have the two users of a direct room, whose log has grown, invited where they are not members."""
        room.grew = True
        self.changed(room)

    def joined(self, member: Member) -> None:
        """Have a new member sent the whole roster."""
        member.session.stale[member] = None
        self._wake(member.session)

    def greeted(self, session: Session, rooms: Iterable[Room]) -> None:
        """Invite a session to those of its user's direct rooms in which something is unread."""
        for room in rooms:
            if room.last > room.read_marks.get(session.peer.user, 0):
                self._invite(session, room)

    def seen(self, session: Session, number: int) -> None:
        """Record that a client has a state frame: the next may go out."""
        if number != session.shown or not number:
            self._counters.stale_seen += 1
            return
        session.shown = 0
        session.proven = session.shown_after
        self._wake(session)

    def prove(self, session: Session) -> None:
        """Have a session sent a state frame, if need be without news.

        A client that reports it as seen has read what came before.
        """
        session.to_prove = True
        self._wake(session)

    def must_prove(self, session: Session) -> bool:
        """Return whether a session has so many answers unread that it is given no page before it has read them.

        Then it is sent a state frame: while requests wait for it to read, one is out or yet to be sent.
        """
        unread = session.unread
        # Asked for early, so that nobody who reads waits for it; what the store is reading can't be proven yet.
        if unread >= UNREAD_BYTES // 2 and session.answered > session.proven:
            self.prove(session)
        return unread >= UNREAD_BYTES

    def opened(self, session: Session) -> None:
        """Go on with a session whose pipe has room again."""
        self._wake(session)

    def _wake(self, session: Session) -> None:
        if (session.stale or session.invitations or session.to_prove) and not session.queued and not session.shown:
            session.queued = True
            self.ready.append(session)

    def _invite(self, session: Session, room: Room) -> None:
        if len(session.invitations) >= MAX_MEMBERSHIPS:  # as many as it could join
            self._counters.uninvited += 1
            return
        session.invitations[room] = None
        self._wake(session)

    # -- a turn ------------------------------------------------------------------------------------

    def turn(self) -> None:
        """See whose rooms' changes are due, then send state frames, both within bounds."""
        stale = 0
        flushes = self._flushes
        while flushes and flushes[0][0] <= self.now and stale < TURN_STALE:
            room = heapq.heappop(flushes)[2]
            stale += 1 + len(room.members)
            self._flush(room)
        self.due = flushes[0][0] if flushes else inf
        sends = size = 0
        while self.ready and sends < TURN_STATES and size < TURN_STATE_BYTES:
            session = self.ready.popleft()
            session.queued = False
            if not (session.blocked or session.gone or session.ended):
                sends += 1
                size += self._serve(session)

    def _flush(self, room: Room) -> None:
        room.scheduled = False
        room.updated = self.now
        version = room.roster.version if room.roster is not None else 0
        for member in room.members:
            if member.roster_version != version:
                session = member.session
                session.stale[member] = None
                self._wake(session)
        if room.grew:
            room.grew = False
            for user in room.direct:
                for session in self._sessions_of(user):
                    if room not in session.members:
                        self._invite(session, room)

    def _serve(self, session: Session) -> int:
        """Send a session what is the latest of its rooms, as much as fits; returns its bytes, 0 if none went out."""
        done: list[tuple[Member, bool]] = []
        updates: list[bytes] = []
        size = 0
        for member in session.stale:
            roster = member.room.roster
            assert roster is not None, "a room with members has a roster"
            counted = not self._is_named_to(member)
            if member.roster_version != roster.version or counted is not member.counted:
                update = roster.counts() if counted else roster.update(0 if member.counted else member.roster_version)
                if updates and size + len(update) > STATE_BYTES:
                    break
                updates.append(update)
                size += len(update)
            done.append((member, counted))
        invited: list[Room] = []
        invitations: list[bytes] = []
        for room in session.invitations:
            if invitations and size > STATE_BYTES:
                break
            read_mark = room.read_marks.get(session.peer.user, 0)
            if room not in session.members and read_mark < room.last:
                epoch = room.epochs.at(read_mark) if read_mark else 0
                invitation = encode_invitation(Invitation(room.name, room.other(session.peer.user), epoch, read_mark))
                invitations.append(invitation)
                size += len(invitation)
            invited.append(room)
        if updates or invitations or session.to_prove:
            frame = encode_state(session.frames + 1, updates, invitations)
            outcome = self._port.send(session.peer.routing_id, frame)
            if outcome == Sent.FULL:
                self._pipes.block(session)
                return 0
            if outcome == Sent.GONE:
                self._pipes.lost(session)
                return 0
            size = len(frame)
            session.frames += 1
            session.shown = session.frames
            session.shown_after = session.answered
            session.to_prove = False
            session.backoff = RETRY_FIRST
            self._counters.states += 1
            self._counters.state_bytes += size
        for member, counted in done:
            del session.stale[member]
            assert member.room.roster is not None
            member.roster_version = member.room.roster.version
            member.counted = counted
        for room in invited:
            del session.invitations[room]
        return size
