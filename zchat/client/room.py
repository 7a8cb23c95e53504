"""A joined room, as a program with threads has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from sys import is_finalizing
from typing import Any

from zchat.checks import check_timeout, shown
from zchat.client.inbox import Inbox
from zchat.client.joined_rooms import JoinedRooms
from zchat.client.link import ClientLink
from zchat.client.progress import Progress, follow
from zchat.client.waiting import Deadline, Letter, Stream, finish
from zchat.errors import UsageError
from zchat.messages import Member, Message
from zchat.protocol.faces import steps
from zchat.protocol.faces.arguments import check_bodies
from zchat.protocol.faces.face import BaseRoom
from zchat.protocol.rooms.membership import Membership
from zchat.threads import awaited, get_ident, refuse_to_wait

SEND_TIMEOUT = 5.0
"""Seconds that a send waits by default: a broker that is restarted is back by then."""


class Room(BaseRoom):
    """One joined room, to send to and to read from. Made by `Client.join`; any thread may call."""

    _link: ClientLink
    _inbox: Inbox

    def __init__(
        self, lease: Callable[[], object], rooms: JoinedRooms[Room], membership: Membership, inbox: Inbox
    ) -> None:
        super().__init__(rooms.link, membership, inbox)
        self._lease = lease()  # what keeps the connection, as long as the application holds the room
        self._rooms = rooms

    def send(self, body: Any, *, timeout: float | None = SEND_TIMEOUT) -> Message:
        """Send one message and return it as it is stored.

        `body`: text, or any other MessagePack value. `timeout`: seconds, None for no limit. Any thread.

        Raises:
            UsageError: MessagePack can't hold the body, the timeout is wrong, or the client is closed.
            MessageTooLarge: it is over the broker's limit.
            NotAMember: the room has been left.
            DeadlineExceeded: it could not be sent in time, and never will be.
            OutcomeUnknown: it was sent but not acknowledged in time, or before the connection ended.
            ConnectionLost: there is no connection any more.
            Refused: the broker refused it; `retryable` says whether trying again can help.
        """
        link, membership = self._link, self._membership
        link.check()
        letter = Letter(self._encode(body), timeout)
        try:
            link.do(link.core.offer, membership.name, letter)
            letter.wait(membership.shown)
        except BaseException:  # Ctrl-C
            letter.withdraw()
            raise
        return Message(membership.shown, letter.seq, letter.timestamp, link.user, body)

    def send_many(
        self, bodies: Iterable[Any], *, timeout: float | None = SEND_TIMEOUT, progress: Progress | None = None
    ) -> int:
        """Send many messages, in order, without waiting for each; returns how many are stored: all.

        A message goes out as soon as `bodies` gives it. `timeout`: seconds that may pass without
        any of them being acknowledged, None for no limit. `progress`, if given, shows how far it
        has come, while it runs and after it failed. Any thread.

        Raises:
            As `send`, for the first message that fails; those before it are stored, and the
            error's `stored` says how many of them are known to be. What `bodies` itself raises
            comes through at once: of the messages before it those on their way may be stored,
            the others never will be.
        """
        timeout = check_timeout(timeout)
        check_bodies(bodies)
        if progress is not None and not isinstance(progress, Progress):
            raise UsageError(f"progress is a Progress, not {shown(progress)}")
        self._link.check()
        if get_ident() in awaited or is_finalizing():
            raise refuse_to_wait()
        stream = Stream()
        if progress is not None:
            follow(progress, stream)
        return finish(steps.send_many(self._feeding(stream, bodies), timeout))

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Yield what others say in the room, in order; ends after `timeout` seconds of silence.

        None waits for as long as the client is connected, 0 takes what is there. Leaving the
        loop loses nothing: the next call continues after the last message taken. Any thread.

        Raises:
            GapError: messages are not available; call again to continue after the gap.
            ConnectionLost, Refused, ProtocolError: why the connection has ended, after all that came.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._link.settle("messages")
        return self._inbox.messages(timeout, self)

    def history(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        timeout: float | None = SEND_TIMEOUT,
    ) -> list[Message]:
        """Return messages of the room's log; as `Client.history`."""
        return finish(steps.history(self._link, self.name, after, before, limit, Deadline(timeout)))

    def members(self, *, timeout: float | None = SEND_TIMEOUT) -> list[Member]:
        """Return who is here, by name, as the broker knows it; as `Client.members`."""
        return finish(steps.members(self._link, self.name, Deadline(timeout)))

    def leave(self, *, timeout: float | None = SEND_TIMEOUT) -> None:
        """Leave the room; a loop over its messages ends. Leaving twice does nothing.

        `timeout`: seconds, None for no limit. Any thread.

        Raises:
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded: the broker did not confirm in time; it is left all the same, unless
                another thread's join or leave took all the time.
            ConnectionLost: there is no connection any more.
        """
        finish(steps.leave(self._link, self._rooms, self, self.name, Deadline(timeout)))
