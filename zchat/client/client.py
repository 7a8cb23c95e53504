"""The client with threads: what a program that talks in rooms holds."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from weakref import ref

from zchat.address import DEFAULT_URL
from zchat.checks import check_finite_timeout, check_flag, check_timeout, shown
from zchat.client.event_queue import EventQueue
from zchat.client.handler import Handler, events_of
from zchat.client.joined_rooms import JoinedRooms
from zchat.client.link import CLOSE_GRACE, ClientLink, Lease
from zchat.client.room import Room
from zchat.client.waiting import Deadline, finish
from zchat.errors import HandlerFailed, UsageError
from zchat.events import Event
from zchat.messages import Member, Message, Position, RoomInfo
from zchat.protocol.faces import steps
from zchat.protocol.faces.arguments import check_handler, check_number, check_urls, check_user, direct_room
from zchat.protocol.faces.face import BaseClient
from zchat.protocol.faces.invitations import Invitations
from zchat.stats import Stats
from zchat.transport.keys import Credentials, Key, credentials

ASK_TIMEOUT = 5.0
"""Seconds that a request to the broker may take."""


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
    written, if the application takes `events()` or has a handler. `key`: the user's pair of keys,
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
        broker's door stays shut (`NotLetIn`). WrongName: the name is another key's.
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
        invitations: bool = True,
        key: Key | str | PathLike[str] | None = None,
        server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    ) -> None:
        urls = check_urls(url)
        given = credentials(key, server_key)
        user = check_user(_name(given) if user is None else user)
        seconds = check_finite_timeout("connecting", timeout)
        check_number("high_water_mark", high_water_mark)
        check_flag("invitations", invitations)
        if on_event is not None:
            check_handler(on_event)
        kept = Invitations(wanted=invitations)
        self._lease = lease = Lease(user)
        try:
            events, window = EventQueue(), high_water_mark
            link = lease.link = ClientLink(urls, user, seconds, window, events, kept.receive, lease, given)
            super().__init__(link)
            self._rooms = JoinedRooms(link, kept, partial(Room, ref(lease)))
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

    # -- rooms -----------------------------------------------------------------------------------

    def join(
        self,
        name: str,
        *,
        after: Position | None = None,
        create: bool = True,
        echo: bool = False,
        timeout: float | None = ASK_TIMEOUT,
    ) -> Room:
        """Join a room and return it; joining twice returns the same room.

        Messages come from now on, or those after the position `after`. `create`: create the room
        if it doesn't exist. `echo`: the messages of this client come too, in their place among the
        others, as a program wants that shares one client among many. `timeout`: seconds for all of
        it, None for no limit; joins and leaves take turns. Any thread.

        Raises:
            BadName, NoSuchRoom, LimitReached: the broker's reasons.
            UsageError: an argument is wrong, `after` or `echo` is given for a room that is joined
                otherwise already, or the client is closed.
            VersionRefused: `echo` is given, and the broker is too old for it.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        check_flag("create", create)
        check_flag("echo", echo)
        room: Room = finish(steps.join(self._link, self._rooms, name, after, create, Deadline(timeout), echo=echo))
        return room

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

    def rooms(self, *, timeout: float | None = ASK_TIMEOUT) -> list[RoomInfo]:
        """Return the broker's rooms and the user's direct rooms, by name, with what is unread in each.

        `timeout`: seconds for all pages of the list together, None for no limit. Any thread.

        Raises:
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.rooms(self._link, Deadline(timeout)))

    def members(self, name: str, *, timeout: float | None = ASK_TIMEOUT) -> list[Member]:
        """Return the members of a room, by name; the room need not be joined.

        `timeout`: seconds for all pages of the list together, None for no limit. Any thread.

        Raises:
            NoSuchRoom, BadName: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.members(self._link, name, Deadline(timeout)))

    def stats(self, *, timeout: float | None = ASK_TIMEOUT) -> Stats:
        """Return the broker's figures: counts, members that lag, durations, busy rooms.

        `timeout`: as in `rooms`. Any thread.

        Raises:
            Refused: the broker is older and doesn't know this request, or is too busy.
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        return finish(steps.stats(self._link, Deadline(timeout)))

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

    # -- events ----------------------------------------------------------------------------------

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield every event of every joined room, in order, until `timeout` seconds of silence.

        None waits until the client is closed, 0 takes what is there. Gaps are events here, and so are
        lost and restored connections, and users who come, go, type and read: of these, the
        difference from what was last reported. `zchat.events` has them all. Any thread.

        Raises:
            Refused, ProtocolError, ConnectionLost (a fault of this side): why the client, or one of
                its rooms, has ended, after all that came.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._take_events("events")
        return events_of(self._link.events, timeout, self._link.check_process, self._lease)

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
        except BaseException:  # of a signal: what has begun goes on in the client's thread
            if self._link.begin_close():
                self._link.do(self._rooms.close, deadline.at)
            raise
        if self._handler is not None:
            self._handler.check()

    def _take_events(self, way: str) -> None:
        """Settle on taking events in this way, and join the rooms of invitations from now on."""
        self._link.settle(way)
        self._rooms.begin_to_accept()


def _name(given: Credentials) -> str:
    return _login() if given.key is None or not given.key.user else given.key.user


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError("the login name is unknown: give a user name") from error
