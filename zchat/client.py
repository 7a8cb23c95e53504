"""The client: what a program that talks in rooms holds."""

from __future__ import annotations

import getpass
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from zchat.calls import Answer, Deadline, acquire, check_timeout, fresh
from zchat.defaults import DEFAULT_URL
from zchat.errors import ConnectionLost, DeadlineExceeded, HandlerFailed, Refused, UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.membership import Membership
from zchat.messages import Message, Position, RoomInfo
from zchat.names import check_name, fold
from zchat.reading import End, Reading
from zchat.receiver import Receiver
from zchat.room import Room
from zchat.wire import ID_BYTES, MAX_INT, messages_of

log = logging.getLogger("zchat.client")

ASK_TIMEOUT = 5.0
"""Seconds that a question to the broker may take."""

CLOSE_GRACE = 1.0
"""Seconds beyond its deadline that `close` gives the receive thread to end, and a running handler to return."""

ROOMS_PAGE = 500
"""Rooms asked for at a time."""

LINK_EVENTS = 100
"""Events of lost connections that wait to be taken; what comes beyond them is the same again and left out."""


class _Link:
    """Hold an event of the connection, and how far the readings were that had something then.

    A reading has one place in the queue, however much it holds: the event goes behind it until all
    that came before is taken.
    """

    __slots__ = ("_marks", "event")

    def __init__(self, event: Disconnected | Reconnected, marks: list[tuple[Reading, int]]) -> None:
        self.event = event
        self._marks = marks

    @property
    def early(self) -> bool:
        """Tell whether something that came before still stands in the queue."""
        return any(reading.queued and not reading.left and reading.taken < mark for reading, mark in self._marks)


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
    what the broker has.

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
    ) -> None:
        urls = [url] if isinstance(url, str) else list(url)
        if not urls:
            raise UsageError("a client needs the address of at least one broker")
        self.user = _check_name("user", _login() if user is None else user)
        if (seconds := check_timeout(timeout)) is None:
            raise UsageError(f"connecting has a timeout in seconds, {timeout!r} is none")
        _check_number("high_water_mark", high_water_mark)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._joining = threading.Lock()
        self._rooms: dict[str, Room] = {}
        self._readings: list[Reading] = []
        self._arrivals: SimpleQueue[Reading | End | _Link] = SimpleQueue()
        self._links = 0
        self._link_told = False
        self._consumer: str | None = None
        self._closed = False
        self._ended = threading.Event()
        self._handler_failed: HandlerFailed | None = None
        self._silent = threading.Event()
        self._handler: threading.Thread | None = None
        self._receiver = self._connect(urls, seconds, high_water_mark)
        if on_event is not None:
            self._consumer = "on_event"
            self._handler = threading.Thread(target=self._handle, args=(on_event,), name="zchat-events", daemon=True)
            self._handler.start()

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
        _check_name("room", name)
        if after is not None:
            if not isinstance(after, tuple) or len(after) != 2:
                raise UsageError(f"join: after is a Position, as Room.position gives it, not {after!r}")
            _check_number("the position's epoch", after[0])
            _check_number("the position's seq", after[1])
        with self._turn(deadline, f"joining {name}"):
            room = self._rooms.get(fold(name))
            if room is not None and not room._membership.left:
                if after is not None:
                    raise UsageError(f"you are in {room.name} already: leave it before you join at a position")
                return room
            if room is not None:  # a broker refused to have it joined again
                self._readings.remove(room._reading)
                del self._rooms[fold(name)]
            reading = Reading(self._arrived, partial(receiver.do, receiver.core.credit))
            answer = Answer()
            self._readings.append(reading)
            try:
                receiver.do(receiver.core.join, name, after, create, answer, reading)
                membership: Membership = answer.wait(deadline, f"joining {name}")
                room = self._rooms[fold(name)] = Room(self, membership, reading)
            except BaseException:  # Ctrl-C too: nobody would have the room
                self._rooms.pop(fold(name), None)
                self._forget(reading)
                if not answer.withdraw() and answer.result is not None:
                    receiver.do(receiver.core.leave, answer.result, Answer())
                raise
            return room

    def leave(self, room: Room, *, timeout: float | None = ASK_TIMEOUT) -> None:
        """Leave a room; as `Room.leave`."""
        receiver = self._connection()
        deadline = Deadline(timeout)
        with self._turn(deadline, f"leaving {room.name}"):
            if self._rooms.get(fold(room.name)) is not room:
                return  # left before, and perhaps joined again since
            del self._rooms[fold(room.name)]
            answer = Answer()
            room._membership.left = True
            room._reading.left = True
            room._reading.end(None)
            self._forget(room._reading)
            receiver.do(receiver.core.leave, room._membership, answer)
            answer.wait(deadline, f"leaving {room.name}")

    def rooms(self, *, timeout: float | None = ASK_TIMEOUT) -> list[RoomInfo]:
        """Return the broker's rooms, by name.

        `timeout`: seconds for all pages of the list together, None for ever. Any thread.

        Raises:
            UsageError: the timeout is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        deadline = Deadline(timeout)
        found: list[RoomInfo] = []
        while True:
            last = found[-1].name if found else None
            rows, more = self._ask("rooms", (last, ROOMS_PAGE), _page_of_rooms, deadline, "the list of rooms")
            found += rows
            if not more or not rows:
                return found

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
        `timeout`: seconds for all pages together, None for ever. Any thread.

        Raises:
            NoSuchRoom, BadName, StoreFailed: the broker's reasons.
            UsageError: an argument is wrong, or the client is closed.
            DeadlineExceeded, ConnectionLost: no answer.
        """
        _check_name("room", name)
        for bound, value in (("after", after), ("before", before), ("limit", limit)):
            if value is not None or bound == "limit":
                _check_number(bound, value)
        deadline = Deadline(timeout)
        found: list[Message] = []
        more = limit > 0
        while more:
            fields = (name, after, before, limit - len(found))
            page = self._ask("history", fields, _page_of_history, deadline, f"the history of {name}")
            room, _epoch, start, upto, more, blocks = page
            found += messages_of(room, blocks, start, upto)
            after = upto
            more = more and bool(blocks) and len(found) < limit
        return found

    # -- events ----------------------------------------------------------------------------------

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield every event of every joined room, in order, until `timeout` seconds of silence.

        None waits until the client is closed, 0 takes what is there. A gap is an event here, and
        so are a lost connection and the next one.

        Raises:
            Refused, ProtocolError: why the client, or one of its rooms, has ended, after all that came.
            UsageError: the timeout is wrong, the client is closed, or its events are taken in another way.
        """
        timeout = check_timeout(timeout)
        self._consume("events")
        return self._events(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the client is closed or refused for good; True if it has ended.

        `timeout`: seconds, 0 for a look, None for ever. Any thread.

        Raises:
            Refused, ProtocolError: why it has ended.
            HandlerFailed: `on_event` raised, and no other call has told of it.
            UsageError: the timeout is wrong.
        """
        ended = self._ended.wait(check_timeout(timeout))
        if ended and self._receiver.error is not None:
            raise fresh(self._receiver.error)
        self._tell_of_the_handler()
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
        if (seconds := check_timeout(timeout)) is None:
            raise UsageError(f"closing has a timeout in seconds, {timeout!r} is none")
        with self._lock:
            closed, self._closed = self._closed, True
        if os.getpid() != self._pid:
            return
        if not closed:
            receiver, deadline = self._receiver, Deadline(seconds)
            receiver.do(receiver.core.close, deadline.at)
            receiver.thread.join(min(seconds + CLOSE_GRACE, threading.TIMEOUT_MAX))
            handler = self._handler
            if handler is None or handler is threading.current_thread():
                self._silent.set()
            else:
                handler.join(deadline.left)
                self._silent.set()
                handler.join(CLOSE_GRACE)
        self._tell_of_the_handler()

    # -- within zchat ------------------------------------------------------------------------------

    def _connection(self) -> Receiver:
        """Return the connection for a new call; raises UsageError if there may be none."""
        if self._closed:
            raise UsageError("this client is closed: make another one")
        if os.getpid() != self._pid:
            raise UsageError("this client was made before a fork: make one in the child")
        return self._receiver

    @contextmanager
    def _turn(self, deadline: Deadline, what: str) -> Iterator[None]:
        """Hold off other joins and leaves; raises DeadlineExceeded if another takes too long."""
        if not acquire(self._joining, deadline):
            raise DeadlineExceeded(f"{what}: another join or leave took more than {deadline.seconds:g} s")
        try:
            yield
        finally:
            self._joining.release()

    def _forget(self, reading: Reading) -> None:
        """Drop a room's reading, also from the queue of those with something to take."""
        reading.left = True
        self._readings.remove(reading)
        if reading.queued:
            for _ in range(self._arrivals.qsize()):
                try:
                    arrival = self._arrivals.get_nowait()
                except Empty:
                    return
                if arrival is not reading:
                    self._arrivals.put(arrival)

    def _consume(self, way: str) -> None:
        """Settle on one way of taking events; raises UsageError if it is another already."""
        self._connection()
        with self._lock:
            if self._consumer not in (None, way):
                raise UsageError(f"this client's events are taken by {self._consumer}: {way} can't be used beside it")
            self._consumer = way

    def _ask(
        self, word: str, fields: tuple[Any, ...], done: Callable[[list[Any]], Any], deadline: Deadline, what: str
    ) -> Any:
        receiver = self._connection()
        answer = Answer()
        receiver.do(receiver.core.ask, word, fields, answer, done)
        return answer.wait(deadline, what)

    def _connect(self, urls: list[str], timeout: float, mark: int) -> Receiver:
        deadline = Deadline(timeout)
        refused: ZchatError | None = None
        for index in range(len(urls)):
            producer, token = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
            receiver = Receiver(
                [*urls[index:], *urls[:index]], self.user, producer, token, mark, self._on_link, self._on_end
            )
            left = (deadline.left or 0.0) / (len(urls) - index)
            receiver.greeted.wait(left)
            if receiver.core.welcome is not None and receiver.error is None:
                return receiver
            error = receiver.error
            receiver.do(receiver.core.close, 0.0)
            receiver.thread.join(CLOSE_GRACE)
            if isinstance(error, Refused) and not error.retryable:
                raise error
            self._arrivals = SimpleQueue()
            self._ended.clear()
            refused = error or refused
        if refused is not None:
            raise refused
        where = " or ".join(urls)
        raise ConnectionLost(f"no broker answered at {where} within {timeout:g} s; is one running there?")

    def _on_end(self, error: ZchatError | None) -> None:
        for reading in list(self._readings):
            reading.end(error)
        self._arrivals.put(End(error))
        self._ended.set()

    def _on_link(self, event: Disconnected | Reconnected) -> None:
        if self._consumer == "messages":
            return
        with self._lock:
            if isinstance(event, Disconnected):
                self._link_told = self._links < LINK_EVENTS
            if self._link_told:
                self._links += 1
                marks = [(reading, reading.pushed) for reading in list(self._readings) if reading.queued]
                self._arrivals.put(_Link(event, marks))

    def _arrived(self, reading: Reading) -> None:
        if self._consumer != "messages" and not reading.queued and not reading.left:
            reading.queued = True  # one place a room, so that the queue is bounded whether it is read or not
            self._arrivals.put(reading)

    def _events(self, timeout: float | None) -> Iterator[Event]:
        while True:
            try:
                arrival = self._arrivals.get(timeout != 0, timeout or None)
            except Empty:
                return
            if isinstance(arrival, End):
                behind = not self._arrivals.empty()
                self._arrivals.put(arrival)  # for whoever else reads
                if behind:
                    continue
                if arrival.error is not None:
                    raise fresh(arrival.error)
                return
            if isinstance(arrival, _Link):
                if arrival.early:
                    self._arrivals.put(arrival)
                    continue
                with self._lock:
                    self._links -= 1
                yield arrival.event
                continue
            arrival.queued = False  # first: what comes from here on puts it in its place again
            chunk = arrival.take(0)
            if chunk is None:
                continue
            try:
                if isinstance(chunk, Gap):
                    yield chunk
                else:
                    yield from chunk.messages
            finally:
                if not isinstance(chunk, Gap):
                    arrival.put_back(chunk)
                if arrival.waiting:
                    self._arrived(arrival)

    def _handle(self, handler: Callable[[Event], object]) -> None:
        events = self._events(None)
        while not self._silent.is_set():  # before an event is taken: one that isn't handled stays behind the position
            try:
                event = next(events)
            except StopIteration:
                return
            except ZchatError as error:
                log.info("no more events: %s", error)
                if self._receiver.core.over:
                    return
                self._remember(HandlerFailed(f"a room has ended: {error}"), error)
                events = self._events(None)
                continue
            if self._silent.is_set():
                return
            try:
                handler(event)
            except Exception as error:
                if self._closed and isinstance(error, UsageError):
                    log.info("no more events: %s", error)  # it uses the client, which is closed
                    return
                log.exception("the handler raised over %r", event)
                self._remember(HandlerFailed(f"the event handler raised {error!r}"), error)

    def _remember(self, failed: HandlerFailed, cause: Exception) -> None:
        if self._handler_failed is None:
            self._handler_failed = failed
            failed.__cause__ = cause

    def _tell_of_the_handler(self) -> None:
        """Raise the handler's first failure, once, but not to the handler."""
        if threading.current_thread() is not self._handler:
            with self._lock:
                failed, self._handler_failed = self._handler_failed, None
            if failed is not None:
                raise failed


def _page_of_history(result: list[Any]) -> list[Any]:
    if len(result) < 6 or type(result[3]) is not int or type(result[5]) is not list:
        raise ValueError("a page of history is a room, an epoch, two seqs, whether there is more, and blocks")
    return result[:6]


def _page_of_rooms(result: list[Any]) -> tuple[list[RoomInfo], bool]:
    rows, more = result[:2]
    return [RoomInfo(*row[:4]) for row in rows], bool(more)


def _check_name(kind: str, name: str) -> str:
    if not isinstance(name, str):
        raise UsageError(f"the name of a {kind} is text, not {name!r}")
    return check_name(kind, name)


def _check_number(what: str, value: int | None) -> None:
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise UsageError(f"{what} is a number from 0 to {MAX_INT}, not {value!r}")


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError("the login name can't be told: give a user name") from error
