"""The client without I/O: calls, frames and the time come in, frames go out through a port.

It knows no socket, thread, clock or file. One thread at a time may call it; the receive thread
(`zchat.receiver`) owns it. States:

    NEW --start--> GREETING --welcome--> OPEN --close--> CLOSING --answer to bye--> ENDED
    any of them --refusal, silence, broken protocol--> ENDED

Calls end through their `resolve` or `fail`, once. Messages wait in lanes, one a room, from which
blocks are made when there is a place for one in flight: under load blocks grow, at rest a
message goes out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, Protocol

from zchat import errors
from zchat.lane import Batch, Block, Lane
from zchat.messages import Position
from zchat.names import fold
from zchat.wire import (
    END,
    ERROR,
    GAP,
    OK,
    PONG,
    PUSH,
    VERSION,
    decode_notice,
    join_bodies,
    pack,
)

STALL = 1.0
"""Seconds that a tick may be late before it means that this process stood still: silence doesn't count then."""


class State(Enum):
    """Say where the connection stands; the module's table has the transitions."""

    NEW = "new"
    GREETING = "greeting"
    OPEN = "open"
    CLOSING = "closing"
    ENDED = "ended"


class Welcome(NamedTuple):
    """Hold what the broker's answer to the greeting agreed on; sizes in bytes, times in milliseconds."""

    version: int
    user: str
    mark: int
    max_message: int
    max_block_bytes: int
    max_block_messages: int
    max_requests: int
    ping_ms: int
    lost_ms: int
    expire_ms: int


class Call(Protocol):
    """Wait for an answer, somewhere outside the core."""

    withdrawn: bool

    def resolve(self, result: Any) -> bool:
        """Take the answer; False if nobody waits for it any more."""

    def fail(self, error: Exception) -> None:
        """Take the reason why there is none."""


class Feed(Protocol):
    """Take what a room's membership is sent."""

    def begin(self, membership: Membership) -> None:
        """Take note that the room is joined; comes before everything else."""

    def push(self, notice: list[Any]) -> None:
        """Take a notification, as `zchat.wire.decode_notice` returned it."""

    def own(self, epoch: int, first: int, last: int) -> None:
        """Take note that own messages are stored there."""


class Port(Protocol):
    """What the core needs from outside."""

    def send(self, frame: bytes) -> None:
        """Send one frame to the broker."""

    def opened(self, welcome: Welcome) -> None:
        """Take note that the broker has answered the greeting."""

    def ended(self, error: errors.ZchatError | None) -> None:
        """Take note that the connection has ended: as asked (None), or why."""


class Membership:
    """Keep one joined room: how far it has been sent, in which join."""

    __slots__ = ("epoch", "feed", "join", "left", "mark", "name", "taken", "upto")

    def __init__(self, name: str, join: int, position: Position, mark: int, feed: Feed) -> None:
        self.name = name
        self.join = join
        self.epoch = position.epoch
        self.upto = position.seq
        self.mark = mark
        self.taken = 0
        self.feed = feed
        self.left = False


class ClientCore:
    """Speak the client's side of the protocol.

    `producer` and `token` are 16 random bytes each, the token secret; `mark` is how many
    notifications a room may have unanswered, 0 for the broker's own.
    """

    def __init__(self, port: Port, user: str, producer: bytes, token: bytes, mark: int) -> None:
        self._port = port
        self._user = user
        self._producer = producer
        self._token = token
        self._mark = mark
        self.state = State.NEW
        self.welcome: Welcome | None = None
        self._requests: dict[int, tuple[Call | None, Callable[[list[Any]], Any] | None, Callable[..., None] | None]]
        self._requests = {}
        self._request = 0
        self._joins = 0
        self._waiting: deque[tuple[str, tuple[Any, ...], Call, Callable[[list[Any]], Any] | None]] = deque()
        self._rooms: dict[str, Membership] = {}
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._now = 0.0
        self._heard = 0.0
        self._said = 0.0
        self._ping_at = 0.0
        self._judge_from = 0.0
        self._due = 0.0
        self._deadline: float | None = None
        self._bye = False
        self._why: errors.ZchatError | None = None

    # -- life ------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Tell whether the connection has ended."""
        return self.state is State.ENDED

    def start(self, now: float) -> None:
        """Greet the broker."""
        self._now = self._heard = self._due = now
        self.state = State.GREETING
        self._issue(
            "hello",
            (VERSION, VERSION, self._user, self._producer, self._token, self._mark),
            None,
            None,
            self._welcomed,
        )

    def close(self, deadline: float) -> None:
        """Send and answer what was accepted, until `deadline`, then say goodbye."""
        if self.state is State.GREETING:
            self._end(None)
        elif self.state is State.OPEN:
            self.state = State.CLOSING
            self._deadline = deadline
            self._pump()
            self._leave_if_done()

    def tick(self, now: float) -> float:
        """Carry out what time brings; returns when to call again if nothing happens."""
        if now > self._due + STALL:
            self._judge_from = now + STALL
        self._now = now
        if self._deadline is not None and now >= self._deadline:
            self._end(None)
        self._due = now + STALL if self.welcome is None or self.state is State.ENDED else self._beat(now, self.welcome)
        return self._due

    def _beat(self, now: float, welcome: Welcome) -> float:
        """Ping if it has been silent, judge the broker's silence; returns when to look again."""
        lost_at = max(self._heard + welcome.lost_ms / 1000, self._judge_from)
        if now >= lost_at:
            silent = f"nothing was heard from the broker for {now - self._heard:.1f} s"
            self._end(errors.ConnectionLost(f"{silent}; is it still running? connect again"))
            return now + STALL
        every = welcome.ping_ms / 1000
        if now >= self._ping_at:
            silent_since = min(self._heard, self._said)
            if now - silent_since < every / 2:
                self._ping_at = silent_since + every
            else:
                self._send(_PING)
                self._ping_at = now + every
        due = min(self._ping_at, lost_at)
        return due if self._deadline is None else min(due, self._deadline)

    def lost(self, reason: str, cause: BaseException | None = None) -> None:
        """Take note that the connection can't go on, and of the error behind it if there is one."""
        error = errors.ConnectionLost(reason)
        error.__cause__ = cause
        self._end(error)

    def _end(self, error: errors.ZchatError | None) -> None:
        """End: everything that waits fails, then the port is told."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._why = error
        why = error or errors.ConnectionLost("the client was closed before this was answered")
        for call, _, refused in self._requests.values():
            if call is not None:
                call.fail(why)
            elif refused is not None:
                refused(None)
        for _, _, call, _ in self._waiting:
            call.fail(why)
        for lane in self._lanes.values():
            for block in lane.flight:
                for batch, bodies in block.parts:
                    batch.fail(_unknown(len(bodies), lane.name, why))
            for batch, _ in lane.again:
                batch.fail(why)
            for batch in lane.batches:
                batch.fail(why)
            lane.flight.clear()
            lane.batches.clear()
            lane.again.clear()
        self._requests.clear()
        self._waiting.clear()
        self._port.ended(error)

    def _too_late(self) -> errors.ConnectionLost:
        because = "" if self._why is None else f": {self._why}"
        return errors.ConnectionLost(f"the connection has ended{because}")

    # -- calls -----------------------------------------------------------------------------------

    def ask(
        self, word: str, fields: tuple[Any, ...], call: Call, done: Callable[[list[Any]], Any] | None = None
    ) -> None:
        """Send a request as soon as there is a place for one; `done` turns its answer into the call's result."""
        if self.state is State.ENDED or self._bye:
            call.fail(self._too_late())
            return
        self._waiting.append((word, fields, call, done))
        self._pump()

    def join(self, name: str, position: Position | None, create: bool, call: Call, feed: Feed) -> None:
        """Join a room; the call's result is the `Membership`."""
        self._joins += 1
        number = self._joins
        fields = (name, number, None if position is None else tuple(position), 0, create)
        self.ask("join", fields, call, lambda result: self._joined(number, feed, result))

    def leave(self, membership: Membership, call: Call) -> None:
        """Leave a room; what is still under way from it is dropped."""
        membership.left = True
        self._rooms.pop(membership.name, None)
        self.ask("leave", (membership.name, membership.join), call)

    def offer(self, name: str, batch: Batch) -> None:
        """Put a batch in its room's lane: its messages are sent as blocks, in the order of the offers."""
        if self.state is State.ENDED or self._bye:
            batch.fail(self._too_late())
            return
        if batch.failed:
            return
        lane = self._lanes.get(fold(name))
        if lane is None:
            lane = self._lanes[fold(name)] = Lane(name)
        lane.batches.append(batch)
        self._line_up(lane)
        self._pump()

    def credit(self, membership: Membership, taken: int) -> None:
        """Tell the broker how many notifications the application has taken since the join."""
        if self.state in (State.OPEN, State.CLOSING) and not membership.left and taken > membership.taken:
            membership.taken = taken
            self._send(pack(("credit", membership.name, membership.join, taken)))

    # -- what goes out ---------------------------------------------------------------------------

    def _send(self, frame: bytes) -> None:
        self._said = self._now
        self._port.send(frame)

    def _issue(
        self,
        word: str,
        fields: tuple[Any, ...],
        call: Call | None,
        done: Callable[[list[Any]], Any] | None,
        special: Callable[..., None] | None = None,
    ) -> None:
        self._request += 1
        self._requests[self._request] = (call, done, special)
        self._send(pack((word, self._request, *fields)))

    def _pump(self) -> None:
        """Send what there is a place for: questions first, then blocks, lane by lane."""
        if self.state not in (State.OPEN, State.CLOSING) or self.welcome is None:
            return
        places = self.welcome.max_requests
        while self._waiting and len(self._requests) < places:
            word, fields, call, done = self._waiting.popleft()
            if not call.withdrawn:
                self._issue(word, fields, call, done)
        for _ in range(len(self._ready)):
            if len(self._requests) >= places:
                break
            lane = self._ready.popleft()
            lane.ready = False
            if self._fill(lane, places):
                self._line_up(lane)

    def _line_up(self, lane: Lane) -> None:
        if lane.waiting and not lane.ready:
            lane.ready = True
            self._ready.append(lane)

    def _fill(self, lane: Lane, places: int) -> bool:
        """Send a lane's blocks while there are places; True if something is left to send at once."""
        while len(self._requests) < places:
            if lane.full:
                return False  # an answer brings it here again
            parts = lane.take()
            if not parts:
                return False
            block = Block(lane.number, parts)
            lane.number += 1
            lane.flight.append(block)
            bodies = parts[0][1] if len(parts) == 1 else [body for _, part in parts for body in part]
            self._issue("send", (lane.name, block.number, join_bodies(bodies)), None, None, _Answer(self, lane, block))
        return lane.waiting

    def _leave_if_done(self) -> None:
        if self.state is not State.CLOSING or self._bye or self._requests or self._waiting:
            return
        if any(lane.waiting for lane in self._lanes.values()):
            return
        self._bye = True
        self._issue("bye", (), None, None, lambda *_: self._end(None))

    # -- what comes in ---------------------------------------------------------------------------

    def receive(self, frame: bytes, now: float) -> None:
        """Take one frame of the broker's; what breaks the protocol ends the connection with that error."""
        self._now = self._heard = now
        if self.state is State.ENDED:
            return
        try:
            notice = decode_notice(frame)
            kind = notice[0]
            if kind in (PUSH, GAP):
                self._notified(notice)
            elif kind == OK:
                self._answered(notice)
            elif kind == ERROR:
                self._refused(notice)
            elif kind == END:
                self._end(_farewell(errors.refusal(*notice[1:4])))
            elif kind == PONG:
                self._ping_at = now + notice[1] / 1000  # silent clients ping together: cheaper for the broker
        except errors.ProtocolError as error:
            self._end(error)
        except (ValueError, TypeError, IndexError) as error:
            self._end(errors.ProtocolError(f"the broker sent a malformed answer: {error}"))

    def _notified(self, notice: list[Any]) -> None:
        room = self._rooms.get(notice[1])
        if room is None:
            return  # left meanwhile
        if notice[3] != room.upto:
            raise errors.ProtocolError(f"{room.name}: a notification after {notice[3]}, not after {room.upto}")
        room.epoch, room.upto = notice[2], notice[4]
        room.feed.push(notice)

    def _answered(self, notice: list[Any]) -> None:
        call, done, special = self._requests.pop(notice[1], (None, None, None))
        if special is not None:
            special(notice[2:])
        elif call is not None:
            try:
                result = done(notice[2:]) if done is not None else None
            except (ValueError, TypeError, IndexError) as error:
                fault = errors.ProtocolError(f"the broker sent a malformed answer: {error}")
                call.fail(fault)
                raise fault from error
            if not call.resolve(result) and isinstance(result, Membership):
                self.leave(result, _Nobody())
        self._pump()
        self._leave_if_done()

    def _refused(self, notice: list[Any]) -> None:
        error = errors.refusal(*notice[2:5])
        if notice[1] is None or isinstance(error, errors.NoSession):
            self._end(_farewell(error))
            return
        call, _, special = self._requests.pop(notice[1], (None, None, None))
        if special is not None:
            special(None, error)
        elif call is not None:
            call.fail(error)
        self._pump()
        self._leave_if_done()

    def _welcomed(self, result: list[Any] | None, error: errors.Refused | None = None) -> None:
        if error is not None:
            self._end(error)
        elif result is not None:
            self.welcome = Welcome(*result[: len(Welcome._fields)])
            self.state = State.OPEN
            self._said = self._now
            self._ping_at = self._now + self.welcome.ping_ms / 1000
            self._port.opened(self.welcome)

    def _joined(self, number: int, feed: Feed, result: list[Any]) -> Membership:
        name, epoch, seq, _first, _last, mark = result[:6]
        if type(name) is not str:
            raise TypeError("the name of a room is text")
        epoch, seq, mark = map(int, (epoch, seq, mark))
        membership = Membership(name, number, Position(epoch, seq), mark, feed)
        self._rooms[name] = membership
        feed.begin(membership)
        return membership

    def _settled(self, lane: Lane, block: Block, result: list[Any] | None, error: errors.Refused | None) -> None:
        """Take the answer to a block: blocks are stored in their order, a refusal may overtake them."""
        if result is not None and lane.flight[0] is not block:
            raise errors.ProtocolError(f"{lane.name}: block {block.number} was stored before an earlier one")
        if result is not None:
            seq, timestamp, epoch = map(int, result[:3])  # what it raises leaves the block in flight, to fail there
            lane.flight.remove(block)
            if (room := self._rooms.get(lane.name)) is not None:  # first: who sent finds his position behind it
                room.feed.own(epoch, seq, seq + sum(len(bodies) for _, bodies in block.parts) - 1)
            for batch, bodies in block.parts:
                batch.stored(len(bodies), seq, timestamp)
                seq += len(bodies)
            self._line_up(lane)
            return
        lane.flight.remove(block)
        if isinstance(error, errors.Forgotten) and block.number > 1:
            lane.number = 1  # forgotten in a long silence; nothing of the block was stored
            lane.again.extend(block.parts)
        elif isinstance(error, errors.OutOfOrder) and lane.number <= block.number:
            lane.again.extend(block.parts)  # a block before it was refused: it goes out again under its number
        else:
            assert error is not None
            for batch, _ in block.parts:
                batch.fail(error)
            lane.number = min(lane.number, block.number)  # a refused block uses up no number
        self._line_up(lane)


class _Nobody:
    """Stand for a caller that has gone."""

    withdrawn = False

    def resolve(self, result: Any) -> bool:
        """Take the answer."""
        return True

    def fail(self, error: Exception) -> None:
        """Take the reason why there is none."""


class _Answer:
    """Take the answer to one block."""

    __slots__ = ("_block", "_core", "_lane")

    def __init__(self, core: ClientCore, lane: Lane, block: Block) -> None:
        self._core, self._lane, self._block = core, lane, block

    def __call__(self, result: list[Any] | None, error: errors.Refused | None = None) -> None:
        if result is not None or error is not None:
            self._core._settled(self._lane, self._block, result, error)


_PING: bytes = pack(("ping",))


def _farewell(error: errors.Refused) -> errors.ZchatError:
    """Return what the end of a session means to callers: a lost connection, or a refusal for good."""
    if not error.retryable and not isinstance(error, errors.NoSession):
        return error
    lost = errors.ConnectionLost(f"the broker ended the session: {error}; connect again")
    lost.__cause__ = error
    return lost


def _unknown(count: int, room: str, why: errors.ZchatError) -> errors.OutcomeUnknown:
    messages, way = ("message", "was on its way") if count == 1 else ("messages", "were on their way")
    error = errors.OutcomeUnknown(f"{count} {messages} to {room} {way} and may or may not be stored: {why}")
    error.__cause__ = why
    return error
