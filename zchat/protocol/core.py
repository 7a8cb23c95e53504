"""The client without I/O: calls, frames and the time come in, frames go out through a port.

It knows no socket, thread, clock, file or chance. One thread at a time may call it: the one that drives a link
(`zchat.transport.link`). `zchat.protocol.reconnect` has its states. The parts below decide and keep what is known. They
return frames and requests; the core alone sends.

Calls end through their `resolve` or `fail`, once. Messages wait in queues, one a room, from which blocks are made when
there is a place for one in flight: under load blocks grow, at rest a message goes out at once. After a loss the rooms
are joined again where they were, and each queue goes on once its room's join is answered: what was in flight first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zchat import errors
from zchat.messages import Position
from zchat.names import direct_name, is_same
from zchat.protocol.greeting import Greeting
from zchat.protocol.heartbeat import Heartbeat
from zchat.protocol.port import Call, Chance, Port
from zchat.protocol.reconnect import GREET_SECONDS, TRANSITIONS, ConnectionState, Reconnect
from zchat.protocol.requests import CLOSED, Done, Nobody, Request, Requests, request_of
from zchat.protocol.rooms.membership import Feed, Membership
from zchat.protocol.rooms.memberships import Memberships, unfit
from zchat.protocol.rooms.room_state import RoomStates
from zchat.protocol.send_queue import OutgoingBlock, SendQueue, Submission
from zchat.protocol.send_queues import SendQueues
from zchat.wire.commands import encode_command
from zchat.wire.limits import JOIN_FLAGS
from zchat.wire.notices import End, Error, GapNotice, Ok, Pong, Push, Removed, State, decode_notice
from zchat.wire.replies import Joined, Stored, Welcome, decode_reply

IDLE = 1.0
"""Seconds until the next tick while nothing is due."""

PARTING_SECONDS = 0.3
"""Seconds in which `close` tries one more connection just to say goodbye: without it the user stays listed."""

_NEW, _GREETING, _OPEN, _LOST, _CLOSING, _ENDED = ConnectionState


class ClientCore:
    """The client's side of the protocol.

    `user`, `producer`, `token` and `window` are those of the greeting; `random` spreads the waits between connections.
    """

    def __init__(self, port: Port, user: str, producer: bytes, token: bytes, window: int, random: Chance) -> None:
        self._port = port
        self._user = user
        self._greeting = Greeting(user, producer, token, window)
        self._heartbeat = Heartbeat()
        self._reconnect = Reconnect(random)
        self._requests = Requests()
        self._queues = SendQueues(user)
        self._states = RoomStates(self._requests, self._invited, port.mark_refused)
        self._memberships = Memberships(user, self._queues, self._states)
        self._takers: dict[type[Any], Callable[[Any], None]] = {
            Push: self._notified,
            GapNotice: self._notified,
            Ok: self._answered,
            Error: self._refused,
            State: self._stated,
            Pong: self._ponged,
            End: self._ended,
            Removed: self._removed,
        }
        self.state = ConnectionState.NEW
        self.over = False
        """True once it is all over."""
        self.welcome: Welcome | None = None  # the latest, of the first connection or a later one
        self.connections = 0  # tried so far, with the one that there is
        self.now = 0.0
        """The time, which what drives the core sets before each turn, and each call that is given it."""
        self.quiet_until = 0.0
        """Nothing is due before: what drives the core needs not call `tick`."""
        self._deadline: float | None = None  # of `close`
        self._parting = False  # it was closed while the connection was lost, with nothing left to do
        self._bye = False  # the goodbye is sent
        self._why: errors.ZchatError | None = None  # it has ended
        self._told = False  # all that waited, and the port

    # -- states ------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Return whether the broker has answered the greeting of this connection."""
        return self.state is _OPEN or self.state is _CLOSING

    def _enter(self, state: ConnectionState) -> None:
        assert state in TRANSITIONS[self.state], f"from {self.state} to {state}"
        self.state = state
        self.over = state is _ENDED
        self.quiet_until = 0.0

    def start(self, now: float) -> None:
        """Greet the broker over a fresh connection."""
        self.now = now
        self._enter(_GREETING)
        self._heartbeat.start(now)
        self._reconnect.start(now)
        self.greet()

    def greet(self) -> None:
        """Greet over a further connection; an earlier greeting may still arrive, and its answer no longer counts."""
        self._requests.out.clear()  # nothing else is out before a greeting is answered, and what waits is not sent yet
        self.connections += 1
        fields = self._greeting.fields(self.connections)
        self._send(self._requests.frame(Request("hello", fields, None, special=self._welcomed)))

    def close(self, deadline: float) -> None:
        """Send and answer what was accepted, until `deadline`, then say goodbye, whatever is unanswered.

        For a goodbye alone a lost connection is tried once more, at once. It follows an unanswered first greeting.
        """
        if self.state is _ENDED:
            return
        self.quiet_until = 0.0
        if self._deadline is not None:  # a call that was interrupted, and the next one
            self._deadline = min(self._deadline, deadline)
            return
        self._deadline = deadline
        self._states.close()
        if self.state is _OPEN:
            self._enter(_CLOSING)
            self._pump()
            self._leave_if_done()
        elif self.welcome is None:
            self._say_goodbye()  # the broker has a session as soon as it has the greeting
            self._end(None)
        else:
            self._parting = not self._pending

    def lost(self, reason: str) -> None:
        """Give the connection up: it can't go on."""
        self._lose(errors.ConnectionLost(reason))

    def shut_out(self, error: errors.Busy, now: float) -> None:
        """Give the connection up: the broker lets nobody in for now, and has time before the next one."""
        self.now = now
        self._lose(error, shut=True)

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """End for good, over a fault of this side, and the error that caused it if there is one."""
        error = errors.ConnectionLost(reason)
        error.__cause__ = cause
        self._end(error)

    def refuse(self, error: errors.ZchatError) -> None:
        """End for good, over what the caller has asked for."""
        self._end(error)

    def _lose(self, error: errors.ZchatError, *, shut: bool = False) -> None:
        """Give the connection up, and try another after a wait; the first one is not tried again."""
        if self.state is _ENDED or self.state is _LOST:
            return
        if self.welcome is None or self._bye:
            self._end(error if self.welcome is None else None)
            return
        was_open = self.connected
        self._enter(_LOST)
        self._reconnect.lost(self.now, was_open=was_open, shut=shut)
        self._requests.put_back()
        self._memberships.lost()
        self._port.lost(error, was_open)
        if self._deadline is not None and not self._pending:
            self._end(None)

    @property
    def _pending(self) -> bool:
        """Return whether something that was accepted has no answer yet."""
        return self._requests.pending or self._queues.pending or self._states.pending

    def _end(self, error: errors.ZchatError | None) -> None:
        """End: everything that waits fails, then the port is notified. If that is broken off, the next call does it."""
        if self._told:
            return
        if self.state is not _ENDED:
            self._enter(_ENDED)
            self._why = error
        why = self._why or errors.ConnectionLost(CLOSED)
        self._requests.fail(why)
        self._queues.fail(why)
        self._port.ended(self._why)
        self._told = True

    def _too_late(self) -> errors.ConnectionLost:
        because = "" if self._why is None else f": {self._why}"
        error = errors.ConnectionLost(f"the connection has ended{because}")
        error.__cause__ = self._why
        return error

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Carry out what time brings; returns when to call again if nothing happens.

        Notifications, and replies to blocks that are stored, come by the thousand and only put off what is due.
        What makes something due earlier takes `quiet_until` back: other frames, a change of state.
        """
        self.now = now
        if now < self.quiet_until:
            return self.quiet_until
        self._heartbeat.tick(now)
        if self._parting and self._deadline is not None:
            self._parting = False
            self._deadline = min(self._deadline, now + PARTING_SECONDS)
            self._reconnect.hasten(now)
        if self._deadline is not None and now >= self._deadline:
            if self.connected:
                self._say_goodbye()
            self._end(None)
        if self.state is _LOST and now >= self._reconnect.retry_at:
            self._port.connect()
            self.start(now)
        elif self.state is _GREETING and self.welcome and now >= self._give_up_at:
            self._lose(errors.ConnectionLost(f"no broker answered within {GREET_SECONDS:g} s"))
        elif self.connected:
            self._beat(now)
            if now >= self._queues.resume_at:
                self._queues.resume(now)
            self._send(self._states.tick(now, self._memberships.rooms.values()))
            self._pump()
        self.quiet_until = self._heartbeat.due_at(self._next(now))
        return self.quiet_until

    def _next(self, now: float) -> float:
        """Return when something is due."""
        if self.connected:
            due = min(self._heartbeat.due, self._states.due, self._queues.resume_at)
        elif self.state is _LOST:
            due = self._reconnect.retry_at
        elif self.state is _GREETING and self.welcome:
            due = self._give_up_at
        else:
            due = now + IDLE
        return due if self._deadline is None or self.over else min(due, self._deadline)

    @property
    def _give_up_at(self) -> float:
        return max(self._reconnect.greet_by, self._heartbeat.judge_from)

    def _beat(self, now: float) -> None:
        """Ping if it has been silent, judge the broker's silence."""
        heartbeat = self._heartbeat
        if now >= heartbeat.lost_at:
            self._lose(errors.ConnectionLost(f"nothing was received from the broker for {now - heartbeat.heard:.1f} s"))
        elif heartbeat.ping(now):
            self._send(_PING)

    # -- calls -------------------------------------------------------------------------------------

    def ask(self, word: str, fields: tuple[Any, ...], call: Call, done: Done | None = None) -> None:
        """Send a request as soon as there is a place for one; `done` turns its reply into the call's result."""
        if self.state is _ENDED or self._bye:
            call.fail(self._too_late())
            return
        self._requests.add(Request(word, fields, call, done))
        self._pump()

    def join(
        self, name: str, position: Position | None, create: bool, call: Call, feed: Feed, flags: int = JOIN_FLAGS
    ) -> None:
        """Join a room; the call's result is the `Membership`. `flags`: as in `zchat.wire.limits`."""
        fields, done = self._memberships.join(name, position, create, feed, flags)
        self.ask("join", fields, call, done)

    def leave(self, membership: Membership, call: Call) -> None:
        """Leave a room; what is still under way from it is dropped."""
        joined = self._memberships.rooms.get(membership.name) is membership
        if joined and ((self._memberships.leave(membership) and self.connected) or self.over):
            self.ask("leave", (membership.name, membership.join), call)
        else:  # with the connection the broker's side of it has gone already
            call.resolve(None)
            self._pump()

    def offer(self, name: str, submission: Submission, more: bool = False) -> None:
        """Put a submission in its room's queue: its messages are sent as blocks, in the order of the offers.

        `more`: another offer follows at once, and nothing goes out before it, so that they share a block.
        """
        if self.state is _ENDED or self._bye:
            submission.fail(self._too_late())
            return
        if not submission.failed:
            room = self._memberships.rooms.get(name)
            if room is not None:
                room.typing = False  # a message ends it, here and at the broker
            self._queues.offer(name, submission, shut=room is not None and not room.live)
        if not more:
            self._pump()

    def typing(self, membership: Membership, active: bool, now: float) -> None:
        """Show a room's other members whether the user is typing; at most so often, and never kept."""
        self._send(self._states.typing(membership, active, now))

    def mark_read(self, membership: Membership, seq: int) -> None:
        """Have the broker store how far a room is read; it is tried until it is stored."""
        if self.state is not _ENDED and not self._bye:
            self._states.mark_read(membership, seq)
            self._pump()

    def credit(self, membership: Membership) -> None:
        """Return credit for the notifications that the application has taken."""
        self._send(self._memberships.credit(membership))

    # -- what goes out -----------------------------------------------------------------------------

    def _send(self, frame: bytes | None) -> None:
        """Send a frame, if there is one; after the goodbye the session has ended, and it would be a stranger's."""
        if frame is not None and not self._bye:
            self._heartbeat.said = self.now
            self._port.send(frame)

    def _pump(self) -> None:
        """Send what there is a place for: rooms to join again first, then questions, then blocks, room by room."""
        welcome = self.welcome
        if welcome is None or (self.state is not _OPEN and self.state is not _CLOSING):
            return
        places = welcome.max_requests
        requests = self._requests
        out = requests.out
        while self._memberships.again and len(out) < places:
            room, fields = self._memberships.rejoin()
            self._send(requests.frame(Request("join", fields, None, special=partial(self._rejoined, room))))
        if requests.waiting and self._states.unanswered is not None:
            self._send(self._states.answer())  # the broker's answers may wait for it
        while requests.waiting and len(out) < places:
            self._send(requests.next())
        while self._queues.ready and len(out) < places:
            turn = self._queues.next()
            if turn is None:
                return
            queue, block = turn
            number = requests.enter(request_of(("send", (), None, None, partial(self._settled, queue, block))))
            self._send(encode_command("send", number, queue.name, block.number, block.pack()))

    def _leave_if_done(self) -> None:
        if not self._pending:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if not self._bye and self.connections:
            self._send(self._requests.frame(Request("bye", (), None, special=lambda *_: self._end(None))))
            self._bye = True

    # -- what comes in -----------------------------------------------------------------------------

    def receive(self, frame: bytes, now: float) -> None:
        """Take one frame of the broker's; what breaks the protocol ends the client with that error."""
        self.now = now
        if self.state is _ENDED or self.state is _LOST:
            return
        self._heartbeat.heard = now
        try:
            notice = decode_notice(frame)
            self._takers[notice.__class__](notice)
        except (errors.ProtocolError, errors.BadName) as error:
            self._end(_broken(error))

    def _notified(self, notice: Push | GapNotice) -> None:
        if self._memberships.notified(notice):
            self._pump()

    def _answered(self, answer: Ok) -> None:
        request = self._requests.out.pop(answer.request, None)
        if request is None:
            return
        result: Any = None
        try:
            reply = decode_reply(request.word, answer.result)
            if request.special is not None:
                request.special(reply, None)
            else:
                result = request.done(reply) if request.done is not None else reply
        except (errors.ProtocolError, errors.BadName) as error:
            if request.call is not None:
                request.call.fail(_broken(error))
            raise
        except errors.VersionRefused as error:  # the broker does not know what a join asked for
            assert request.call is not None
            request.call.fail(error)
            self.ask("leave", request.fields[:2], Nobody())
            return
        if request.word != "send":
            self.quiet_until = 0.0
        if request.call is not None and not request.call.resolve(result) and isinstance(result, Membership):
            self.leave(result, Nobody())  # the caller has gone
        if self._queues.ready or self._requests.waiting or self._memberships.again:
            self._pump()
        if self.state is _CLOSING:
            self._leave_if_done()

    def _refused(self, answer: Error) -> None:
        self.quiet_until = 0.0
        error = errors.refusal(answer.code, answer.text, answer.retryable, answer.detail)
        if isinstance(error, errors.VersionRefused) and answer.oldest is not None and answer.newest is not None:
            error.versions = answer.oldest, answer.newest
        if answer.request is None or isinstance(error, errors.NoSession):
            self._dismissed(error)
            return
        request = self._requests.out.pop(answer.request, None)
        if request is None:
            return
        if request.special is not None:
            request.special(None, error)
        elif request.call is not None:
            request.call.fail(error)
        self._pump()
        if self.state is _CLOSING:
            self._leave_if_done()

    def _stated(self, state: State) -> None:
        self.quiet_until = 0.0
        self._send(self._states.receive(state, self._memberships.rooms, self.now))

    def _invited(self, room: str, user: str, position: Position) -> None:
        if not is_same(room, direct_name(self._user, user)):
            raise errors.ProtocolError("the broker sent an invitation to a room that isn't the user's with its sender")
        self._port.invited(room, user, position)

    def _ponged(self, pong: Pong) -> None:
        self.quiet_until = 0.0
        self._heartbeat.ponged(self.now, pong.next_ms / 1000)

    def _ended(self, end: End) -> None:
        self._dismissed(errors.refusal(end.code, end.text, end.retryable, end.detail))

    def _removed(self, removed: Removed) -> None:
        self.quiet_until = 0.0
        self._memberships.removed(removed)
        self._pump()
        if self.state is _CLOSING:
            self._leave_if_done()

    def _dismissed(self, error: errors.Refused) -> None:
        """Take the end of the session: a lost connection, or a refusal for good."""
        if error.retryable or isinstance(error, errors.NoSession):
            lost = errors.ConnectionLost(f"the broker ended the session: {error}")
            lost.__cause__ = error
            self._lose(lost)
        else:
            self._end(error)

    # -- replies to what the core asks by itself ---------------------------------------------------

    def _welcomed(self, welcome: Welcome | None, error: errors.Refused | None) -> None:
        if error is not None and error.retryable and self.welcome is not None:
            self._lose(error)
        elif error is not None:
            self._end(error)
        elif welcome is not None:
            self._greeting.check(welcome)
            self.welcome = welcome
            self._enter(_OPEN if self._deadline is None else _CLOSING)
            self._reconnect.opened(self.now)
            self._heartbeat.opened(self.now, welcome.ping_ms / 1000, welcome.lost_ms / 1000)
            self._requests.opened(welcome.version)
            self._queues.opened()
            self._memberships.opened(welcome.window)
            self._states.opened()
            self._port.opened(welcome)

    def _rejoined(self, room: Membership, answer: Joined | None, error: errors.Refused | None) -> None:
        if self._memberships.rooms.get(room.name) is not room:
            return  # left meanwhile
        error = error or (None if answer is None else unfit(room.flags, answer))
        if error is None:
            assert answer is not None
            self._send(self._memberships.rejoined(room, answer))
        elif error.retryable:
            self._lose(error)
        else:
            self._memberships.refused(room, error)
            if answer is not None:
                self.ask("leave", (room.name, room.join), Nobody())

    def _settled(
        self, queue: SendQueue, block: OutgoingBlock, stored: Stored | None, error: errors.Refused | None
    ) -> None:
        """Take the reply to a block: blocks are stored in their order, a refusal may overtake them."""
        if stored is not None:
            last = queue.last_seq(block, stored.seq)
            self._memberships.stored(queue.name, stored.epoch, stored.seq, last)  # first: the position is after it
        self._queues.settled(queue, block, stored, error, self.now)
        if queue.stalled:
            self.quiet_until = 0.0


def _broken(error: errors.ProtocolError | errors.BadName) -> errors.ProtocolError:
    """Return the error of a broker that has broken the protocol, by a name that is none for example."""
    if isinstance(error, errors.ProtocolError):
        return error
    return errors.ProtocolError(f"the broker sent an invalid name: {error}")


_PING = encode_command("ping")
