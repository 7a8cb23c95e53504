"""The broker without I/O: frames and the time come in, frames go out through a port.

It knows no socket, thread, clock or file, so that a simulation can run it. The loop
(`zchat.broker.loop`) owns one and calls it from its thread alone:

    receive(routing_id, frames, now)   for each message that the socket has
    tick(now, drained)                 once a turn: the store's answers, expiry, retention
    turn(now)                          once a turn: serve members

Sessions: `hello` makes one (or goes on with one, by its token, over a fresh connection, which
fences the old one); `bye`, silence or a broken bound ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zchat import errors
from zchat.broker.core.handlers import HANDLERS
from zchat.broker.core.replies import Ticket
from zchat.broker.core.store_reports import StoreReports
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.busiest import Busiest
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.histograms import Histograms
from zchat.broker.figures.lag import LagSampler
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.limits import (
    EXPIRE_AFTER,
    EXPIRE_EVERY,
    FENCED,
    MAX_REQUESTS,
    QUIET_AFTER,
    STALL,
    STRANGER_BYTES,
    TURN_ENDS,
)
from zchat.broker.port import Port
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.retention import Retention
from zchat.broker.rooms.session import Session
from zchat.broker.settings import Settings
from zchat.broker.store.contract import RoomLog, Store
from zchat.names import fold
from zchat.wire.commands import MalformedCommand, decode_command, malformed
from zchat.wire.limits import MAX_FRAME
from zchat.wire.notices import encode_end, encode_error, encode_ok
from zchat.wire.replies import Stored


class Core:
    """Decide what a broker does.

    `logs` are the rooms that the opened store has. `now` and all later times are seconds of a clock
    that never goes back; `clock` tells the microseconds since 1970, as the store's does.
    """

    def __init__(
        self,
        port: Port,
        store: Store,
        logs: list[RoomLog],
        settings: Settings,
        now: float,
        clock: Callable[[], int],
    ) -> None:
        self.store = store
        self.settings = settings
        self.counters = Counters()
        self.histograms = Histograms()
        self.log_lines = LogLines()
        self.pusher = Pusher(port, store, self.counters, self.log_lines, self.end)
        self.pipes = self.pusher.pipes
        self.retention = Retention(self, clock)
        self.directory = Directory(logs, settings.rooms, fixed=settings.fixed_rooms)
        self.rooms = self.directory.rooms
        self.state_frames = StateFrames(port, self.pipes, self.counters, self.sessions_of)
        self.presence = Presence(settings.names, clock, self.counters, self.state_frames.changed, self.directory.vacate)
        self._reports = StoreReports(
            self.rooms, self.pusher, self.presence, self.state_frames, self.counters, self.histograms
        )
        self.lag = LagSampler(self)
        self.busiest = Busiest(self)
        self.sessions: dict[bytes, Session] = {}
        self.users: dict[str, dict[Session, None]] = {}
        self.tokens: dict[bytes, Session] = {}
        self.fenced: dict[bytes, None] = {}
        self.answers: list[tuple[Ticket, Stored | errors.Refused]] = []
        self.pending = 0
        self.closing = False
        self.now = now
        self.began = now
        self.started = clock()
        self._spoken = now
        self._pinged = False
        self._expiry_due = now + EXPIRE_EVERY
        self._ticked = now
        self._judge_from = now
        for name, user, seq in store.read_marks():
            if room := self.rooms.get(fold(name)):
                room.read_marks[user] = min(seq, room.last)

    # -- what comes in ---------------------------------------------------------------------------

    def receive(self, routing_id: bytes, frames: list[bytes], now: float) -> None:
        """Take one message of a peer: whatever it holds, it is obeyed, refused or ignored, and counted."""
        self.now = now
        self.counters.frames += 1
        self.counters.received_bytes += len(frames[0]) if frames else 0
        session = self.sessions.get(routing_id)
        if session is None and routing_id in self.fenced:
            self.counters.fenced += 1
            return
        if session is not None:
            session.heard = now
        ticket = Ticket(session, routing_id, None)
        try:
            if len(frames) != 1 or len(frames[0]) > MAX_FRAME:
                raise malformed(f"a message is one frame of {MAX_FRAME} bytes at most")
            if session is None and len(frames[0]) > STRANGER_BYTES:
                raise _no_session()
            command = decode_command(frames[0])
            if command.word == "ping":
                self._pinged = True
            else:
                self._spoken = now
            ticket = Ticket(session, routing_id, command.request)
            if session is None and command.spec.needs_session:
                raise _no_session()
            if (session is not None and self._accept(session, ticket)) or session is None:
                HANDLERS[command.word](self, ticket, *command.fields)
        except MalformedCommand as error:
            ticket = Ticket(session, routing_id, error.request)
            if session is None or self._accept(session, ticket):
                self.refuse(ticket, error)
        except errors.Refused as error:
            self.refuse(ticket, error)

    def _accept(self, session: Session, ticket: Ticket) -> bool:
        """Count a request that is to be answered; False if it ends its session, being one too many."""
        if ticket.request is None:
            return True
        session.unanswered += 1
        if session.unanswered <= MAX_REQUESTS:
            return True
        self.end(session, errors.TooManyRequests(f"more than {MAX_REQUESTS} requests unanswered; wait for replies"))
        return False

    def tick(self, now: float, drained: bool) -> None:
        """Carry out what time brings: the store's answers, silent sessions, retention.

        `drained`: everything that had arrived by now has been received; only then is silence judged.
        """
        if now - self._ticked > STALL:  # this process stood still: what clients sent meanwhile is yet to be read
            self._judge_from = now + STALL
        self.now = self._ticked = now
        self.counters.turns += 1
        self.retention.tick(now)  # before the store is polled, as are all who ask it
        self.store.poll(self._reports)
        if now >= self._expiry_due and drained:
            self._expiry_due = now + EXPIRE_EVERY
            if now >= self._judge_from and not (self._expire(now) and self.presence.settle(now)):
                self._expiry_due = now
        self.presence.tick(now)
        if self.lag.tick(now):
            self.busiest.look(now)

    def _expire(self, now: float) -> bool:
        """End the silent sessions, as many as a turn has time for; True if those were all."""
        work = 0
        for session in [each for each in self.sessions.values() if now - each.heard > EXPIRE_AFTER]:
            if work >= TURN_ENDS:
                return False
            work += 1 + len(session.present)
            self.counters.expired += 1
            self.end(session, errors.Expired(f"nothing was heard from you for {EXPIRE_AFTER:g} s"))
        return True

    def turn(self, now: float) -> None:
        """Serve members, within a turn's bounds, then answer blocks: readers come before the sender, state last."""
        self.pusher.turn(now)
        if self.answers:
            answers, self.answers = self.answers, []
            for ticket, result in answers:
                if isinstance(result, Stored):
                    self.answer(ticket, result)
                else:
                    self.refuse(ticket, result)
        self.state_frames.turn(now)

    @property
    def busy(self) -> bool:
        """Tell whether a turn would send something: the loop must not sleep then."""
        return self.pusher.busy or self.state_frames.busy

    def due(self) -> float:
        """Return when `tick` is next needed if nothing arrives."""
        return min(self._expiry_due, self.retention.due, self.pusher.due, self.state_frames.due, self.presence.due)

    def stop(self) -> None:
        """Take no more requests; what was accepted is still answered."""
        self.closing = True

    def gathering(self) -> bool:
        """Tell, once after a ping, whether there was nothing else for a while: more pings follow at once."""
        pinged, self._pinged = self._pinged, False
        return pinged and self.now - self._spoken > QUIET_AFTER

    @property
    def settled(self) -> bool:
        """Tell whether everything that was accepted is answered."""
        return not (self.pending or self.answers) and not any(s.replies for s in self.sessions.values() if not s.gone)

    def dismiss(self) -> None:
        """Tell every client that the broker is going down, and end its session."""
        for session in list(self.sessions.values()):
            self.end(session, errors.Closing("the broker is going down; it may be back soon"))

    # -- what goes out ---------------------------------------------------------------------------

    def answer(self, ticket: Ticket, reply: Sequence[Any]) -> None:
        """Answer a request with one of `zchat.wire.replies`, unless its connection is no longer its session's."""
        self.answer_frame(ticket, encode_ok(ticket.request, reply))

    def holds(self, ticket: Ticket) -> bool:
        """Tell whether the connection that a request came over is still its session's."""
        session = ticket.session
        return session is not None and not session.ended and session.routing_id == ticket.routing_id

    def answer_frame(self, ticket: Ticket, frame: bytes) -> None:
        """Answer a request with a frame that is made already."""
        session = ticket.session
        if session is not None and not session.ended and session.routing_id == ticket.routing_id:
            self.pipes.reply(session, frame)

    def refuse(self, ticket: Ticket, error: errors.Refused) -> None:
        """Answer with an error; one that no request asked for is dropped if the pipe is full."""
        self.counters.refused[error.code] += 1
        frame = encode_error(ticket.request, error)
        if ticket.session is None or ticket.request is None:
            self.pipes.tell(ticket.routing_id, frame)
        else:
            self.answer_frame(ticket, frame)

    # -- sessions --------------------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """Keep a session under its routing id and token."""
        self.sessions[session.routing_id] = session
        self.tokens[session.token] = session
        self.users.setdefault(session.folded, {})[session] = None
        self.counters.greeted += 1

    def sessions_of(self, user: str) -> list[Session]:
        """Return a user's sessions, by folded name."""
        return list(self.users.get(user, ()))

    def fence(self, session: Session) -> None:
        """Take a session off its connection, whose late frames are dropped from now on; its user stays present."""
        self._take_out(session)
        self.pipes.tell(
            session.routing_id, encode_end(errors.Superseded("this session goes on over another connection"))
        )
        self.pipes.drop_replies(session)
        self.fenced[session.routing_id] = None
        if len(self.fenced) > FENCED:
            del self.fenced[next(iter(self.fenced))]
        self.empty(session)

    def end(self, session: Session, error: errors.Refused | None) -> None:
        """End a session and its memberships; with an error the client is told it."""
        if error is not None:
            self.counters.refused[error.code] += 1
            self.pipes.drop_replies(session)
            if not session.gone:
                self.pipes.tell(session.routing_id, encode_end(error))
            if not self.closing:
                text = f"the session of {session.user} was ended: {error.code}: {error.text}"
                self.log_lines.add("session_ended", text, user=session.user, code=error.code, reason=error.text)
        self.pipes.ended(session)
        session.ended = True
        self._take_out(session)
        del self.tokens[session.token]
        self.empty(session)
        self.presence.away(session)

    def _take_out(self, session: Session) -> None:
        del self.sessions[session.routing_id]
        del self.users[session.folded][session]
        if not self.users[session.folded]:
            del self.users[session.folded]

    def empty(self, session: Session) -> None:
        """End a session's memberships."""
        for member in list(session.members.values()):
            self.pusher.left(member)
        session.members.clear()


def _no_session() -> errors.NoSession:
    return errors.NoSession("no session here: greet with hello first, over a fresh connection")
