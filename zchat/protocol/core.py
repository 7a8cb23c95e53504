"""The client without I/O: calls, frames and the time come in, frames go out through a port.

It knows no socket, thread, clock, file or chance. One thread at a time may call it; the receive
thread (`zchat.transport.receiver`) owns it. States:

    NEW --start--> GREETING --welcome--> OPEN --close--> CLOSING --answer to bye--> ENDED
    OPEN, CLOSING, a later GREETING --the connection is lost--> LOST --a wait, start--> GREETING
    the first GREETING --loss, any refusal--> ENDED
    any of them --a refusal for good, a broken protocol, the deadline of close--> ENDED

Calls end through their `resolve` or `fail`, once. Messages wait in queues, one a room, from which
blocks are made when there is a place for one in flight: under load blocks grow, at rest a
message goes out at once. After a loss the rooms are joined again where they were, and each queue
goes on once its room's join is answered: what was in flight first, as it was.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any

from zchat import errors
from zchat.messages import Position
from zchat.protocol.heartbeat import Heartbeat
from zchat.protocol.membership import Feed, Membership
from zchat.protocol.memberships import Memberships
from zchat.protocol.port import Call, Chance, Port
from zchat.protocol.requests import Done, Nobody, Request, Requests, Special
from zchat.protocol.room_state import RoomStates
from zchat.protocol.send_queue import Batch, OutgoingBlock, SendQueue
from zchat.protocol.send_queues import SendQueues
from zchat.wire.commands import encode_command
from zchat.wire.limits import VERSION
from zchat.wire.notices import End, Error, GapNotice, Ok, Pong, Push, State, decode_notice
from zchat.wire.replies import Stored, Welcome, decode_reply

GREET_SECONDS = 1.0
"""Seconds that a later greeting may take before another connection is tried."""

RETRY_FIRST = 0.05
"""Seconds between two connections at least: a broker that says no is not asked hundreds of times a second."""

RETRY_MAX = 0.5
"""Seconds between two connections at most, so that messages flow within a second of the broker's return."""

STEADY = 1.0
"""Seconds that a connection must have been open for waits to begin small again after it."""

IDLE = 1.0
"""Seconds until the next tick while nothing is due."""


class ConnectionState(Enum):
    """Say where the client stands; the module's table has the transitions."""

    NEW = "new"
    GREETING = "greeting"
    OPEN = "open"
    LOST = "lost"
    CLOSING = "closing"
    ENDED = "ended"


class ClientCore:
    """Speak the client's side of the protocol.

    `producer` and `token` are 16 random bytes each, the token secret; `mark` is how many
    notifications a room may have unanswered, 0 for the broker's own; `random` spreads the
    waits between connections.
    """

    def __init__(self, port: Port, user: str, producer: bytes, token: bytes, mark: int, random: Chance) -> None:
        self._port = port
        self._user = user
        self._producer = producer
        self._token = token
        self._mark = mark
        self._random = random
        self.state = ConnectionState.NEW
        self.welcome: Welcome | None = None
        self._requests = Requests(self._send)
        self._queues = SendQueues(user, self._transmit, self._has_place)
        self._heartbeat = Heartbeat()
        self._rooms = Memberships(user, self._send, self._requests, self._queues, self._lose)
        self._states = RoomStates(self._rooms.rooms, self._send, self._ask, port.invited)
        self._rooms.states = self._states
        self.connections = 0
        self._now = 0.0
        self._quiet_until = 0.0
        self._opened_at = 0.0
        self._greet_by = 0.0
        self._retry_at = 0.0
        self._retry_most = RETRY_FIRST
        self._resume_at: float | None = None
        self._deadline: float | None = None
        self._closing = False
        self._bye = False
        self._why: errors.ZchatError | None = None

    # -- life ------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Tell whether it is all over."""
        return self.state is ConnectionState.ENDED

    @property
    def connected(self) -> bool:
        """Tell whether the broker has answered the greeting of this connection."""
        return self.state is ConnectionState.OPEN or self.state is ConnectionState.CLOSING

    def start(self, now: float) -> None:
        """Greet the broker over a fresh connection."""
        self._now = now
        self._quiet_until = 0.0
        self._heartbeat.start(now)
        self._greet_by = now + GREET_SECONDS
        self.state = ConnectionState.GREETING
        self.connections += 1
        fields = (VERSION, VERSION, self._user, self._producer, self._token, self._mark, self.connections)
        self._requests.issue(Request("hello", fields, None, special=self._welcomed))

    def close(self, deadline: float) -> None:
        """Send and answer what was accepted, until `deadline`, then say goodbye."""
        if self.state is ConnectionState.ENDED or self._closing:
            return
        self._closing = True
        self._deadline = deadline
        self._quiet_until = 0.0
        self._states.close()
        if self.connected:
            self.state = ConnectionState.CLOSING
            self._pump()
            self._leave_if_done()
        elif self.welcome is None or not self._pending:
            self._end(None)

    def tick(self, now: float) -> float:
        """Carry out what time brings; returns when to call again if nothing happens.

        What makes something due earlier takes `_quiet_until` back: a frame that is no notification,
        a loss, a close. Notifications, which come by the thousand, only put off what is due.
        """
        self._now = now
        if now < self._quiet_until:
            return self._quiet_until
        self._heartbeat.look(now)
        if self._deadline is not None and now >= self._deadline:
            self._end(None)
        if self.state is ConnectionState.LOST and now >= self._retry_at:
            self._port.connect()
            self.start(now)
        elif self.state is ConnectionState.GREETING and self.welcome and now >= self._give_up_at:
            self._lose(errors.ConnectionLost(f"no broker answered within {GREET_SECONDS:g} s"))
        elif self.connected:
            self._beat(now)
            if self._resume_at is not None and now >= self._resume_at:
                self._resume()
            self._states.tick(now)
        self._quiet_until = self._heartbeat.until(self._next(now))
        return self._quiet_until

    def _next(self, now: float) -> float:
        """Return when something is due."""
        if self.connected:
            due = min(self._heartbeat.due, self._states.due)
            if self._resume_at is not None:
                due = min(due, self._resume_at)
        elif self.state is ConnectionState.LOST:
            due = self._retry_at
        elif self.state is ConnectionState.GREETING and self.welcome:
            due = self._give_up_at
        else:
            due = now + IDLE
        return due if self._deadline is None or self.over else min(due, self._deadline)

    @property
    def _give_up_at(self) -> float:
        return max(self._greet_by, self._heartbeat.judge_from)

    def _beat(self, now: float) -> None:
        """Ping if it has been silent, judge the broker's silence."""
        heartbeat = self._heartbeat
        if now >= heartbeat.lost_at:
            self._lose(errors.ConnectionLost(f"nothing was heard from the broker for {now - heartbeat.heard:.1f} s"))
        elif heartbeat.ping(now):
            self._send(_PING)

    def lost(self, reason: str) -> None:
        """Take note that the connection can't go on."""
        self._lose(errors.ConnectionLost(reason))

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """End for good, over a fault of this side, and the error behind it if there is one."""
        error = errors.ConnectionLost(reason)
        error.__cause__ = cause
        self._end(error)

    def _lose(self, error: errors.ZchatError) -> None:
        """Give the connection up, and try another after a wait; the first one is not tried again."""
        if self.state is ConnectionState.ENDED or self.state is ConnectionState.LOST:
            return
        self._quiet_until = 0.0
        if self.welcome is None:
            self._end(error)
            return
        if self._bye:
            self._end(None)
            return
        if self.connected and self._now - self._opened_at >= STEADY:
            self._retry_most = RETRY_FIRST
        was_open = self.connected
        self._retry_most = min(2 * self._retry_most, RETRY_MAX)
        self._retry_at = self._now + self._random.uniform(RETRY_FIRST, self._retry_most)
        self.state = ConnectionState.LOST
        self._resume_at = None
        self._requests.put_back()
        self._rooms.lost()
        self._port.lost(error, was_open)
        if self._closing and not self._pending:
            self._end(None)

    @property
    def _pending(self) -> bool:
        """Tell whether something that was accepted has no answer yet."""
        return self._requests.pending or self._queues.pending or self._states.pending

    def _end(self, error: errors.ZchatError | None) -> None:
        """End: everything that waits fails, then the port is told."""
        if self.state is ConnectionState.ENDED:
            return
        self.state = ConnectionState.ENDED
        self._why = error
        why = error or errors.ConnectionLost("the client was closed before this was answered")
        self._requests.fail(why)
        self._queues.fail(why)
        self._port.ended(error)

    def _too_late(self) -> errors.ConnectionLost:
        because = "" if self._why is None else f": {self._why}"
        return errors.ConnectionLost(f"the connection has ended{because}")

    # -- calls -----------------------------------------------------------------------------------

    def ask(self, word: str, fields: tuple[Any, ...], call: Call, done: Done | None = None) -> None:
        """Send a request as soon as there is a place for one; `done` turns its answer into the call's result."""
        if self.state is ConnectionState.ENDED or self._bye:
            call.fail(self._too_late())
            return
        self._requests.add(Request(word, fields, call, done))
        self._pump()

    def _ask(self, word: str, fields: tuple[Any, ...], special: Special) -> None:
        self._requests.add(Request(word, fields, None, special=special))
        self._pump()

    def join(self, name: str, position: Position | None, create: bool, call: Call, feed: Feed) -> None:
        """Join a room; the call's result is the `Membership`."""
        fields, done = self._rooms.join(name, position, create, feed)
        self.ask("join", fields, call, done)

    def leave(self, membership: Membership, call: Call) -> None:
        """Leave a room; what is still under way from it is dropped."""
        joined = self._rooms.rooms.get(membership.name) is membership
        if joined and (self._rooms.leave(membership) or self.over):
            self.ask("leave", (membership.name, membership.join), call)
        else:  # with the connection the broker's side of it has gone already
            call.resolve(None)

    def offer(self, name: str, batch: Batch) -> None:
        """Put a batch in its room's queue: its messages are sent as blocks, in the order of the offers."""
        if self.state is ConnectionState.ENDED or self._bye:
            batch.fail(self._too_late())
            return
        if batch.failed:
            return
        room = self._rooms.rooms.get(name)
        if room is not None:
            room.typing = False  # a message ends it, here and at the broker
        shut = room is not None and not room.live
        self._queues.offer(name, batch, shut=shut)
        self._pump()

    def typing(self, membership: Membership, active: bool, now: float) -> None:
        """Tell a room's other members that the user types, or has ended; at most so often, and never kept."""
        self._states.typing(membership, active, now)

    def mark(self, membership: Membership, seq: int) -> None:
        """Have the broker store how far a room is read; it is tried until it is stored."""
        if self.state is not ConnectionState.ENDED and not self._bye:
            self._states.mark(membership, seq)

    def credit(self, membership: Membership) -> None:
        """Return credit for the notifications that the application has taken."""
        self._rooms.credit(membership)

    # -- what goes out ---------------------------------------------------------------------------

    def _send(self, frame: bytes) -> None:
        self._heartbeat.said = self._now
        self._port.send(frame)

    def _has_place(self) -> bool:
        assert self.welcome is not None
        return len(self._requests) < self.welcome.max_requests

    def _pump(self) -> None:
        """Send what there is a place for: rooms to join again first, then questions, then blocks, queue by queue."""
        if not self.connected or self.welcome is None:
            return
        self._rooms.pump(self._has_place, self.welcome.window)
        self._requests.pump(self.welcome.max_requests)
        self._queues.pump()

    def _transmit(self, queue: SendQueue, block: OutgoingBlock) -> None:
        number = self._requests.enter(Request("send", (), None, special=partial(self._settled, queue, block)))
        self._send(encode_command("send", number, queue.name, block.number, block.pack()))

    def _resume(self) -> None:
        """Send again what the broker had put off."""
        self._resume_at = None
        self._queues.resume()
        self._pump()

    def _leave_if_done(self) -> None:
        if self.state is ConnectionState.CLOSING and not self._bye and not self._pending:
            self._bye = True
            self._requests.issue(Request("bye", (), None, special=lambda *_: self._end(None)))

    # -- what comes in ---------------------------------------------------------------------------

    def receive(self, frame: bytes, now: float) -> None:
        """Take one frame of the broker's; what breaks the protocol ends the client with that error."""
        self._now = now
        if self.state is ConnectionState.ENDED or self.state is ConnectionState.LOST:
            return
        self._heartbeat.heard = now
        try:
            notice = decode_notice(frame)
            if isinstance(notice, (Push, GapNotice)):
                self._rooms.notified(notice)
                return
            self._quiet_until = 0.0
            if isinstance(notice, Ok):
                self._answered(notice)
            elif isinstance(notice, Error):
                self._refused(notice)
            elif isinstance(notice, End):
                self._dismissed(errors.refusal(notice.code, notice.text, notice.retryable))
            elif isinstance(notice, State):
                self._states.receive(notice, now)
            elif isinstance(notice, Pong):
                self._heartbeat.ponged(now, notice.next_ms / 1000)
        except errors.ProtocolError as error:
            self._end(error)
        except errors.BadName as error:
            self._end(errors.ProtocolError(f"the broker sent a name that is none: {error}"))

    def _answered(self, answer: Ok) -> None:
        request = self._requests.answered(answer.request)
        if request is None:
            return
        try:
            reply = decode_reply(request.word, answer.result)
            if request.special is not None:
                request.special(reply, None)
                result = None
            else:
                result = request.done(reply) if request.done is not None else reply
        except errors.ProtocolError as error:
            if request.call is not None:
                request.call.fail(error)
            raise
        if request.call is not None and not request.call.resolve(result) and isinstance(result, Membership):
            self.leave(result, Nobody())  # nobody waits for it any more
        self._pump()
        self._leave_if_done()

    def _refused(self, answer: Error) -> None:
        error = errors.refusal(answer.code, answer.text, answer.retryable, answer.detail)
        if answer.request is None or isinstance(error, errors.NoSession):
            self._dismissed(error)
            return
        request = self._requests.answered(answer.request)
        if request is None:
            return
        if request.special is not None:
            request.special(None, error)
        elif request.call is not None:
            request.call.fail(error)
        self._pump()
        self._leave_if_done()

    def _dismissed(self, error: errors.Refused) -> None:
        """Take the end of the session: a lost connection, or a refusal for good."""
        if error.retryable or isinstance(error, errors.NoSession):
            lost = errors.ConnectionLost(f"the broker ended the session: {error}")
            lost.__cause__ = error
            self._lose(lost)
        else:
            self._end(error)

    def _welcomed(self, welcome: Welcome | None, error: errors.Refused | None) -> None:
        if error is not None and error.retryable and self.welcome is not None:
            self._lose(error)
        elif error is not None:
            self._end(error)
        elif welcome is not None:
            self.welcome = welcome
            self.state = ConnectionState.CLOSING if self._closing else ConnectionState.OPEN
            self._opened_at = self._now
            self._heartbeat.opened(self._now, welcome.ping_ms / 1000, welcome.lost_ms / 1000)
            self._queues.opened()
            self._rooms.opened()
            self._port.opened(welcome)

    def _settled(
        self, queue: SendQueue, block: OutgoingBlock, stored: Stored | None, error: errors.Refused | None
    ) -> None:
        """Take the answer to a block: blocks are stored in their order, a refusal may overtake them."""
        if stored is not None:
            if queue.overtakes(block):
                raise errors.ProtocolError(f"{queue.name}: block {block.number} was stored before an earlier one")
            last = stored.seq + block.count - 1
            self._rooms.own(queue.name, stored.epoch, stored.seq, last)  # first: the sender's position is after it
            queue.stored(block, stored.seq, stored.timestamp)
        elif error is not None:
            queue.refused(block, error)
        if queue.stalled and self._resume_at is None:
            self._resume_at = self._now + RETRY_MAX
        self._queues.line_up(queue)


_PING = encode_command("ping")
