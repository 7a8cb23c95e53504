"""The client with threads: what a program that talks in rooms holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Literal, overload
from weakref import ref

from zchat.address import DEFAULT_URL
from zchat.checks import check_finite_timeout, check_flag, check_timeout, shown
from zchat.client.handler import Handler
from zchat.client.link import ClientLink
from zchat.client.reading import events_of
from zchat.client.room import Room
from zchat.client.waiting import finish
from zchat.deadline import Deadline
from zchat.errors import HandlerFailed, UsageError
from zchat.events import Event
from zchat.messages import Batch, Member, Message, Position, RoomInfo, Sanction
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.arguments import ASK_TIMEOUT, REPORT, UNMARKED, check_handler, direct_room, join_flags
from zchat.protocol.faces.face import BaseClient
from zchat.protocol.faces.invitations import Invitations
from zchat.protocol.faces.joined_rooms import JoinedRooms
from zchat.stats import OverallStats, Stats
from zchat.transport.connection import CLOSE_GRACE, Lease
from zchat.transport.keys import Key
from zchat.transport.link import DROPPED_SECONDS
from zchat.transport.settings import settings


class Client(BaseClient):
    """A connection to a broker, and the rooms joined over it. Any number of threads may call.

    It connects when it is made. When the connection is lost it makes another one by itself, until
    it is closed: rooms continue where they were, unanswered messages are sent again and stored once;
    calls wait for it up to their own deadlines. A broker that refuses it for good ends it.

    `url`: the broker's address, or several that are tried in turn. `user`: the name that others
    see, None for the login name; without keys it is a claim. `timeout`: seconds until a broker
    must have answered, for all addresses together. `on_event`: called with every event of every
    joined room, in order, in a thread of its own, instead of `events()` or `messages()`; what it
    raises is logged, it goes on, and `wait`, `close` or the end of the `with` block raises the
    first such failure. `high_water_mark`: notifications that a room may have unacknowledged, 0 for
    the broker's own number. `invitations`: join by itself the direct rooms in which somebody has
    written, if the application takes `events()` or has a handler, and move the read marks there as messages are
    taken; `"unmarked"`: join them, and leave the marks to the application; `"report"`: report them, as `Invited`,
    and join none. `key`: the user's pair of keys,
    as a file NAME.key_secret or a `zchat.Key`, for a broker with keys; `server_key`: that broker's
    public key, as its file or its 40 characters, or several that are tried in turn. Both or
    neither; `user` None is then the key's user.

    If it is broken off while it is made, as by Ctrl-C, it says goodbye, waits half a second at most for its threads
    to end, mostly some milliseconds, and raises what broke it off.

    Attributes: `user`, the name in use, and `url`, the address that answered.

    Raises:
        ConnectionLost: no broker answered.
        UsageError: an argument is wrong; AddressError: `url` is no address.
        BadName: the user's name breaks the rules; VersionRefused: the broker is too old or new.
        Busy: the broker is full; Closing: it is shutting down. Both are temporary.
        BadKey: a key can't be used. KeyNeeded, NoKeysThere, ServerKeyWrong, KeyRefused: the
        broker's door stays shut (`NotLetIn`). WrongName: the name is another key's. Banned: the user
        is banned from the broker as a whole.
    """

    _link: ClientLink

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        user: str | None = None,
        timeout: float = 5.0,
        on_event: Callable[[Event], object] | None = None,
        high_water_mark: int = 0,
        invitations: bool | Literal["report", "unmarked"] = True,
        key: Key | str | PathLike[str] | None = None,
        server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    ) -> None:
        given = settings(url, user, timeout, high_water_mark, invitations, key, server_key)
        if on_event is not None:
            check_handler(on_event)
        kept = Invitations(
            wanted=bool(given.invitations),
            reported=given.invitations == REPORT,
            unmarked=given.invitations == UNMARKED,
        )
        self._lease = lease = Lease(given.user)
        try:
            link = lease.link = ClientLink(given, kept.receive)
            finish(link.connecting(lease, Deadline(given.timeout)))
            super().__init__(link)
            self._rooms: JoinedRooms[Room] = JoinedRooms(link, kept, partial(Room, ref(lease)))
            self._handler: Handler | None = None
            if on_event is not None:
                self._take_events("on_event")
                self._handler = Handler(link, on_event)
        except BaseException:
            lease.give_up()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HandlerFailed:
            if error is None:
                raise
        except BaseException:  # of a signal, perhaps before it had begun
            self._close_beside(Deadline(DROPPED_SECONDS))
            raise

    # -- rooms -----------------------------------------------------------------------------------

    def join(
        self,
        name: str,
        *,
        after: Position | None = None,
        create: bool = True,
        echo: bool = False,
        reads: bool = True,
        present: bool = True,
        timeout: float | None = ASK_TIMEOUT,
    ) -> Room:
        """Join a room and return it; joining twice returns the same room.

        Messages come from now on, or those after the position `after`. `create`: create the room
        if it doesn't exist. `echo`: the messages of this client come too, in their place among the
        others, as a program wants that shares one client among many. `reads`: receive the messages; without
        it the room is there to send to, and for who is in it, up to a second late. `present`: be one of its
        members; without it the user reads unseen, and can't send. `timeout`: seconds for all of it, None for
        no limit; joins and leaves take turns. Any thread.

        Raises:
            BadName, NoSuchRoom, LimitReached, NotAllowed, Banned, RoomClosed: the broker's reasons.
            UsageError: an argument is wrong, `after`, `echo`, `reads` or `present` is given for a room that
                is joined otherwise already, or the client is closed.
            VersionRefused: `echo`, `reads` or `present` is given, and the broker is too old for it.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        flags = join_flags(echo, reads, present)
        return finish(steps.join(self._link, self._rooms, name, after, create, flags, Deadline(timeout)))

    def direct(self, user: str, *, timeout: float | None = ASK_TIMEOUT) -> Room:
        """Return the direct room with another user, which is open and visible to the two alone.

        Its name is `@` and theirs, and `join` of that name does the same: messages come from now on,
        or from where an invitation says. Their clients join when something is said. `timeout`: as
        in `join`. Any thread.

        Raises:
            BadName: the name breaks the rules, or is the user's own.
            LimitReached, UsageError, DeadlineExceeded, ConnectionLost: as in `join`.
        """
        return self.join(direct_room(user), timeout=timeout)

    def leave(self, room: Room, *, timeout: float | None = ASK_TIMEOUT) -> None:
        """Leave a room; as `Room.leave`."""
        if not isinstance(room, Room):
            raise UsageError(f"leave is given a Room, as join returns it, not {shown(room)}")
        finish(steps.leave(self._link, self._rooms, room, room.name, Deadline(timeout)))

    def rooms(
        self, *, after: str | None = None, limit: int | None = None, timeout: float | None = ASK_TIMEOUT
    ) -> list[RoomInfo]:
        """Return the broker's rooms and the user's direct rooms, by name, with what is unread in each.

        `after`: those after this name, of a room that need not exist. `limit`: as many at most, None for all.
        `timeout`: seconds for all pages of the list together, None for no limit. Any thread.

        Raises:
            BadName: `after` is no name of a room.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.rooms(self._link, Deadline(timeout), after, limit))

    def members(
        self, name: str, *, after: str | None = None, limit: int | None = None, timeout: float | None = ASK_TIMEOUT
    ) -> list[Member]:
        """Return the members of a room, by name; the room need not be joined.

        `after`, `limit`: as in `rooms`, of users' names.
        `timeout`: seconds for all pages of the list together, None for no limit. Any thread.

        Raises:
            NoSuchRoom, BadName: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.members(self._link, name, Deadline(timeout), after, limit))

    def stats(self, *, timeout: float | None = ASK_TIMEOUT) -> Stats:
        """Return the broker's figures: counts, members that lag, durations, busy rooms.

        `timeout`: as in `rooms`. Any thread.

        Raises:
            Refused: the broker is older and doesn't know this request, or is too busy.
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.stats(self._link, Deadline(timeout)))

    def overall_stats(self, *, timeout: float | None = ASK_TIMEOUT) -> OverallStats:
        """Return the figures of all brokers that share the store, together and of each: those of others a second old.

        A broker that ends is out of them at once, one that is killed after ten seconds. Where no others can share the
        store they are those of the broker alone. `timeout`: as in `rooms`. Any thread.

        Raises:
            VersionRefused: the broker is older and doesn't know them.
            Refused: as in `stats`.
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.overall_stats(self._link, Deadline(timeout)))

    def mark_read(self, name: str, seq: int, *, timeout: float | None = ASK_TIMEOUT) -> int:
        """Mark a room as read up to `seq`, and return the read mark that stands once that is stored.

        It never goes back, and never beyond the log's end. The room need not be joined; in one
        that is, `Room.mark_read` doesn't wait. `timeout`: seconds, None for no limit. Any thread.

        Raises:
            NoSuchRoom, BadName, Busy, StoreFailed: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.mark_read(self._link, name, seq, Deadline(timeout)))

    def history(
        self,
        name: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        timeout: float | None = ASK_TIMEOUT,
    ) -> list[Message]:
        """Return messages of a room's log, oldest first; the room need not be joined.

        Those after seq `after` and before seq `before` (both exclusive, None: no such bound),
        `limit` at most, 0 for none: the oldest of them if `after` is given, else the newest.
        `timeout`: seconds for all pages together, None for no limit. All are of one log: when the
        connection is lost between two pages, it begins anew. Any thread.

        Raises:
            NoSuchRoom, BadName, StoreFailed: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.history(self._link, name, after, before, limit, Deadline(timeout)))

    def history_batch(
        self,
        name: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 1000,
        timeout: float | None = ASK_TIMEOUT,
    ) -> Batch | None:
        """Return messages of a room's log as one batch, as much as one answer of the broker has: 256 KiB or one block.

        None if there are none. Those after `after` come first, oldest first, so that the next call continues after
        `batch.last`; without `after` they begin `limit` before the end, or before `before`, and may not reach it.
        Otherwise as `history`.
        """
        return finish(steps.history_batch(self._link, name, after, before, limit, Deadline(timeout)))

    # -- moderation of the broker as a whole -------------------------------------------------------

    def ban(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = ASK_TIMEOUT
    ) -> float | None:
        """Ban a user from the broker as a whole, which operators may; return until when.

        The user's sessions end with `Banned`, and no client of the user is let in until then. Otherwise as
        `Room.ban`.
        """
        return finish(moderation.sanction(self._link, "ban", None, user, seconds, reason, Deadline(timeout)))

    def unban(self, user: str, *, timeout: float | None = ASK_TIMEOUT) -> bool:
        """End the ban of a user from the broker as a whole; True if there was one. As `ban`."""
        return finish(moderation.lift(self._link, "unban", None, user, Deadline(timeout)))

    def sanctions(self, *, timeout: float | None = ASK_TIMEOUT) -> list[Sanction]:
        """Return the bans from the broker as a whole that are in force, oldest first. As `ban`."""
        return finish(moderation.sanctions(self._link, None, Deadline(timeout)))

    # -- events ----------------------------------------------------------------------------------

    @overload
    def events(self, timeout: float | None = None, *, batches: Literal[False] = False) -> Iterator[Event]: ...

    @overload
    def events(self, timeout: float | None = None, *, batches: bool) -> Iterator[Event | Batch]: ...

    def events(self, timeout: float | None = None, *, batches: bool = False) -> Iterator[Event | Batch]:
        """Yield every event of every joined room, in order, until `timeout` seconds of silence.

        None waits until the client is closed, 0 takes what is there. Gaps are events here, and so are
        lost and restored connections, and users who come, go, type and read: of these, the
        difference from what was last reported. `zchat.events` has them all. `batches`: messages come as batches, as in
        `Room.batches`. Any thread.

        Raises:
            Refused, ProtocolError, ConnectionLost (a fault of this side): why the client has ended,
                after all that came. A room that ends alone is an event, `Removed`.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        check_flag("batches", batches)
        self._take_events("events")
        return events_of(self._link.events, timeout, self._link.check_process, self._lease, batches=batches)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the client is closed or refused for good; True if it has ended.

        `timeout`: seconds, 0 to return at once, None for no limit. Any thread.

        Raises:
            Refused, ProtocolError, ConnectionLost (a fault of this side): why it has ended.
            HandlerFailed: `on_event` raised, and no other call has reported it.
            UsageError: the timeout is wrong.
        """
        ended = self._link.wait(Deadline(timeout))
        if self._handler is not None:
            self._handler.check()
        return ended

    def close(self, timeout: float = 5.0) -> None:
        """Send what was accepted and wait for the answers, for `timeout` seconds at most, then disconnect.

        A `send_many` that runs in another thread takes no more bodies than it is about to, 8 MiB at most, and raises
        UsageError once these are stored; the error's `stored` says how many messages are.
        What is not done by then fails, and `on_event` is given what has come until then; it isn't
        called again after this returns, only a call that hangs may go on. New calls raise
        UsageError. If it is broken off, as by Ctrl-C, it goes on in the client's thread. Any
        thread, also the handler's, which then receives nothing more. Closing twice does nothing.

        Raises:
            HandlerFailed: `on_event` raised, and no other call has reported it; the client is
                closed. Never in the handler's own thread.
            UsageError: the timeout is below 0 or no number; the client stays open.
        """
        deadline = Deadline(check_finite_timeout("closing", timeout))
        try:
            if self._link.begin_close():
                self._link.do(self._rooms.close, deadline.at)
                self._link.join(deadline)
                if self._handler is not None:
                    self._handler.silence(deadline, CLOSE_GRACE)
        except BaseException:  # of a signal
            self._close_beside(deadline)
            raise
        if self._handler is not None:
            self._handler.check()

    def _close_beside(self, deadline: Deadline) -> None:
        """Have the client close until a deadline, in its own thread."""
        if self._link.begin_close():
            self._link.do(self._rooms.close, deadline.at)

    def _take_events(self, way: str) -> None:
        """Settle on taking events in this way, and join the rooms of invitations from now on."""
        self._link.settle(way)
        self._rooms.begin_to_accept()
