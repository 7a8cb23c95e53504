"""The lives of sessions: how they begin, change their connection, and end."""

from __future__ import annotations

from zchat import errors
from zchat.broker.delivery.pipes import Pipes
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.audit_trail import AuditTrail
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.limits import EXPIRE_AFTER, TURN_ENDS
from zchat.broker.port import Cut, Port
from zchat.broker.presence.presence import Presence
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.rooms.session_table import SessionTable
from zchat.wire.notices import encode_end


class Sessions:
    """How sessions begin, change their connection and end, with all that depends on them.

    `hello` begins one, or goes on with one by its token over a fresh connection, which fences the old one; `bye`,
    silence or a broken bound ends it.
    """

    def __init__(
        self,
        port: Port,
        table: SessionTable,
        pusher: Pusher,
        pipes: Pipes,
        presence: Presence,
        counters: Counters,
        log_lines: LogLines,
        audit: AuditTrail,
    ) -> None:
        self.table = table
        self.closing = False
        """True once the broker takes no more sessions and blocks."""
        self._port = port
        self._pusher = pusher
        self._pipes = pipes
        self._presence = presence
        self._counters = counters
        self._log_lines = log_lines
        self._audit = audit

    def enter(self, session: Session) -> None:
        """Begin a session, or go on with one."""
        self.table.add(session)
        self._counters.greeted += 1
        self._audit.add("let_in", session.peer, user=session.user)

    def fence(self, session: Session) -> None:
        """Take a session off its connection, of which nothing is read any more; its user stays present."""
        self.table.disconnect(session)
        superseded = errors.Superseded("this session goes on over another connection")
        self._pipes.send_or_drop(session.peer, session, encode_end(superseded, session.version))
        self._port.cut(session.peer, Cut.ENDED)
        self._pipes.drop_replies(session)
        self._end_memberships(session)

    def end(self, session: Session, error: errors.Refused | None) -> None:
        """End a session and its memberships; the client is sent the error, if there is one."""
        self.cut_off(session, error)
        self.empty(session)

    def cut_off(self, session: Session, error: errors.Refused | None) -> None:
        """End a session but for its places in rooms, which `empty` takes from it.

        Nothing of it is carried out any more, and with an error nothing more is sent to it.
        """
        if error is not None:
            self._counters.refused[error.code] += 1
            self._pipes.send_or_drop(session.peer, session, encode_end(error, session.version))
            self._pipes.vanished(session)
            if not self.closing:
                text = f"the session of {session.user!r} was ended: {error.code}: {error.text}"
                self._log_lines.add("session_ended", text, user=session.user, code=error.code, reason=error.text)
        if not self.closing:
            code, text = ("bye", "") if error is None else (error.code, error.text)
            self._audit.add("session_ended", session.peer, user=session.user, reason=code, text=text)
            self._port.cut(session.peer, Cut.ENDED)
        self._pipes.ended(session)
        session.ended = True
        self.table.remove(session)

    def left_behind(self, user: str, producer: bytes, connection: int) -> None:
        """End the session of a client that has greeted another broker over a later connection.

        Its user stays in its rooms here for as long as it may take to join them there.
        """
        for session in self.table.of(user):
            if session.producer == producer and session.connection < connection:
                self.cut_off(session, errors.Superseded("this session goes on at another broker"))
                self._end_memberships(session)
                self._presence.back(session, self._presence.now)

    def empty(self, session: Session) -> None:
        """Take a session that has ended out of its rooms."""
        self._end_memberships(session)
        self._presence.away(session)

    def leave(self, session: Session, room: Room) -> Member | None:
        """Take a session out of a room; return what it was there, None for no member. Another join begins anew."""
        session.floors.pop(room.folded, None)
        member = session.members.pop(room, None)
        if member is not None:
            self._pusher.left(member)
        self._presence.left(session, room)
        return member

    def expire(self, now: float) -> bool:
        """End the silent sessions, as many as a turn has time for; True if those were all."""
        work = 0
        for session in [each for each in self.table.by_routing_id.values() if now - each.heard > EXPIRE_AFTER]:
            if work >= TURN_ENDS:
                return False
            work += 1 + len(session.present)
            self._counters.expired += 1
            self.end(session, errors.Expired(f"nothing was received from you for {EXPIRE_AFTER:g} s"))
        return True

    def dismiss(self) -> None:
        """Notify every client that the broker is going down, and end its session."""
        for session in list(self.table.by_routing_id.values()):
            self.end(session, errors.Closing("the broker is going down; it may be back soon"))

    def _end_memberships(self, session: Session) -> None:
        members = list(session.members.values())
        session.members.clear()
        for member in members:
            self._pusher.left(member)
            if member.room not in session.present:
                self._presence.left(session, member.room)
