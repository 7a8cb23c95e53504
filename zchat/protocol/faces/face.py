"""What a face needs to provide, and what never waits and is the same in every face.

A face is what a program holds: `zchat.client` is the one with threads. It provides a `FaceLink` and
what to wait by, and carries out `zchat.protocol.faces.steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import inf
from typing import Any, Protocol

import msgpack

from zchat.checks import check_flag
from zchat.errors import (
    ConnectionLost,
    DeadlineExceeded,
    MessageTooLarge,
    NotAMember,
    OutcomeUnknown,
    UsageError,
    ZchatError,
)
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.arguments import check_number
from zchat.protocol.faces.event_queue import EventQueue
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.faces.outcomes import BaseAnswer, BaseStream, Bell, fresh
from zchat.protocol.faces.progress import Progress, follow
from zchat.protocol.rooms.membership import Membership
from zchat.wire.blocks import encode_body

MAX_WAITING_BYTES = 8 << 20
"""Bytes of one `send_many` handed over before it waits until half of what waits has gone out."""

WAITING_COST = 1024
"""Bytes that a message counts for there beside its own, so that no more than 8,000 small ones wait."""


# -- what a face provides --------------------------------------------------------------------------------


class Waits(Protocol):
    """What a face waits by, made when there is something to wait for."""

    def answer(self) -> BaseAnswer:
        """Return the answer to one request, yet to come."""

    def stream(self) -> BaseStream:
        """Return the messages of a `send_many`, yet to be handed over."""

    def bell(self) -> Bell:
        """Return what rings when a room, or any, has something to take."""


class FaceLink(Protocol):
    """What a client, its rooms and their steps hold in common: the connection, as a face keeps it."""

    @property
    def user(self) -> str:
        """The user's name."""

    @property
    def url(self) -> str:
        """The address of the broker that the client is, or was last, connected to."""

    @property
    def core(self) -> ClientCore:
        """The client's core. It is called through `do` alone; `welcome` may be read at any time."""

    @property
    def do(self) -> Callable[..., None]:
        """What has `work[0](*work[1:])` called in the core's thread, once the client is closed too."""

    @property
    def closed(self) -> bool:
        """True once closing has begun: there are no new calls, and those that run hand over nothing more."""

    @property
    def waits(self) -> Waits:
        """What steps wait by."""

    @property
    def events(self) -> EventQueue[Any]:
        """The events of all rooms, and of the connection."""

    def check(self) -> None:
        """Raise UsageError if there can be no new call: the client is closed, or another process's."""

    def now(self) -> float:
        """Return the seconds on the clock that the core goes by."""

    def note(self, text: str) -> None:
        """Log what calls for no attention."""


# -- what every face has ---------------------------------------------------------------------------------


class BaseClient:
    """What a client has in every face without waiting."""

    def __init__(self, link: FaceLink) -> None:
        self._link: FaceLink = link

    @property
    def user(self) -> str:
        """Return the name that others see: spelt, once the client is connected, as the broker has it."""
        return self._link.user

    @property
    def url(self) -> str:
        """Return the address of the broker that the client is, or was last, connected to."""
        return self._link.url

    @property
    def max_message(self) -> int:
        """Return the broker's limit of one message, in bytes of MessagePack."""
        return max_message(self._link)


class BaseRoom:
    """What a room has in every face without waiting."""

    def __init__(self, link: FaceLink, membership: Membership, inbox: Inbox[Any]) -> None:
        self._link: FaceLink = link
        self._membership = membership
        self._inbox: Inbox[Any] = inbox

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def name(self) -> str:
        """Return the room's name, as the broker writes it; a direct room's is `@` and the other user."""
        return self._membership.shown

    @property
    def joined(self) -> bool:
        """True while the user is in the room, as the broker has said over the present connection.

        False without a connection, until the room is joined again over a new one, and for good once it was left or the
        user was put out of it.
        """
        return self._membership.live and not self._membership.left

    @property
    def began(self) -> Position | None:
        """Return where in the log the user's stay in the room began, as far as the broker lets that count.

        What was said after it, the user was there for; what was said before it, or before `join(after=...)`, is read by
        whoever may read it. It stays over a lost connection, unless the broker reports that something is missing: then
        the stay begins after that gap, as for who was put out meanwhile, or away for so long that the session expired.
        None from the moment the room is joined, or joined again, until such a gap has come. Any thread.
        """
        return self._membership.began

    @property
    def member_count(self) -> int:
        """Return how many users are here, by the broker's latest report; 0 until the first, moments after the join."""
        return self._inbox.roster.members

    @property
    def crowded(self) -> bool:
        """True while the broker reports how many users are here, and not who.

        They are too many, or the rules give this user no names there. False until the first report.
        """
        return self._inbox.roster.is_crowd

    @property
    def position(self) -> Position:
        """Return how far the room has been read: keep it, and `join(name, after=position)` resumes.

        It moves with every message taken from `messages()` (or handed to the handler), and over
        own messages as soon as everything before them was taken.
        """
        return self._inbox.position

    def typing(self, active: bool = True) -> None:
        """Show the others that the user types here, or (False) no longer does.

        Call it at each key: one in 3 seconds goes out. It ends by itself 6 seconds after the last
        one, and with the next message. It returns at once, and has no effect without a connection
        or once the room has been left. Any thread.

        Raises:
            UsageError: the client is closed.
        """
        check_flag("active", active)
        link = self._link
        link.check()
        link.do(link.core.typing, self._membership, active, link.now())

    def mark_read(self, seq: int | None = None) -> None:
        """Mark the room as read up to `seq`, None for the position; the user's unread counts follow from it.

        It returns at once. The highest mark is kept until the broker has stored it, over lost
        connections too, and `Client.close` waits for it. A mark never goes back. Any thread.

        Raises:
            Refused: the broker would not store an earlier mark of this room; raised once.
            UsageError: `seq` is no number, or the client is closed.
        """
        link = self._link
        link.check()
        if seq is None:
            seq = self.position.seq
        else:
            check_number("seq", seq)
        refused = self._inbox.roster.refusal()
        if refused is not None:
            raise fresh(refused)
        if seq > 0:
            link.do(link.core.mark_read, self._membership, seq)

    def _encode(self, body: Any) -> bytes:
        """Return a body as it is sent; raises UsageError, MessageTooLarge or NotAMember."""
        packed = encode_body(body)
        welcome = self._link.core.welcome
        if welcome is not None and len(packed) > welcome.max_message:
            raise too_large(len(packed), welcome.max_message)
        if self._membership.left or self._inbox.left:
            raise has_been_left(self._membership)
        return packed

    def _feeding(self, stream: BaseStream, bodies: Iterable[Any], progress: Progress | None) -> Feeding:
        """Return what hands the bodies of a `send_many` over, which `progress` follows."""
        if progress is not None:
            follow(progress, stream)
        return Feeding(self._link, self._membership, self._inbox, stream, bodies)


class Feeding:
    """The bodies of one `send_many`, on their way from the application to the core."""

    def __init__(
        self, link: FaceLink, membership: Membership, inbox: Inbox[Any], stream: BaseStream, bodies: Iterable[Any]
    ) -> None:
        self.stream = stream
        self._link = link
        self._membership = membership
        self._inbox = inbox
        self._bodies = iter(bodies)
        self._ends = True  # with these bodies
        self._cost = 0  # of what was handed over since it was full
        self._enough: float = inf
        self._in_turn = 0  # messages handed over since others had their turn
        self._exhausted = False
        self._broken: ZchatError | None = None

    def give(self, bodies: Sequence[Any]) -> None:
        """Take more bodies, in place of those that are handed over; none at the end."""
        self._bodies = iter(bodies)
        self._ends = not bodies

    def fill(self) -> bool:
        """Hand over body after body; False once there are no more, or something is wrong.

        True if there may be more: once it isn't `full`, once others had a turn that is due, or once they are given.
        What is wrong is `trouble`: all that is raised here is what `bodies` itself raises, and none of ours, of
        whatever class it is. This runs once a message, so it is written flat; a `try` within costs nothing.
        """
        if self._link.closed:
            self._exhausted = self._ends and next(self._bodies, self) is self
            self._broken = while_closing()
            return False
        link, stream = self._link, self.stream
        do, offer, limit = link.do, link.core.offer, max_message(link)
        membership, inbox = self._membership, self._inbox
        pack = msgpack.Packer(autoreset=True).pack
        waiting = stream.bodies
        append = waiting.append
        if self.turn_due:
            self._in_turn = 0
        turn = stream.turn
        bodies = self._bodies if turn is None else islice(self._bodies, turn - self._in_turn)
        before = count = stream.handed
        cost, self._enough = self._cost, inf
        try:
            for body in bodies:
                try:
                    packed = pack(body) if type(body) is str else encode_body(body)
                except UnicodeError as error:
                    self._broken = UsageError(f"message {count + 1} is not text that UTF-8 can encode: {error}")
                    self._broken.__cause__ = error
                    return False
                except UsageError as error:
                    self._broken = error
                    return False
                length = len(packed)
                if length > limit:
                    self._broken = too_large(length, limit)
                    return False
                append(packed)
                count += 1
                cost += length + WAITING_COST
                if not stream.queued:  # as is one that failed
                    if stream.failed:
                        return False
                    if link.closed:
                        count -= self._taken_back()
                        self._broken = while_closing()
                        return False
                    if membership.left or inbox.left:
                        self._broken = has_been_left(membership)
                        stream.withdraw()  # at once, whatever is on its way
                        return False
                    stream.queued = True
                    do(offer, membership.name, stream)
                if cost >= MAX_WAITING_BYTES:
                    cost, self._enough = 0, len(waiting) // 2
                    return True
            self._exhausted = self._ends and (turn is None or self._in_turn + count - before < turn)
            return not self._exhausted
        finally:
            stream.handed = count
            self._cost = cost
            self._in_turn += count - before

    def _taken_back(self) -> int:
        """Take the latest body back, and return how many that are: 0 if the core has it."""
        try:
            self.stream.bodies.pop()
        except IndexError:
            return 0
        return 1

    @property
    def turn_due(self) -> bool:
        """True if so many were handed over that others have their turn next, in a face in which they wait for that."""
        return self._in_turn == self.stream.turn

    @property
    def full(self) -> bool:
        """True while more than half of what waited after `fill` still waits."""
        return len(self.stream.bodies) > self._enough and not self.stream.failed

    @property
    def complete(self) -> bool:
        """True if everything that there was is stored."""
        return self._exhausted and self.stream.stored_count >= self.stream.handed

    @property
    def trouble(self) -> Exception | None:
        """Return why the first message that isn't stored is not, as far as that is known."""
        return self._broken if self.stream.error is None else fresh(self.stream.error)

    def undelivered(self, error: Exception) -> Exception:
        """Return the error of a `send_many` that failed, which says what became of its messages."""
        stream = self.stream
        on_the_way = min(stream.out, stream.handed - stream.stored_count)  # what was broken off may have counted more
        if type(error) in (DeadlineExceeded, ConnectionLost) and on_the_way:
            cause = error.__cause__ if type(error) is DeadlineExceeded else error
            error = OutcomeUnknown(
                f"{error}; {on_the_way} messages to {self._membership.shown} may or may not be stored: "
                "look in the room's history before you send them again"
            )
            error.__cause__ = cause
        if isinstance(error, ZchatError):
            error.stored = self.stream.stored_count
        return error


def max_message(link: FaceLink) -> int:
    """Return the broker's limit of one message, in bytes of MessagePack."""
    welcome = link.core.welcome
    assert welcome is not None, "there is a client only once there was a welcome"
    return welcome.max_message


def while_closing() -> UsageError:
    """Return the error of a `send_many` that was running when its client was closed."""
    return UsageError("this client was closed: of these messages the first are stored, and the rest never will be")


def too_large(length: int, limit: int) -> MessageTooLarge:
    """Return the error of a message of so many bytes."""
    return MessageTooLarge(f"a message has {limit} bytes at most, this has {length}; send it in parts")


def has_been_left(membership: Membership) -> NotAMember:
    """Return the error of a call to a room that has been left, or that the user was removed from: that is its cause."""
    if membership.removed is None:
        return NotAMember(f"you are not in {membership.shown} any more: join it again")
    error = NotAMember(str(membership.removed))
    error.__cause__ = membership.removed
    return error
