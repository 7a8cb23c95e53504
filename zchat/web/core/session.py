"""A page's session: its commands in their order, and what answers them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Any

from zchat.errors import KeyRemoved, NoSession, NotAMember, VersionRefused, ZchatError
from zchat.events import ReadMark, Removed
from zchat.messages import RoomInfo
from zchat.names import fold, is_same
from zchat.web.core import frames, limits, refusals
from zchat.web.core.commands import Command, NoCommand, check_name, decode
from zchat.web.core.entry import Entry, newest_rows
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller, Patterns
from zchat.web.core.outcomes import Answer, Asked, Remembered, Submission
from zchat.web.core.port import Connection, Work
from zchat.web.core.rates import Rates
from zchat.web.core.refusals import Close, Turned
from zchat.web.core.timers import Timer
from zchat.web.core.users import Place, User
from zchat.wire.blocks import encode_body


class Session:
    """A browser, from the opening of its connection to its end."""

    def __init__(self, gateway: Gateway, connection: Connection, caller: Caller) -> None:
        world, now = gateway.context.world, gateway.context.world.now()
        self.connection = connection
        self.caller = caller
        self.over = False
        """True once the connection is lost, or is being closed."""
        self._gateway = gateway
        self._context = gateway.context
        self._world = world
        self._user: User | None = None
        self._rooms: Patterns | None = None  # where the token lets the user in, None for everywhere
        self._remembered: Remembered | None = None
        self._entries: dict[str, Entry] = {}  # the rooms it is in, or on its way into, by their folded names
        self._rates = Rates(now)
        self._queue: deque[tuple[Command | NoCommand, int]] = deque()  # with the bytes of each
        self._queued_bytes = 0
        self._held = False  # nothing more is read meanwhile
        self._unanswered = 0
        self._working = False
        self._worker: Work | None = None
        self._ends: Timer | None = gateway.context.timers.at(now + limits.GREETING_SECONDS, self._not_greeted)
        gateway.context.counters.accepted += 1
        gateway.enter(self)

    # -- the connection ----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take a text frame."""
        if self.over:
            return
        command: Command | NoCommand
        try:
            command = decode(data)
            self._context.counters.commands += 1
        except NoCommand as error:
            if not error.legible:
                self._fail(error.id, error, Close.MALFORMED)
                return
            command = error  # what it is worth is known in its turn: it may come right behind a greeting
        if isinstance(command, Command) and command.op == "ack":
            self._acknowledge(command)
        elif self._within_bounds(command) and not self.over:
            self._unanswered += 1
            self._queue.append((command, len(data)))
            self._queued_bytes += len(data)
            self._hold()
            self._work()

    def count_frame(self) -> None:
        """Count a frame that is no command: a ping, a pong, or a part of a command that goes on."""
        if not self.over and (error := self._rates.take_frame(self._world.now())) is not None:
            self._fail(None, error, Close.TOO_FAST)

    def resumed(self) -> None:
        """Go on: what waited in the connection has gone out."""
        self._work()
        for entry in tuple(self._entries.values()):
            if entry.member is not None:
                entry.member.go_on()

    def lost(self) -> None:
        """End: there is no connection any more. What was sent is stored all the same."""
        if self.over:
            return
        self.over = True
        if self._worker is not None:
            self._worker.cancel()
        if self._ends is not None:
            self._ends.cancel()
        self._queue.clear()
        for key in tuple(self._entries):
            self._unfollow(key, at_once=False)
        if self._user is not None:
            self._user.go(self)
        self._gateway.gone(self)
        if self._remembered is not None and self._remembered.holder is self:
            self._gateway.release(self._remembered)

    def end(self, code: int, text: str) -> None:
        """Close the connection."""
        if not self.over:
            self._context.counters.closed[code] += 1
            self.lost()
            self.connection.close(code, text)

    def say_bye(self, text: str) -> None:
        """Close the connection for a reason of the gateway's own: the page comes again, at a moment by chance."""
        retry = int(1000 * limits.RETRY_SECONDS * self._world.fraction())
        self.connection.write(frames.frame({"op": "bye", "text": text, "retry": retry}))
        self.end(Close.AGAIN, text)

    # -- what a user's session tells (`users.Page`) ---------------------------------------------------

    def tell(self, frame: bytes, *, needed: bool) -> None:
        """See `zchat.web.core.users.Page`."""
        if needed or not self.connection.paused:
            self.connection.write(frame)
        else:
            self._context.counters.dropped_events += 1

    def tell_if_nameless(self, frame: bytes) -> None:
        """Write a frame that others receive by their user's session."""
        if self._user is None:
            self.tell(frame, needed=True)

    def invited(self, room: str, frame: bytes) -> None:
        """See `zchat.web.core.users.Page`."""
        entry = self._entries.get(room)
        if (entry is None or entry.member is None) and (self._rooms is None or room in self._rooms):
            self.tell(frame, needed=False)

    def _removed(self, key: str, event: Removed | None) -> None:
        """Follow a room no longer from which the user was removed; None: the page comes again, and goes on there."""
        if event is None:
            self.say_bye("a room is to be joined again")
            return
        member = self._entries[key].member
        assert member is not None, "it has come in"
        self._unfollow(key, at_once=True)
        self.connection.write(
            frames.frame(
                {"op": "removed", "room": member.channel.name, "code": event.code, "reason": event.reason}
                | {"by": event.by, "until": None if event.until is None else int(event.until)}
            )
        )

    def user_ended(self, error: ZchatError | None) -> None:
        """See `zchat.web.core.users.Page`."""
        if error is None or refusals.is_retryable(error) or isinstance(error, KeyRemoved):  # the gateway's, no user's
            self.say_bye("the session with the broker has ended")
        else:
            self._fail(None, error, Close.NOT_LET_IN)

    # -- bounds ------------------------------------------------------------------------------------

    def _within_bounds(self, command: Command | NoCommand) -> bool:
        if self._unanswered >= limits.MAX_UNANSWERED:
            text = f"{limits.MAX_UNANSWERED} commands of a connection may wait"
            error: Turned | None = Turned("too_many_requests", text)
        elif isinstance(command, Command):
            error = self._rates.take(command.op, self._world.now())
        else:
            error = None
        if error is not None:
            self._refuse(command.id, error)
        if error is not None or isinstance(command, NoCommand):  # one call of a page was wrong, not all of it
            self._count_refused()
        return error is None

    def _count_refused(self) -> None:
        if (error := self._rates.refused(self._world.now())) is not None:
            self._fail(None, error, Close.TOO_FAST)

    def _acknowledge(self, command: Command) -> None:
        """Take an acknowledgement; one that changes nothing costs as much as a command."""
        try:
            check_name(command)
        except Turned as error:
            self._refuse(None, error)
        else:
            entry = self._entries.get(fold(command.fields["room"]))
            member = None if entry is None else entry.member
            if member is not None and member.acknowledge(command.fields["taken"]):
                return
        if self._rates.take(command.op, self._world.now()) is not None:
            self._context.counters.dropped_acks += 1
            self._count_refused()

    # -- carrying out ------------------------------------------------------------------------------

    def _work(self) -> None:
        if not self._working and self._queue and not self.over:
            self._working = True
            self._keep(self._world.spawn(self._carry_out_all()))

    def _keep(self, worker: Work) -> None:
        """Keep the task, which may have ended, or have ended this connection, before it could be kept."""
        self._worker = worker
        if self.over:
            worker.cancel()

    async def _carry_out_all(self) -> None:
        """Carry out what has come, one by one: nothing overtakes a greeting, and messages keep their order."""
        try:
            while self._queue and not self.over and not self.connection.paused:
                command, size = self._queue.popleft()
                self._queued_bytes -= size
                await self._carry_out(command)
        finally:
            self._working = False

    def _hold(self) -> None:
        """Read nothing while so much waits."""
        held = self._queued_bytes > limits.MAX_QUEUED_BYTES
        if held is not self._held:
            self._held = held
            self.connection.hold(held)

    async def _carry_out(self, command: Command | NoCommand) -> None:
        sends = isinstance(command, Command) and command.op == "send"
        self._unanswered -= not sends
        self._hold()
        if isinstance(command, NoCommand):
            if self._remembered is None:
                self._fail(command.id, command, Close.MALFORMED)
            else:
                self._refuse(command.id, command)
            return
        try:
            if self._remembered is None and command.op != "hello":
                self._fail(command.id, NoSession("say hello first"), Close.MALFORMED)
                return
            check_name(command)
            found = await HANDLERS[command.op](self, command)
            if found is not None and command.id is not None:
                self._answer(command.id, found)
        except NoCommand as error:
            self._fail(command.id, error, Close.MALFORMED)
        except (Turned, ZchatError) as error:
            self._unanswered -= sends
            self._refuse(command.id, error)
            if command.op == "hello":
                self._turn_away(error)
        except Exception as error:
            self._world.failed(f"carrying out {command.op}", error)
            self.end(Close.FAULT, "the gateway has a fault, which its log describes")

    def _answer(self, number: int, found: dict[str, Any]) -> None:
        if not self.over:
            self.connection.write(frames.frame({"op": "ok", "id": number, **found}))

    def _refuse(self, number: int | None, error: Turned | ZchatError) -> None:
        if self.over:
            return
        found = refusals.fields(error)
        self._context.counters.refused[found["code"]] += 1
        which = {} if number is None else {"id": number}
        self.connection.write(frames.frame({"op": "error", **which, **found}))

    def _fail(self, number: int | None, error: Turned | ZchatError, code: Close) -> None:
        self._refuse(number, error)
        self.end(code, str(error)[:100])

    def _turn_away(self, error: Turned | ZchatError) -> None:
        """Close the connection of one who could not be let in."""
        if refusals.is_retryable(error):
            self.say_bye("not now")
        else:
            self.end(Close.NOT_LET_IN, "not let in")

    def _not_greeted(self) -> None:
        self._fail(None, NoSession(f"no hello came within {limits.GREETING_SECONDS:g} s"), Close.AGAIN)

    # -- commands ----------------------------------------------------------------------------------

    async def _hello(self, command: Command) -> None:
        if self._remembered is not None:
            raise NoCommand("hello comes once")
        found = command.fields
        if found["version"] != limits.VERSION:
            raise VersionRefused(f"this gateway speaks version {limits.VERSION} of the protocol")
        if self._ends is not None:  # the broker may take longer to let the user in
            self._ends.cancel()
            self._ends = None
        gateway, world = self._gateway, self._world
        login = gateway.letting_in.login(self.caller, found["user"], found["token"], world.wall())
        user = None
        if login is not None:
            if is_same(login.user, gateway.reader.user):  # else a page would have what the gateway may
                raise refusals.not_let_in(f"{login.user} is the gateway's own name: use another")
            user = gateway.user(login.user)
            if len(user.pages) >= limits.CONNECTIONS_A_USER:
                raise Turned("limit_reached", f"a user has {limits.CONNECTIONS_A_USER} connections at most")
            user.come(self)
            self._user = user
            self._rooms = login.rooms
            await user.ready()
        if login is not None and login.until != inf:
            self._end_with_token(login.until)
        name = None if user is None else user.client.user
        remembered, resumed = gateway.session(found["session"], name, self)
        self._remembered = remembered
        self._rates.greeted(world.now())
        found = {
            "user": name, "session": remembered.name, "resumed": resumed, "window": limits.WINDOW,
            "beat": int(1000 * limits.BEAT_SECONDS), "max": self._max_body,
        }  # fmt: skip
        self._answer(command.id or 0, found)
        if not (self.over or (gateway.up and (user is None or user.up))):
            self.connection.write(frames.link(False))

    def _end_with_token(self, until: float) -> None:
        """End once a token has expired by the wall clock, which may be set: it is asked again every few seconds."""
        soon = min(until - self._world.wall(), limits.TOKEN_SECONDS)
        self._ends = self._context.timers.at(self._world.now() + soon, partial(self._look_at_token, until))

    def _look_at_token(self, until: float) -> None:
        if self._world.wall() < until:
            self._end_with_token(until)
        else:
            self.say_bye("the token has expired")

    async def _join(self, command: Command) -> None:
        found = command.fields
        key = fold(found["room"])
        self._check_room(key)
        before = self._entries.get(key)
        self._unfollow(key, at_once=before is not None and before.present and found["watch"])
        if len(self._entries) >= limits.MAX_ROOMS:
            raise Turned("limit_reached", f"{limits.MAX_ROOMS} rooms of one connection are followed at most")
        entry = Entry(self._gateway, self.connection, self._user, partial(self._removed, key))
        self._entries[key] = entry  # first: what ends the connection, or the place, finds it there
        try:
            answer = await entry.come_in(found)
        except BaseException:
            self._unfollow(key, at_once=False)
            raise
        self._answer(command.id or 0, answer)
        entry.begin()

    def _check_room(self, key: str) -> None:
        if self._user is None and not self._gateway.is_public(key):
            raise Turned("not_allowed", "this room may not be watched without a name")
        if self._rooms is not None and key not in self._rooms:
            raise Turned("not_allowed", "the token is for other rooms")

    async def _leave(self, command: Command) -> dict[str, Any]:
        self._unfollow(fold(command.fields["room"]), at_once=True)
        return {}

    def _unfollow(self, key: str, *, at_once: bool) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.leave(at_once=at_once)

    async def _send(self, command: Command) -> None:
        found = command.fields
        place = self._place(command)
        if place is None or not place.present or self._remembered is None:
            raise NotAMember(f"you are not in {found['room']}: join it to send there")
        key, remembered = found["key"], self._remembered
        submission = remembered.submissions.get(key)
        if submission is None:
            size = len(encode_body(found["body"]))
            if size > self._max_body:
                raise Turned("message_too_large", f"a message has {self._max_body} bytes at most, this has {size}")
            submission = Submission(size)
            self._gateway.submit(remembered, key, submission, place, found["body"])
        else:
            self._context.counters.repeated += 1
        late = self._world.now() + limits.SEND_SECONDS
        asked = Asked(partial(self._settled, command.id), self._context.timers, late)
        if submission.answer is None:
            submission.waiting.append(asked.answer)
        else:
            asked.answer(submission.answer)

    def _settled(self, number: int | None, answer: Answer | Turned) -> None:
        self._unanswered -= 1
        if isinstance(answer, dict):
            self._answer(number or 0, answer)
        else:
            self._refuse(number, answer)

    @property
    def _max_body(self) -> int:
        client = self._gateway.reader if self._user is None else self._user.client
        return min(client.max_message, limits.MAX_BODY)

    async def _history(self, command: Command) -> dict[str, Any]:
        found = command.fields
        self._check_room(fold(found["room"]))
        limit = limits.MAX_ROWS // 4 if found["limit"] is None else found["limit"]
        source = self._gateway.reader if self._user is None else self._user.client
        if found["after"] is None:
            return await newest_rows(source, found["room"], found["before"], limit)
        batch = await source.history_batch(found["room"], after=found["after"], before=found["before"], limit=limit)
        rows = [] if batch is None else frames.rows(batch)
        return {"rows": rows, "more": bool(rows)}

    async def _list_rooms(self, command: Command) -> dict[str, Any]:
        if self._user is None:
            raise Turned("not_allowed", "rooms are not listed without a name")
        found: list[RoomInfo] = []
        after, more = command.fields["after"], True
        while more and not found:  # the token may be for few of them
            rooms = await self._user.client.rooms(after=after, limit=limits.MAX_LISTED)
            more = len(rooms) == limits.MAX_LISTED
            after = rooms[-1].name if rooms else None
            found = [room for room in rooms if self._rooms is None or room.name in self._rooms]
        return {"rooms": [room._asdict() for room in found], "more": more}

    async def _list_members(self, command: Command) -> dict[str, Any]:
        if self._user is None:
            raise Turned("not_allowed", "members are not listed without a name")
        self._check_room(fold(command.fields["room"]))
        room, after = command.fields["room"], command.fields["after"]
        members = await self._user.client.members(room, after=after, limit=limits.MAX_LISTED)
        listed = [member._asdict() for member in members]
        return {"members": listed, "more": len(listed) == limits.MAX_LISTED}

    async def _typing(self, command: Command) -> None:
        place = self._place(command)
        if place is not None and place.present:
            place.room.typing(command.fields["active"])

    async def _mark(self, command: Command) -> None:
        place = self._place(command)
        if place is not None and command.fields["seq"]:
            place.room.mark_read(command.fields["seq"])
            if place.own is not None:  # the user's session is notified of others' marks alone
                place.own.event(ReadMark(place.room.name, place.user.client.user, command.fields["seq"]))

    def _place(self, command: Command) -> Place | None:
        entry = self._entries.get(fold(command.fields["room"]))
        return None if entry is None else entry.place


Handler = Callable[[Session, Command], Awaitable[dict[str, Any] | None]]

HANDLERS: dict[str, Handler] = {
    "hello": Session._hello,
    "join": Session._join,
    "leave": Session._leave,
    "send": Session._send,
    "history": Session._history,
    "rooms": Session._list_rooms,
    "members": Session._list_members,
    "typing": Session._typing,
    "mark": Session._mark,
}
"""What carries out each command but `ack`, which is taken at once."""
