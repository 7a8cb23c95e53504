"""The client: what a program that talks in rooms holds."""

from __future__ import annotations

import getpass
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from zchat.client.event_queue import Consumer
from zchat.client.joined_rooms import Rooms
from zchat.client.room import Room
from zchat.client.waiting import Answer, Deadline
from zchat.defaults import DEFAULT_URL
from zchat.direct import shown_name
from zchat.errors import ConnectionLost, HandlerFailed, ProtocolError, Refused, UsageError, ZchatError
from zchat.events import Event
from zchat.messages import BusyRoom, Histogram, Member, Message, Position, RoomInfo, Stats
from zchat.protocol.arguments import (
    check_finite_timeout,
    check_number,
    check_position,
    check_room,
    check_timeout,
    check_urls,
    check_user,
    direct_room,
)
from zchat.protocol.outcomes import fresh
from zchat.transport.receiver import Receiver
from zchat.wire.blocks import messages_of
from zchat.wire.limits import ID_BYTES
from zchat.wire.replies import Figures, HistoryPage, Marked, MembersPage, RoomRow, RoomsPage

ASK_TIMEOUT = 5.0
"""Seconds that a question to the broker may take."""

CLOSE_GRACE = 1.0
"""Seconds beyond its deadline that `close` gives the receive thread to end, and a running handler to return."""

ROOMS_PAGE = 500
"""Rooms asked for at a time."""

MEMBERS_PAGE = 500
"""Members of a room asked for at a time."""


class Client:
    """Talk to a broker in rooms. Connects when it is made; any number of threads may call.

    When the connection is lost it makes another one by itself, until it is closed: rooms go on
    where they were, unanswered messages are sent again and stored once; calls wait for it up to
    their own deadlines. A broker that refuses it for good ends it.

    `url`: the broker's address, or several that are tried in turn. `user`: the name that others
    see, None for the login name; without keys it is a claim. `timeout`: seconds until a broker
    must have answered, for all addresses together. `on_event`: called with every event of every
    joined room, in order, in a thread of its own, instead of `events()` or `messages()`; what it
    raises is logged, it goes on, and `wait`, `close` or the end of the `with` block raises the
    first such failure. `high_water_mark`: notifications that a room may have unanswered, 0 for
    what the broker has. `invitations`: join direct rooms by itself in which somebody has written,
    if the application takes `events()` or has a handler.

    Attributes: `user`, the name in use, and `url`, the address that answered.

    Raises:
        ConnectionLost: no broker answered.
        UsageError: an argument is wrong; AddressError: `url` is no address.
        BadName: the user's name breaks the rules; VersionRefused: the broker is too old or new.
        Busy: the broker is full; Closing: it is going down. Both may pass.
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        user: str | None = None,
        timeout: float = 5.0,
        on_event: Callable[[Event], object] | None = None,
        high_water_mark: int = 0,
        invitations: bool = True,
    ) -> None:
        urls = check_urls(url)
        self.user = check_user(_login() if user is None else user)
        seconds = check_finite_timeout("connecting", timeout)
        check_number("high_water_mark", high_water_mark)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._ended = threading.Event()
        self._consumer = Consumer()
        self._rooms = Rooms(self, self._consumer, invitations=invitations)
        self._receiver = self._connect(urls, seconds, high_water_mark)
        if on_event is not None:
            self._consume("on_event")
            self._consumer.handle(on_event)

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

    @property
    def url(self) -> str:
        """Return the address of the broker that the client is, or was last, connected to."""
        return self._receiver.url

    @property
    def max_message(self) -> int:
        """Return the broker's limit of one message, in bytes of MessagePack."""
        welcome = self._receiver.core.welcome
        assert welcome is not None, "there is a client only once there was a welcome"
        return welcome.max_message

    # -- rooms -----------------------------------------------------------------------------------

    def join(
        self, name: str, *, after: Position | None = None, create: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> Room:
        """Join a room and return it; joining twice returns the same room.

        Messages come from now on, or from behind the position `after`. `create`: make the room
        if there is none. `timeout`: seconds for all of it, None for ever; joins and leaves take
        turns. Any thread.

        Raises:
            BadName, NoSuchRoom, LimitReached: the broker's reasons.
            UsageError: an argument is wrong, `after` is given for a room that is joined already,
                or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        receiver = self._connection()
        deadline = Deadline(timeout)
        if after is not None:
            check_position(after)
        return self._rooms.join(receiver, check_room(self.user, name), name, after, create, deadline)

    def direct(self, user: str, *, timeout: float | None = ASK_TIMEOUT) -> Room:
        """Return the direct room with another user, which is open and visible to the two alone.

        Its name is `@` and theirs, and `join` of that name does the same: messages come from now on,
        or from where an invitation says. Their clients join when something is said. `timeout`: as
        in `join`. Any thread.

        Raises:
            BadName: the name breaks the rules, or is the own one.
            LimitReached, UsageError, DeadlineExceeded, ConnectionLost: as in `join`.
        """
        return self.join(direct_room(user), timeout=timeout)

    def leave(self, room: Room, *, timeout: float | None = ASK_TIMEOUT) -> None:
        """Leave a room; as `Room.leave`."""
        receiver = self._connection()
        self._rooms.leave(receiver, room, Deadline(timeout))

    def rooms(self, *, timeout: float | None = ASK_TIMEOUT) -> list[RoomInfo]:
        """Return the broker's rooms and the own direct rooms, by name, with what is unread in each.

        `timeout`: seconds for all pages of the list together, None for ever. Any thread.

        Raises:
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        deadline = Deadline(timeout)
        found: list[RoomInfo] = []
        last: str | None = None
        while True:
            page = partial(_page_of_rooms, self.user)
            rows, last, more = self._ask("rooms", (last, ROOMS_PAGE), page, deadline, "the list of rooms")
            found += rows
            if not more or not rows:
                return found

    def members(self, name: str, *, timeout: float | None = ASK_TIMEOUT) -> list[Member]:
        """Return who is in a room, by name; the room need not be joined.

        `timeout`: seconds for all pages of the list together, None for ever. Any thread.

        Raises:
            NoSuchRoom, BadName: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        deadline = Deadline(timeout)
        room = check_room(self.user, name)
        found: list[Member] = []
        while True:
            last = found[-1].user if found else None
            fields = (room, last, MEMBERS_PAGE)
            rows, more = self._ask("members", fields, _page_of_members, deadline, f"the members of {name}")
            found += rows
            if not more or not rows:
                return found

    def stats(self, *, timeout: float | None = ASK_TIMEOUT) -> Stats:
        """Return what the broker tells of itself: counts, who lags, what takes how long, which rooms are busy.

        `timeout`: as in `rooms`. Any thread.

        Raises:
            Refused: the broker is older and doesn't know the question, or too busy.
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        found: Stats = self._ask("stats", (), _stats, Deadline(timeout), "the broker's figures")
        return found

    def mark_read(self, name: str, seq: int, *, timeout: float | None = ASK_TIMEOUT) -> int:
        """Mark a room as read up to `seq`, and return the mark that stands once that is stored.

        It never goes back, and never beyond the log's end. The room need not be joined; in one
        that is, `Room.mark_read` doesn't wait. `timeout` is in seconds, None for ever. Any thread.

        Raises:
            NoSuchRoom, BadName, Busy, StoreFailed: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        deadline = Deadline(timeout)
        check_number("seq", seq)
        stands: int = self._ask("mark", (check_room(self.user, name), seq), _mark, deadline, f"marking {name} as read")
        return stands

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

        Those behind seq `after` and before seq `before` (both exclusive, None: no such bound),
        `limit` at most, 0 for none: the oldest of them if `after` is given, else the newest.
        `timeout`: seconds for all pages together, None for ever. Any thread. All are of one log:
        when the connection is lost between two pages, it begins anew.

        Raises:
            NoSuchRoom, BadName, StoreFailed: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        wire = check_room(self.user, name)
        for bound, value in (("after", after), ("before", before)):
            if value is not None:
                check_number(bound, value)
        check_number("limit", limit)
        deadline = Deadline(timeout)
        found: list[Message] = []
        begin, connection = after, 0
        more = limit > 0
        while more:
            fields = (wire, after, before, limit - len(found))
            answered, page = self._ask("history", fields, self._over, deadline, f"the history of {name}")
            more = page.more
            if found and answered != connection:
                found.clear()
                after = begin
                more = True
                continue
            connection = answered
            found += messages_of(shown_name(self.user, page.room), page.blocks, page.after, page.upto)
            after = page.upto
            more = more and bool(page.blocks) and len(found) < limit
        return found

    # -- events ----------------------------------------------------------------------------------

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield every event of every joined room, in order, until `timeout` seconds of silence.

        None waits until the client is closed, 0 takes what is there. A gap is an event here, and
        so are a lost connection and the next one, and who comes, goes, types and reads: of these
        the difference to what was told last. `zchat.events` has them all.

        Raises:
            Refused, ProtocolError, ConnectionLost (a fault of this side): why the client, or one of
                its rooms, has ended, after all that came.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._consume("events")
        return self._consumer.events(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the client is closed or refused for good; True if it has ended.

        `timeout`: seconds, 0 for a look, None for ever. Any thread.

        Raises:
            Refused, ProtocolError, ConnectionLost (a fault of this side): why it has ended.
            HandlerFailed: `on_event` raised, and no other call has told of it.
            UsageError: the timeout is wrong.
        """
        deadline = Deadline(timeout)
        if os.getpid() != self._pid:
            raise UsageError("this client was made before a fork: make one in the child")
        ended = self._ended.wait(deadline.left)
        if ended and self._receiver.error is not None:
            raise fresh(self._receiver.error)
        self._consumer.tell_of_the_handler()
        return ended

    def close(self, timeout: float = 5.0) -> None:
        """Send and answer what was accepted, for `timeout` seconds at most, and say goodbye.

        What is not done by then fails, and `on_event` is given what has come until then; it isn't
        called again after this returns, only a call that hangs may go on. New calls raise
        UsageError. Any thread, also the handler's, which then gets nothing more. Closing twice
        does nothing.

        Raises:
            HandlerFailed: `on_event` raised, and no other call has told of it; the client is
                closed. Never in the handler's own thread.
            UsageError: the timeout is below 0 or no number; the client stays open.
        """
        seconds = check_finite_timeout("closing", timeout)
        with self._lock:
            closed, self._closed = self._closed, True
        self._consumer.closed = True
        if os.getpid() != self._pid:
            return
        if not closed:
            receiver, deadline = self._receiver, Deadline(seconds)
            self._rooms.mark_read()
            receiver.do(receiver.core.close, deadline.at)
            receiver.thread.join(min(seconds + CLOSE_GRACE, threading.TIMEOUT_MAX))
            self._consumer.silence(deadline, CLOSE_GRACE)
        self._consumer.tell_of_the_handler()

    # -- within zchat ------------------------------------------------------------------------------

    def _connection(self) -> Receiver:
        """Return the connection for a new call; raises UsageError if there may be none."""
        if self._closed:
            raise UsageError("this client is closed: make another one")
        if os.getpid() != self._pid:
            raise UsageError("this client was made before a fork: make one in the child")
        return self._receiver

    def _consume(self, way: str) -> None:
        """Settle on one way of taking events; raises UsageError if it is another already."""
        receiver = self._connection()
        self._consumer.settle(way)
        if way != "messages":
            self._rooms.accept(receiver)

    def _ask(
        self, word: str, fields: tuple[Any, ...], done: Callable[[Any], Any], deadline: Deadline, what: str
    ) -> Any:
        receiver = self._connection()
        answer = Answer()
        receiver.do(receiver.core.ask, word, fields, answer, done)
        return answer.wait(deadline, what)

    def _over(self, page: HistoryPage) -> tuple[int, HistoryPage]:
        """Return a page with the number of the connection that it came over. The receive thread's."""
        return self._receiver.core.connections, page

    def _connect(self, urls: list[str], timeout: float, mark: int) -> Receiver:
        deadline = Deadline(timeout)
        consumer = self._consumer
        refused: ZchatError | None = None
        for index in range(len(urls)):
            producer, token = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
            first = [*urls[index:], *urls[:index]]
            told = consumer.link, self._rooms.invited, self._on_end
            receiver = Receiver(first, self.user, producer, token, mark, *told)
            left = (deadline.left or 0.0) / (len(urls) - index)
            receiver.greeted.wait(left)
            if receiver.core.welcome is not None and receiver.error is None:
                return receiver
            error = receiver.error
            receiver.do(receiver.core.close, 0.0)
            receiver.thread.join(CLOSE_GRACE)
            if isinstance(error, Refused) and not error.retryable:
                raise error
            consumer.begin_anew()
            self._ended.clear()
            refused = error or refused
        if refused is not None:
            raise refused
        where = " or ".join(urls)
        raise ConnectionLost(f"no broker answered at {where} within {timeout:g} s; is one running there?")

    def _on_end(self, error: ZchatError | None) -> None:
        self._consumer.end(error)
        self._ended.set()


def _page_of_rooms(user: str, page: RoomsPage) -> tuple[list[RoomInfo], str | None, bool]:
    return [_room(user, each) for each in page.rooms], page.rooms[-1].name if page.rooms else None, page.more


def _room(user: str, row: RoomRow) -> RoomInfo:
    unread = None if row.read_mark is None else max(0, row.last - max(row.read_mark, row.first - 1))
    return RoomInfo(shown_name(user, row.name), row.members, row.first, row.last, unread)


def _page_of_members(page: MembersPage) -> tuple[list[Member], bool]:
    return [Member(each.user, each.since, each.read_mark, each.typing) for each in page.people], page.more


def _stats(figures: Figures) -> Stats:
    try:
        return Stats(
            _numbers(figures.counts),
            _numbers(figures.refused),
            [(str(room), str(user), int(messages)) for room, user, messages, *_ in figures.lagging],
            {str(name): _histogram(*histogram[:3]) for name, histogram in figures.times.items()},
            [BusyRoom(str(name), *map(int, numbers[:3])) for name, *numbers in figures.busiest],
        )
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"the broker sent malformed figures: {error}") from error


def _histogram(bounds: list[int], counts: list[int], total: int) -> Histogram:
    return Histogram(list(map(int, bounds)), list(map(int, counts)), int(total))


def _numbers(counted: dict[str, int]) -> dict[str, int]:
    return {str(name): int(number) for name, number in counted.items()}


def _mark(answer: Marked) -> int:
    return answer.seq


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError("the login name can't be told: give a user name") from error
