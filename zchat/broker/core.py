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

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

from zchat import errors
from zchat.broker.commands import HANDLERS, Ticket
from zchat.broker.counters import Counters
from zchat.broker.lag import Lagging
from zchat.broker.limits import (
    EXPIRE_AFTER,
    EXPIRE_EVERY,
    FENCED,
    MAX_REQUESTS,
    MAX_ROOMS,
    QUIET_AFTER,
    STALL,
    STRANGER_BYTES,
    TURN_ENDS,
)
from zchat.broker.notes import Notes
from zchat.broker.pipes import Port
from zchat.broker.push import Pusher
from zchat.broker.retention import Retention
from zchat.broker.room import Room
from zchat.broker.session import Session
from zchat.broker.settings import Settings
from zchat.broker.store.base import RoomLog, Store
from zchat.names import check_name, fold
from zchat.wire import COMMANDS, END, ERROR, MAX_FRAME, OK, MalformedCommand, decode_command, pack


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
        self.notes = Notes()
        self.pusher = Pusher(port, store, self.counters, self.notes, self.end)
        self.pipes = self.pusher.pipes
        self.retention = Retention(self, clock)
        self.lagging = Lagging(self)
        self.sessions: dict[bytes, Session] = {}
        self.tokens: dict[bytes, Session] = {}
        self.fenced: dict[bytes, None] = {}
        self.rooms: dict[str, Room] = {}
        self.order: list[str] = []
        self.answers: list[tuple[Ticket, tuple[int, int, int] | errors.Refused]] = []
        self.pending = 0
        self.closing = False
        self.now = now
        self._spoken = now
        self._pinged = False
        self._expiry_due = now + EXPIRE_EVERY
        self._ticked = now
        self._judge_from = now
        for log in logs:
            self._add(Room(log))
        for name in settings.rooms:
            room = self.rooms.get(fold(name)) or self._add(Room(RoomLog(name, 1, 0, ())))
            room.fixed = True

    # -- what comes in ---------------------------------------------------------------------------

    def receive(self, routing_id: bytes, frames: list[bytes], now: float) -> None:
        """Take one message of a peer: whatever it holds, it is obeyed, refused or ignored, and counted."""
        self.now = now
        session = self.sessions.get(routing_id)
        if session is None and routing_id in self.fenced:
            self.counters.fenced += 1
            return
        if session is not None:
            session.heard = now
        ticket = Ticket(session, routing_id, None)
        try:
            if len(frames) != 1 or len(frames[0]) > MAX_FRAME:
                text = f"malformed message: it is one frame of {MAX_FRAME} bytes at most"
                raise MalformedCommand(text, code="malformed")
            if session is None and len(frames[0]) > STRANGER_BYTES:
                raise _no_session()
            command = decode_command(frames[0])
            spec = COMMANDS[command[0]]
            if command[0] == "ping":
                self._pinged = True
            else:
                self._spoken = now
            fields = command[1:]
            if spec.answered:
                ticket = Ticket(session, routing_id, fields.pop(0))
            if session is None and spec.needs_session:
                raise _no_session()
            if (session is not None and self._accept(session, ticket)) or session is None:
                HANDLERS[command[0]](self, ticket, *fields)
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
        self.store.poll()
        for name, first in self.store.trimmed():
            if room := self.rooms.get(fold(name)):
                self.pusher.trimmed(room, first)
        if now >= self._expiry_due and drained:
            self._expiry_due = now + EXPIRE_EVERY
            if now >= self._judge_from:
                self._expire(now)
        self.retention.tick(now)
        self.lagging.tick(now)

    def _expire(self, now: float) -> None:
        """End the silent sessions, as many as a turn has time for; the others are due at once."""
        work = 0
        for session in [each for each in self.sessions.values() if now - each.heard > EXPIRE_AFTER]:
            if work >= TURN_ENDS:
                self._expiry_due = now
                return
            work += 1 + len(session.members)
            self.counters.expired += 1
            self.end(session, errors.Expired(f"nothing was heard from you for {EXPIRE_AFTER:g} s"))

    def turn(self, now: float) -> None:
        """Serve members, within a turn's bounds, then answer blocks: readers come before the sender."""
        self.pusher.turn(now)
        if self.answers:
            answers, self.answers = self.answers, []
            for ticket, result in answers:
                if isinstance(result, tuple):
                    self.answer(ticket, *result)
                else:
                    self.refuse(ticket, result)

    def due(self) -> float:
        """Return when `tick` is next needed if nothing arrives."""
        return min(self._expiry_due, self.retention.due, self.pusher.due)

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

    def answer(self, ticket: Ticket, *result: Any) -> None:
        """Answer a request, unless its connection is no longer its session's."""
        self.answer_frame(ticket, pack((OK, ticket.request, *result)))

    def answer_frame(self, ticket: Ticket, frame: bytes) -> None:
        """Answer a request with a frame that is made already."""
        session = ticket.session
        if session is not None and not session.ended and session.routing_id == ticket.routing_id:
            self.pipes.reply(session, frame)

    def refuse(self, ticket: Ticket, error: errors.Refused) -> None:
        """Answer with an error; one that no request asked for is dropped if the pipe is full."""
        self.counters.refused[error.code] += 1
        frame: bytes = pack((ERROR, ticket.request, error.code, error.text, error.retryable, error.detail))
        if ticket.session is None or ticket.request is None:
            self.pipes.tell(ticket.routing_id, frame)
        else:
            self.answer_frame(ticket, frame)

    # -- sessions --------------------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """Keep a session under its routing id and token."""
        self.sessions[session.routing_id] = session
        self.tokens[session.token] = session
        self.counters.greeted += 1

    def fence(self, session: Session) -> None:
        """Take a session off its connection, whose late frames are dropped from now on."""
        del self.sessions[session.routing_id]
        self.pipes.tell(session.routing_id, _end(errors.Superseded("this session goes on over another connection")))
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
                self.pipes.tell(session.routing_id, _end(error))
            if not self.closing:
                self.notes.add(f"the session of {session.user} was ended: {error.code}: {error.text}")
        session.ended = True
        del self.sessions[session.routing_id]
        del self.tokens[session.token]
        self.empty(session)

    def empty(self, session: Session) -> None:
        """End a session's memberships."""
        for member in list(session.members.values()):
            self.pusher.left(member)
            self.vacate(member.room)
        session.members.clear()

    # -- rooms -----------------------------------------------------------------------------------

    def room(self, name: str) -> Room:
        """Return the room of that name, whatever its case; raises NoSuchRoom."""
        found = self.rooms.get(fold(name))
        if found is None:
            check_name("room", name)
            hint = "the rooms here are fixed; see the list of rooms" if self.settings.fixed_rooms else "join it first"
            raise errors.NoSuchRoom(f"there is no room {name!r}: {hint}")
        return found

    def make_room(self, name: str) -> Room:
        """Return the room of that name, made now if there is none."""
        check_name("room", name)
        if (found := self.rooms.get(fold(name))) is not None:
            return found
        if len(self.rooms) >= MAX_ROOMS:
            raise errors.LimitReached(f"the broker has {MAX_ROOMS} rooms, as many as it may; use one of them")
        return self._add(Room(RoomLog(name, 1, 0, ())))

    def vacate(self, room: Room) -> None:
        """Forget a room in which nobody is and nothing was said."""
        if room.idle and self.rooms.get(room.folded) is room:
            del self.rooms[room.folded]
            del self.order[bisect_left(self.order, room.folded)]

    def _add(self, room: Room) -> Room:
        self.rooms[room.folded] = room
        insort(self.order, room.folded)
        return room


def _no_session() -> errors.NoSession:
    return errors.NoSession("no session here: greet with hello first, over a fresh connection")


def _end(error: errors.Refused) -> bytes:
    packed: bytes = pack((END, error.code, error.text, error.retryable))
    return packed
