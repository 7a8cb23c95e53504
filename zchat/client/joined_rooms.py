"""The rooms that a client is in: joined by the application, or because somebody wrote in a direct room."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from zchat.client.event_queue import Consumer
from zchat.client.inbox import Inbox
from zchat.client.room import Room
from zchat.client.waiting import Answer, Deadline, acquire
from zchat.errors import DeadlineExceeded, UsageError
from zchat.messages import Position
from zchat.names import fold
from zchat.protocol.membership import Membership
from zchat.transport.receiver import Receiver

if TYPE_CHECKING:
    from zchat.client.client import Client

log = logging.getLogger("zchat.client")

MAX_INVITATIONS = 1_000
"""Invitations kept until the application takes events or joins: a session may be in no more rooms."""

MAX_INVITED = 500
"""Direct rooms that a client is in by itself: half of what a session may join is the application's, whoever writes."""


class Invitation(NamedTuple):
    """Hold what the broker said: a direct room, who has written there, where to begin to read."""

    room: str
    user: str
    position: Position


class Rooms:
    """Keep a client's rooms, one `Room` each, whoever joins it first.

    Joins and leaves of the application take turns under `turns`. What else touches the rooms does
    so under a lock that nobody holds while he waits: the receive thread joins invited rooms.
    """

    def __init__(self, client: Client, consumer: Consumer, *, invitations: bool) -> None:
        self.turns = threading.Lock()
        self._client = client
        self._consumer = consumer
        self._wanted = invitations
        self._accepting = False
        self._lock = threading.Lock()
        self._rooms: dict[str, Room] = {}
        self._coming: dict[str, threading.Event] = {}
        self._invitations: dict[str, Invitation] = {}
        self._guest_in: set[str] = set()  # where the client is, or is about to be, by itself

    # -- the application's threads -----------------------------------------------------------------

    def join(
        self, receiver: Receiver, name: str, shown: str, after: Position | None, create: bool, deadline: Deadline
    ) -> Room:
        """Join a room; as `Client.join`. `name` is the protocol's, `shown` the application's."""
        key = fold(name)
        with self._turn(deadline, f"joining {shown}"):
            while not self._begin(key):
                room = self._rooms.get(key)
                if room is not None:
                    if after is not None:
                        raise UsageError(f"you are in {room.name} already: leave it before you join at a position")
                    return room
                other = self._coming.get(key)
                if other is not None and not other.wait(deadline.left):
                    raise DeadlineExceeded(f"joining {shown}: the broker did not answer within {deadline.seconds:g} s")
            invitation = None if after is not None else self._invitations.pop(key, None)
            reading = self._reading(receiver, invited=invitation is not None)
            position = after if invitation is None else invitation.position
            answer = Answer()
            try:
                receiver.do(receiver.core.join, name, position, create, answer, reading)
                membership: Membership = answer.wait(deadline, f"joining {shown}")
                return self._joined(key, membership, reading)
            except BaseException:  # Ctrl-C too: nobody would have the room
                with self._lock:
                    self._rooms.pop(key, None)
                self._consumer.forget(reading)
                if not answer.withdraw() and answer.result is not None:
                    receiver.do(receiver.core.leave, answer.result, Answer())
                if invitation is not None:
                    self._invitations.setdefault(key, invitation)
                raise
            finally:
                self._end(key)
                if self._invitations:
                    receiver.do(self._accept, receiver)

    def leave(self, receiver: Receiver, room: Room, deadline: Deadline) -> None:
        """Leave a room; as `Client.leave`."""
        membership, reading = room._membership, room._reading
        key = fold(membership.name)
        with self._turn(deadline, f"leaving {room.name}"):
            with self._lock:
                if self._rooms.get(key) is not room:
                    return  # left before, and perhaps joined again since
                del self._rooms[key]
            self._guest_in.discard(key)
            answer = Answer()
            reading.left = True
            reading.end(None)
            self._consumer.forget(reading)
            receiver.do(receiver.core.leave, membership, answer)
            answer.wait(deadline, f"leaving {room.name}")
        if self._invitations:  # one of those that wait has room now
            receiver.do(self._accept, receiver)

    def accept(self, receiver: Receiver) -> None:
        """From now on join the rooms of invitations, also of those that have come already."""
        if not self._accepting:
            self._accepting = True
            receiver.do(self._accept, receiver)

    def mark_read(self) -> None:
        """Have those rooms marked that keep their mark by themselves."""
        for reading in list(self._consumer.readings):
            reading.mark_read()

    @contextmanager
    def _turn(self, deadline: Deadline, what: str) -> Iterator[None]:
        """Hold off other joins and leaves; raises DeadlineExceeded if another takes too long."""
        if not acquire(self.turns, deadline):
            raise DeadlineExceeded(f"{what}: another join or leave took more than {deadline.seconds:g} s")
        try:
            yield
        finally:
            self.turns.release()

    # -- the receive thread ------------------------------------------------------------------------

    def invited(self, receiver: Receiver, room: str, user: str, position: Position) -> None:
        """Take an invitation: join the room if the application takes events, else keep it."""
        key = fold(room)
        if self._wanted and (key in self._invitations or len(self._invitations) < MAX_INVITATIONS):
            self._invitations[key] = Invitation(room, user, position)
            if self._accepting:
                self._accept(receiver)

    def _accept(self, receiver: Receiver) -> None:
        if not self._accepting:
            return
        for key in list(self._invitations):
            if not self._begin(key):
                if key in self._rooms:
                    self._invitations.pop(key, None)
                continue  # it is being joined
            if len(self._guest_in) >= MAX_INVITED:
                self._end(key)
                return
            invitation = self._invitations.pop(key, None)
            if invitation is None:  # the application has joined and left meanwhile
                self._end(key)
                continue
            self._guest_in.add(key)
            reading = self._reading(receiver, invited=True)
            guest = _Guest(self, key, invitation.user, reading)
            receiver.core.join(invitation.room, invitation.position, True, guest, reading)

    # -- both --------------------------------------------------------------------------------------

    def _begin(self, key: str) -> bool:
        """Take a room for joining; False if it is joined, or somebody else is at it."""
        with self._lock:
            room = self._rooms.get(key)
            if key in self._coming or (room is not None and not room._membership.left):
                return False
            if room is not None:  # a broker refused to have it joined again
                self._consumer.readings.remove(room._reading)
                del self._rooms[key]
                self._guest_in.discard(key)
            self._coming[key] = threading.Event()
            return True

    def _reading(self, receiver: Receiver, *, invited: bool) -> Inbox:
        reading = Inbox(self._consumer.arrived, _in(receiver, "credit"), _in(receiver, "mark"))
        reading.keeps_mark = invited
        self._consumer.readings.append(reading)
        return reading

    def _joined(self, key: str, membership: Membership, reading: Inbox) -> Room:
        with self._lock:
            room = self._rooms[key] = Room(self._client, membership, reading)
            return room

    def _end(self, key: str) -> None:
        with self._lock:
            self._coming.pop(key).set()


class _Guest:
    """Wait for the join of an invited room. A call, as `zchat.protocol.port.Call` says, of nobody."""

    withdrawn = False

    def __init__(self, rooms: Rooms, key: str, user: str, reading: Inbox) -> None:
        self._rooms = rooms
        self._key = key
        self._user = user
        self._reading = reading

    def resolve(self, result: Any) -> bool:
        """Have the room, and tell the application of it before its first message."""
        self._rooms._joined(self._key, result, self._reading)
        self._rooms._end(self._key)
        self._reading.roster.invited(self._user)
        return True

    def fail(self, error: Exception) -> None:
        """Give the invitation up: the next message in the room brings another."""
        log.info("the direct room with %s can't be joined: %s", self._user, error)
        self._rooms._consumer.forget(self._reading)
        self._rooms._guest_in.discard(self._key)
        self._rooms._end(self._key)


def _in(receiver: Receiver, name: str) -> Callable[..., None]:
    """Return a function that has a method of the core called in the receive thread."""
    return partial(receiver.do, getattr(receiver.core, name))
