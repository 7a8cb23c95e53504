"""The gateway: who is connected, which rooms are read, and what is remembered."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from zchat.errors import ConnectionLost, DeadlineExceeded, OutcomeUnknown, ZchatError
from zchat.events import Disconnected, Event, Gap, Reconnected, Removed
from zchat.messages import Batch
from zchat.names import DIRECT, MAX_CHARACTERS, fold
from zchat.web.core import frames, limits
from zchat.web.core.channel import Channel, Context
from zchat.web.core.counters import Counters
from zchat.web.core.letting_in import Caller, LettingIn
from zchat.web.core.outcomes import Holder, Remembered, Submission
from zchat.web.core.port import Client, Promise, World
from zchat.web.core.refusals import Close, Turned
from zchat.web.core.timers import Outcome, Timers
from zchat.web.core.users import Place, User

NO_SESSION = "the gateway has no session with the broker now, and tries to have one"
"""What pages are told that ask for something meanwhile."""


class Connected(Protocol):
    """One that has connected: a page's session, or what follows a room and sends nothing."""

    caller: Caller

    def tell_if_nameless(self, frame: bytes) -> None:
        """Write a frame, unless a user's own session with the broker tells it."""

    def say_bye(self, text: str) -> None:
        """Close the connection for a reason of the gateway's own."""


class Opening:
    """A room that the gateway is about to read, and those who wait for it. `promise`: `World.promise`."""

    def __init__(self, promise: Callable[[], Promise]) -> None:
        self.outcome = Outcome(promise)
        self.removed = False
        """True if the gateway was put out of the room since it was joined."""


class Gateway:
    """All browsers of one gateway. `reader`: its own session with the broker, which is connected.

    `read` is its task; `turn` is to be called often.
    """

    def __init__(
        self, world: World, reader: Client, letting_in: LettingIn, max_connections: int = limits.MAX_CONNECTIONS
    ) -> None:
        self.context = Context(world, Timers(), Counters())
        self.reader = reader
        self.letting_in = letting_in
        self.connected: dict[Connected, None] = {}
        """All that have a connection."""
        self.users: dict[str, User] = {}
        """By their folded names."""
        self.channels: dict[str, Channel] = {}
        """The rooms that the gateway reads for everybody, by their folded names."""
        self.pending_bytes = 0
        """Bytes of messages that wait for the broker."""
        self.up = True
        """False while the gateway's session with the broker has no connection, or there is no such session."""
        self.reading = True
        """False while there is no such session: it has ended for good, and another one has yet to take its place."""
        self.closing = False
        self._max_connections = max_connections
        self._addresses: Counter[str] = Counter()
        self._sessions: dict[str, Remembered] = {}  # those that have a connection
        self._lost: OrderedDict[str, Remembered] = OrderedDict()  # those that had one, the oldest first
        self._read_by_users: set[str] = set()
        self._openings: dict[str, Opening] = {}  # of the rooms that it will read, by their folded names

    # -- connections -------------------------------------------------------------------------------

    def full_for(self, caller: Caller) -> bool:
        """Return whether there is no place for another connection of this caller."""
        if self.closing or len(self.connected) >= self._max_connections:
            return True
        return caller.counted and self._addresses[caller.address] >= limits.CONNECTIONS_AN_ADDRESS

    def enter(self, session: Connected) -> None:
        """Take in one that has connected."""
        self.connected[session] = None
        self._addresses[session.caller.address] += 1

    def gone(self, session: Connected) -> None:
        """Let one go that had connected."""
        self.connected.pop(session, None)
        self._addresses[session.caller.address] -= 1
        if self._addresses[session.caller.address] <= 0:
            del self._addresses[session.caller.address]

    def turn(self) -> None:
        """Call the timers that are due. One that fails is logged; those after it have the next turn."""
        world = self.context.world
        try:
            self.context.timers.turn(world.now())
        except Exception as error:
            world.failed("a timer", error)

    def close(self) -> None:
        """Say bye to all pages, and end the users' sessions."""
        self.closing = True
        for session in tuple(self.connected):
            session.say_bye("the gateway is shutting down")
        for user in tuple(self.users.values()):
            user.close()

    # -- what is remembered ------------------------------------------------------------------------

    def session(self, name: str | None, user: str | None, holder: Holder) -> tuple[Remembered, bool]:
        """Return what is remembered of a page's session, or a new one, and whether it was remembered."""
        found = None if name is None else (self._sessions.get(name) or self._lost.get(name))
        valid = found is not None and (found.holder is not None or found.until > self.context.world.now())
        resumed = found is not None and valid and found.user == user
        if found is None or not resumed:
            fresh = self.context.world.chance()
            found = Remembered(fresh, user)
        elif found.holder is not None:
            found.holder.end(Close.SUPERSEDED, "another connection has the session now")
        self._lost.pop(found.name, None)
        self._sessions[found.name] = found
        found.holder = holder
        return found, resumed

    def release(self, remembered: Remembered) -> None:
        """Keep what is remembered of a session that has no connection any more, for some time."""
        now = self.context.world.now()
        remembered.holder = None
        remembered.until = now + limits.SESSION_SECONDS
        self._lost[remembered.name] = self._sessions.pop(remembered.name)
        while self._lost:
            oldest = next(iter(self._lost.values()))
            if oldest.until > now and len(self._lost) <= limits.MAX_LOST_SESSIONS:
                break
            self.context.counters.forgotten += oldest.until > now
            del self._lost[oldest.name]

    def submit(self, remembered: Remembered, key: str, submission: Submission, place: Place, body: Any) -> None:
        """Send a message, once, whatever becomes of the connection that it came over.

        Raises:
            Turned: too much waits for the broker.
        """
        if self.pending_bytes + submission.size > limits.MAX_PENDING_BYTES or not remembered.add(key, submission):
            raise Turned("busy", "too many messages wait for the broker", after=1000)
        self.pending_bytes += submission.size
        place.unsent += 1
        self.context.world.spawn(self._store(remembered, key, submission, place, body))

    async def _store(self, remembered: Remembered, key: str, submission: Submission, place: Place, body: Any) -> None:
        try:
            message = await place.room.send(body, timeout=limits.SESSION_SECONDS)
        except ZchatError as error:
            if not isinstance(error, OutcomeUnknown):
                remembered.drop(key, submission)
            submission.settle(error)
        else:
            self.context.counters.messages_in += 1
            submission.settle({"seq": message.seq, "time": message.timestamp})
        finally:
            self.pending_bytes -= submission.size
            place.user.stored(place)
            if submission.answer is None:
                submission.settle(DeadlineExceeded("the gateway has ended"))

    # -- users and rooms -----------------------------------------------------------------------------

    def user(self, name: str) -> User:
        """Return a user, with a session of their own with the broker.

        Raises:
            Turned: the gateway has none itself; pages come again until it has.
        """
        if not self.reading:
            raise Turned("connection_lost", NO_SESSION)
        key = fold(name)
        user = self.users.get(key)
        if user is None:
            user = self.users[key] = User(self.context, name, partial(self._user_over, key), lambda: self.up)
            user.begin()  # last: it may be over at once
        return user

    def _user_over(self, key: str, user: User) -> None:
        if self.users.get(key) is user:
            del self.users[key]

    def is_public(self, room: str) -> bool:
        """Return whether a room may be watched without a name; what is no name is none."""
        return len(room) <= MAX_CHARACTERS and fold(room) in self.letting_in.public

    def is_own(self, key: str) -> bool:
        """Return whether each user reads a room: a direct one, or one that the gateway may not read."""
        return key.startswith(DIRECT) or key in self._read_by_users

    def read_by_users(self, key: str) -> None:
        """Record that the broker doesn't let the gateway read a room."""
        if len(self._read_by_users) >= limits.MAX_CONNECTIONS:
            self._read_by_users.clear()  # it is asked again
        self._read_by_users.add(key)

    async def channel(self, name: str) -> Channel:
        """Return a room that the gateway reads, unseen, for all who follow it: whoever follows it does before it waits.

        The broker is asked once for all who wait for a room, and only if it isn't read: so nothing takes the place of
        a channel but what has told those who follow it.

        Raises:
            ZchatError: the broker's reasons.
        """
        if not self.reading:
            raise ConnectionLost(NO_SESSION)
        key = fold(name)
        while (channel := self.channels.get(key)) is None:
            opening = self._openings.get(key)
            if opening is None:
                opening = self._openings[key] = Opening(self.context.world.promise)
                self.context.world.spawn(self._open(key, name, opening))
            await opening.outcome.wait()
        return channel

    async def _open(self, key: str, name: str, opening: Opening) -> None:
        """Begin to read a room, whoever asked for it is still there or not."""
        error: Exception | None = ConnectionLost("the gateway has ended")
        try:
            while True:
                opening.removed = False
                reader = self.reader
                room = await reader.join(name, create=False, echo=False, reads=True, present=False)
                if not opening.removed:
                    break  # else the broker is asked whether it may be joined again
            channel = self.channels[key] = Channel(self.context, room, reader)
            self.left(channel)
            error = None
        except Exception as raised:
            error = raised
            if not isinstance(raised, ZchatError):
                raise
        finally:
            del self._openings[key]
            opening.outcome.settle(error)

    def left(self, channel: Channel) -> None:
        """Stop reading a room that nobody follows, some time later."""
        if not channel.members and self.channels.get(fold(channel.name)) is channel:
            if channel.idle is not None:
                channel.idle.cancel()
            when = self.context.world.now() + limits.IDLE_CHANNEL_SECONDS
            channel.idle = self.context.timers.at(when, partial(self._drop_if_idle, channel))

    def _drop_if_idle(self, channel: Channel) -> None:
        key = fold(channel.name)
        if not channel.members and self.channels.get(key) is channel:
            del self.channels[key]
            self.context.world.spawn(channel.room.leave(timeout=limits.ASK_SECONDS))  # a later task may join it again

    # -- what the gateway reads ----------------------------------------------------------------------

    async def read(self) -> None:
        """Take what comes in all rooms, until the gateway's session with the broker ends.

        Raises:
            ZchatError: why it has ended.
        """
        async for event in self.reader.events(batches=True):
            self._take(event)

    def lose_reader(self) -> None:
        """Take it that the gateway's session with the broker has ended for good: pages are notified, and wait."""
        self.reading = False
        self._link(up=False)

    def read_by(self, reader: Client) -> None:
        """Go on with another session, which is connected and has yet to join the rooms that pages follow.

        The pages come again, and go on after the positions that they have reached.
        """
        self.reader = reader
        self.reading = True
        self._link(up=True)
        self._read_by_users.clear()
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            for member in tuple(channel.members):
                member.removed(None)

    def _link(self, *, up: bool) -> None:
        """Tell all pages whether what is said comes to them, as far as it is the gateway that reads it."""
        self.up = up
        frame = frames.link(up)
        for session in tuple(self.connected):
            session.tell_if_nameless(frame)
        for user in tuple(self.users.values()):
            user.tell_link()

    def _take(self, event: Event | Batch) -> None:
        match event:
            case Disconnected() | Reconnected():
                self._link(up=isinstance(event, Reconnected))
            case _:
                key = fold(event.room)
                channel = self.channels.get(key)
                if channel is None:
                    if isinstance(event, Removed) and key in self._openings:
                        self._openings[key].removed = True
                    return
                if isinstance(event, Batch):
                    channel.batch(event)
                elif isinstance(event, Gap):
                    channel.gap(event, channel.room.position)
                elif isinstance(event, frames.EVENTS):
                    channel.event(event)
                elif isinstance(event, Removed):
                    del self.channels[key]
                    for member in tuple(channel.members):  # users may go on: by their own sessions, if need be
                        member.removed(event if member.presence is None else None)
