"""A joined room, as a program with threads has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from sys import is_finalizing
from typing import Any

from zchat.checks import check_timeout
from zchat.client.link import ClientLink
from zchat.client.reading import batches_of, messages_of
from zchat.client.waiting import Letter, Stream, finish
from zchat.deadline import Deadline
from zchat.messages import Batch, Member, Message, Sanction, new_message
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.arguments import SEND_TIMEOUT, check_bodies
from zchat.protocol.faces.face import BaseRoom
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.faces.joined_rooms import JoinedRooms
from zchat.protocol.faces.progress import Progress
from zchat.protocol.rooms.membership import Membership
from zchat.threads import Bell, awaited, get_ident, refuse_to_wait


class Room(BaseRoom):
    """One joined room, to send to and to read from. Made by `Client.join`; any thread may call."""

    _link: ClientLink
    _inbox: Inbox[Bell]

    def __init__(
        self, lease: Callable[[], object], rooms: JoinedRooms[Room], membership: Membership, inbox: Inbox[Bell]
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
            NotAMember: the room has been left, or the user was removed from it before; Kicked, Banned,
                NotAllowed: while the message waited.
            Muted, RoomClosed: a moderator lets the user, or nobody, send to it; the room goes on.
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
        return new_message((membership.shown, letter.seq, letter.timestamp, link.user, body))

    def send_many(
        self, bodies: Iterable[Any], *, timeout: float | None = SEND_TIMEOUT, progress: Progress | None = None
    ) -> int:
        """Send many messages, in order, without waiting for each; returns how many are stored: all.

        A message goes out as soon as `bodies` gives it. `timeout`: seconds that may pass without
        any of them being acknowledged, None for no limit. `progress`, if given, shows how far it
        has come, while it runs and after it failed. Any thread.

        Raises:
            As `send`, for the first message that fails; those before it are stored, and the
            error's `stored` says how many of them are known to be. UsageError if the client is closed
            meanwhile: what was handed over before is stored, and the rest never will be. What `bodies` itself raises
            comes through at once and as it is, an error of zchat's too: of the messages before it those on their way
            may be stored, the others never will be; `progress` says how many.
        """
        timeout = check_timeout(timeout)
        check_bodies(bodies)
        self._link.check()
        if get_ident() in awaited or is_finalizing():
            raise refuse_to_wait()
        return finish(steps.send_many(self._feeding(Stream(), bodies, progress), timeout))

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Yield what others say in the room, in order; ends after `timeout` seconds of silence.

        None waits for as long as the client is connected, 0 takes what is there. Leaving the
        loop loses nothing: the next call continues after the last message taken. Any thread.

        Raises:
            GapError: messages are not available; call again to continue after the gap.
            Kicked, Banned, NotAllowed, another Refused: why the room has ended for this client, after all that came.
            ConnectionLost, Refused, ProtocolError: why the connection has ended, likewise.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._link.settle("messages")
        return messages_of(self._inbox, timeout, self._link.check_process, self)

    def batches(self, timeout: float | None = None) -> Iterator[Batch]:
        """Yield what `messages` does, by notification: 64 KiB of messages, or one sender's block, in a `Batch`.

        The columns of a batch cost less than half as much as its messages one by one. A batch counts as taken
        once it is yielded, and `position` is after it; a program that must not lose it keeps `Batch.position`
        once the batch is handled. `messages` and this may take turns: what is left of a notification
        that was begun there is the next batch here. `timeout`: as in `messages`. Any thread.

        Raises:
            As `messages`; a GapError comes between two batches.
        """
        timeout = check_timeout(timeout)
        self._link.settle("messages")
        return batches_of(self._inbox, timeout, self._link.check_process, self)

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

    # -- moderation --------------------------------------------------------------------------------

    def kick(self, user: str, reason: str = "", *, timeout: float | None = SEND_TIMEOUT) -> int:
        """Put a user out of the room; return how many of the user's sessions were there.

        The user receives `reason` (200 characters at most) and may join again. Who is the room's owner or an operator
        may do it, at a broker with keys or logins; towards those with as much power as oneself nobody may. If the
        connection is lost, this and the calls below are repeated over the next one, and return what is found then.
        `timeout`: seconds, None for no limit. Any thread.

        Raises:
            NotAllowed: the user, or this one, may not be moderated by the other; or names are claims there.
            NoSuchRoom: there is no such room any more.
            BadName: the user's name breaks the rules.
            VersionRefused: the broker is too old.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded: no answer in time; it may have happened. ConnectionLost: there is no connection any more.
        """
        return finish(moderation.kick(self._link, self.name, user, reason, Deadline(timeout)))

    def ban(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = SEND_TIMEOUT
    ) -> float | None:
        """Put a user out of the room and let the user neither join, read nor send; return until when.

        For so many `seconds`, 0 for ever: then until `unban`. It is in force once this returns, in all the user's
        sessions, and outlives the broker. A second one replaces the first. The user need not be there, nor exist.
        Returns seconds since 1970, None for ever. The rest is as in `kick`.

        Raises:
            LimitReached: there are too many sanctions. StoreFailed, Busy: the broker's reasons.
            As `kick`.
        """
        deadline = Deadline(timeout)
        return finish(moderation.sanction(self._link, "ban", self.name, user, seconds, reason, deadline))

    def unban(self, user: str, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """End the ban of a user from the room; True if there was one. As `ban`."""
        return finish(moderation.lift(self._link, "unban", self.name, user, Deadline(timeout)))

    def mute(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = SEND_TIMEOUT
    ) -> float | None:
        """Let a user send nothing to the room, who may read on; return until when. As `ban`."""
        deadline = Deadline(timeout)
        return finish(moderation.sanction(self._link, "mute", self.name, user, seconds, reason, deadline))

    def unmute(self, user: str, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """Let a user send to the room again; True if the user was muted. As `ban`."""
        return finish(moderation.lift(self._link, "unmute", self.name, user, Deadline(timeout)))

    def close_room(self, reason: str = "", *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """Close the room, so that its owners and operators alone send to it or join it; True if it was open.

        Those who are in it stay, and read on. `leave` is what ends one's own membership. The rest is as in `ban`.
        """
        return finish(moderation.close_room(self._link, self.name, reason, Deadline(timeout)))

    def open_room(self, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """Open the room again; True if it was closed. As `ban`."""
        return finish(moderation.open_room(self._link, self.name, Deadline(timeout)))

    def sanctions(self, *, timeout: float | None = SEND_TIMEOUT) -> list[Sanction]:
        """Return the room's bans and mutes that are in force, oldest first, and whether it is closed. As `kick`."""
        return finish(moderation.sanctions(self._link, self.name, Deadline(timeout)))

    # -- the end -----------------------------------------------------------------------------------

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
