"""A joined room, as the application has it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgpack

from zchat.client.inbox import Inbox
from zchat.client.progress import Progress
from zchat.client.waiting import Letter, Stream
from zchat.errors import DeadlineExceeded, MessageTooLarge, NotAMember, OutcomeUnknown, UsageError, ZchatError
from zchat.messages import Member, Message, Position
from zchat.protocol.arguments import check_number, check_timeout
from zchat.protocol.membership import Membership
from zchat.protocol.outcomes import fresh
from zchat.wire.blocks import encode_body

if TYPE_CHECKING:
    from zchat.client.client import Client

SEND_TIMEOUT = 5.0
"""Seconds that a send waits unless told otherwise: a broker that is restarted is back by then."""

MAX_WAITING_BYTES = 8 << 20
"""Bytes of one `send_many` handed over before it waits until half of what waits has gone out."""

WAITING_COST = 1024
"""Bytes that a message counts for there beside its own, so that no more than 8,000 small ones wait."""


class Room:
    """Send to and read from one room. Made by `Client.join`; any thread may call."""

    def __init__(self, client: Client, membership: Membership, reading: Inbox) -> None:
        self._client = client
        self._membership = membership
        self._reading = reading

    def __repr__(self) -> str:
        return f"<Room {self.name!r}>"

    @property
    def name(self) -> str:
        """Return the room's name, as the broker writes it; a direct room's is `@` and the other user."""
        return self._membership.shown

    @property
    def member_count(self) -> int:
        """Return how many users are here, as the broker told last; 0 until it has, moments after the join."""
        return self._reading.roster.members

    @property
    def position(self) -> Position:
        """Return how far the room has been read: keep it, and `join(name, after=position)` resumes.

        It moves with every message taken from `messages()` (or handed to the handler), and over
        own messages as soon as everything before them was taken.
        """
        return self._reading.position

    def send(self, body: Any, *, timeout: float | None = SEND_TIMEOUT) -> Message:
        """Send one message and return it as it is stored.

        `body` is text, or any other MessagePack value. `timeout` is in seconds, None for ever.

        Raises:
            UsageError: MessagePack can't hold the body, the timeout is wrong, or the client is closed.
            MessageTooLarge: it is over the broker's limit.
            NotAMember: the room has been left.
            DeadlineExceeded: it could not be sent in time, and never will be.
            OutcomeUnknown: it was sent and not acknowledged in time, or before the connection ended.
            ConnectionLost: there is no connection any more.
            Refused: the broker said no; `retryable` tells whether trying again can help.
        """
        receiver = self._client._connection()
        letter = Letter(self._encode(body), timeout)
        receiver.do(receiver.core.offer, self._membership.name, letter)
        letter.wait(self.name)
        return Message(self.name, letter.seq, letter.timestamp, self._client.user, body)

    def send_many(
        self, bodies: Iterable[Any], *, timeout: float | None = SEND_TIMEOUT, progress: Progress | None = None
    ) -> int:
        """Send many messages, in order, without waiting for each; returns how many are stored: all.

        A message goes out as soon as `bodies` gives it. `timeout` is how many seconds may pass
        without any of them being acknowledged, None for any number. `progress`, if given, tells how
        far it has come, while it runs and after it failed.

        Raises:
            As `send`, for the first message that fails; those before it are stored, and the
            error's `stored` says how many of them are known to be. What `bodies` itself raises
            comes through at once: of the messages before it those on their way may be stored,
            the others never will be.
        """
        timeout = check_timeout(timeout)
        stream = Stream()
        if progress is not None:
            progress._follow(stream)
        broken: ZchatError | None = None
        try:
            try:
                self._feed(stream, bodies, timeout)
            except (UsageError, MessageTooLarge) as error:  # those before it are on their way
                broken = error
            seen = stream.stored_count  # first: an answer between the two ends the wait
            while stream.unanswered:
                stream.wait(seen, timeout)
                seen = stream.stored_count
            if stream.error is not None:
                raise fresh(stream.error)
            if broken is not None:
                raise broken
        except ZchatError as error:
            stream.withdraw()
            raise self._undelivered(stream, error) from error.__cause__
        finally:
            stream.withdraw()
        return stream.stored_count

    def _feed(self, stream: Stream, bodies: Iterable[Any], timeout: float | None) -> None:
        """Hand over body after body; this runs once a message, so it is written flat."""
        receiver = self._client._connection()
        membership = self._membership
        limit = self._client.max_message
        pack = msgpack.Packer(autoreset=True).pack
        waiting = stream.bodies
        append = waiting.append
        cost = count = 0
        try:
            for body in bodies:
                packed = pack(body) if type(body) is str else encode_body(body)
                length = len(packed)
                if length > limit:
                    raise _too_large(length, limit)
                append(packed)
                count += 1
                cost += length + WAITING_COST
                if not stream.queued:  # as is one that failed
                    if stream.failed:
                        return
                    if self._left:
                        raise self._has_been_left()
                    stream.queued = True
                    receiver.do(receiver.core.offer, membership.name, stream)
                if cost >= MAX_WAITING_BYTES:
                    cost = 0
                    enough = len(waiting) // 2
                    seen = stream.stored_count
                    while len(waiting) > enough and not stream.failed:
                        stream.wait(seen, timeout)
                        seen = stream.stored_count
        except UnicodeError as error:
            raise UsageError(f"message {count + 1} is no text that UTF-8 can hold: {error}") from error
        finally:
            stream.handed = count

    def _undelivered(self, stream: Stream, error: ZchatError) -> ZchatError:
        """Say of a `send_many` that failed what became of its messages."""
        on_the_way = stream.out
        if type(error) is DeadlineExceeded and on_the_way:
            error = OutcomeUnknown(
                f"{error}; {on_the_way} messages to {self.name} may or may not be stored: "
                "look in the room's history before you send them again"
            )
        error.stored = stream.stored_count
        return error

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Yield what others say in the room, in order; ends after `timeout` seconds of silence.

        None waits for as long as the client is connected, 0 takes what is there. Leaving the
        loop loses nothing: the next call goes on behind the last message taken.

        Raises:
            GapError: messages can't be had; call again to go on behind the gap.
            ConnectionLost, Refused, ProtocolError: why the connection has ended, after all that came.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._client._consume("messages")
        return self._reading.messages(timeout)

    def history(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        timeout: float | None = SEND_TIMEOUT,
    ) -> list[Message]:
        """Return messages of the room's log; as `Client.history`."""
        return self._client.history(self.name, after=after, before=before, limit=limit, timeout=timeout)

    def members(self, *, timeout: float | None = SEND_TIMEOUT) -> list[Member]:
        """Return who is here, by name, as the broker knows it; as `Client.members`."""
        return self._client.members(self.name, timeout=timeout)

    def typing(self, active: bool = True) -> None:
        """Tell the others that the user types here, or (False) no longer does.

        Call it at each key: one in 3 seconds goes out. It ends by itself 6 seconds after the last
        one, and with the next message. It returns at once, and comes to nothing without a
        connection or once the room has been left. Any thread.

        Raises:
            UsageError: the client is closed.
        """
        receiver = self._client._connection()
        receiver.do(receiver.core.typing, self._membership, active, time.monotonic())

    def mark_read(self, seq: int | None = None) -> None:
        """Mark the room as read up to `seq`, None for the position: the user's unread counts go by it.

        It returns at once. The highest mark is kept until the broker has stored it, over lost
        connections too, and `Client.close` waits for it. A mark never goes back. Any thread.

        Raises:
            Refused: the broker would not store an earlier mark of this room; told once.
            UsageError: `seq` is no number, or the client is closed.
        """
        receiver = self._client._connection()
        if seq is None:
            seq = self.position.seq
        else:
            check_number("seq", seq)
        refused = self._reading.roster.refusal()
        if refused is not None:
            raise fresh(refused)
        if seq > 0:
            receiver.do(receiver.core.mark, self._membership, seq)

    def leave(self, *, timeout: float | None = SEND_TIMEOUT) -> None:
        """Leave the room; a loop over its messages ends. Leaving twice does nothing.

        `timeout` is in seconds, None for ever. Any thread.

        Raises:
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded: the broker did not confirm in time; it is left all the same, unless
                another thread's join or leave took all the time.
            ConnectionLost: there is no connection any more.
        """
        self._client.leave(self, timeout=timeout)

    def _encode(self, body: Any) -> bytes:
        packed = encode_body(body)
        if len(packed) > self._client.max_message:
            raise _too_large(len(packed), self._client.max_message)
        if self._left:
            raise self._has_been_left()
        return packed

    @property
    def _left(self) -> bool:
        """Return whether the application has left it, or the broker would not have it joined again."""
        return self._reading.left or self._membership.left

    def _has_been_left(self) -> NotAMember:
        return NotAMember(f"you are not in {self.name} any more: join it again")


def _too_large(length: int, limit: int) -> MessageTooLarge:
    return MessageTooLarge(f"a message has {limit} bytes at most, this has {length}; send it in parts")
