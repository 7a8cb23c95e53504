"""What leaves a broker and what it accepts, compared with what its rules say at that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.promises.simulation.checks import require
from tests.promises.simulation.ruling import JOIN, MEMBERS, READ, SEND, Ruling, Sanctions, State, key_of
from zchat.broker.guard.rules import Rate
from zchat.broker.limits import BYTES_BURST, MESSAGES_BURST
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store.contract import Append, Sanction
from zchat.messages import GapReason
from zchat.names import DIRECT, fold
from zchat.wire.commands import MalformedCommand, decode_command
from zchat.wire.notices import GapNotice, Push, Removed, decode_notice
from zchat.wire.notices import State as StateNotice
from zchat.wire.values import unpack

if TYPE_CHECKING:
    from tests.promises.simulation.broker import Process

JUDGED = 300
"""Turns after which everybody has been judged by other rules."""


class _Budget:
    """What may be sent, as much as a rate gives from its beginning on."""

    def __init__(self, rate: Rate, now: float, late: float) -> None:
        self._rate = rate
        self._at = now
        self._late = late  # seconds after which a block that was let through is seen
        self._most = self._left = (rate.messages * MESSAGES_BURST, rate.bytes * BYTES_BURST)

    def take(self, messages: int, size: int, now: float) -> bool:
        """Take that much; False if nothing was left."""
        seconds, self._at = now - self._at, now
        left = [
            min(most, left + rate * seconds)
            for most, left, rate in zip(self._most, self._left, (self._rate.messages, self._rate.bytes), strict=True)
        ]
        self._left = (left[0] - messages, left[1] - size)
        least = [0.999 - rate * self._late for rate in (self._rate.messages, self._rate.bytes)]
        return not ((self._rate.messages and left[0] < least[0]) or (self._rate.bytes and left[1] < least[1]))


class Inspection:
    """Look at what one run of a broker sends and accepts.

    `_admitted`: how long the log was at least when a session joined a room, if it has been in it since, the request by
    which it did, and whether that was answered, so that it is known how long the log was.
    """

    def __init__(self, process: Process, ruling: Ruling) -> None:
        self._process = process
        self._ruling = ruling
        self.state = ruling.state
        self._asked: dict[tuple[int, int], tuple[str, str]] = {}
        self._admitted: dict[Session, dict[str, tuple[int, tuple[int, int], bool]]] = {}
        self._budgets: dict[tuple[str, Rate], _Budget] = {}
        self._judging = 0
        disk = process.broker.disk
        self.sanctions: Sanctions = (
            {} if disk is None else {key_of(each): each for each in disk.file.sanctions.values()}
        )
        ruling.applied(self.state, self.sanctions)

    def watch(self) -> None:
        """Look at what the core makes of its store's reports."""
        enforcement, removal = self._process.core._enforcement, self._process.core._removal
        self._imposed, self._lifted, self._put_out = enforcement.imposed, enforcement.lifted, removal.put_out
        enforcement.imposed = self.imposed  # type: ignore[method-assign]
        enforcement.lifted = self.lifted  # type: ignore[method-assign]
        removal.put_out = self.put_out  # type: ignore[method-assign]

    # -- what moderators do ------------------------------------------------------------------------------

    def imposed(self, sanction: Sanction) -> None:
        """Take a sanction that is in force from now on."""
        self.sanctions = self.sanctions | {key_of(sanction): sanction}
        self._ruling.applied(self.state, self.sanctions)
        self._imposed(sanction)

    def lifted(self, sanction: Sanction) -> None:
        """Take the end of a sanction."""
        self.sanctions = {key: each for key, each in self.sanctions.items() if key != key_of(sanction)}
        self._ruling.applied(self.state, self.sanctions)
        self._lifted(sanction)

    def put_out(self, session: Session, room: Room, code: str, text: str, by: str = "", until: int = 0) -> int:
        """Take the end of a membership: what is said from now on is not for it."""
        self._admitted.get(session, {}).pop(room.folded, None)
        return self._put_out(session, room, code, text, by, until)

    # -- the rules ---------------------------------------------------------------------------------------

    def turned(self) -> None:
        """Have the broker go by the rules as they are now, at the end of a turn, and check those that are judged."""
        core = self._process.core
        if self._judging:
            if core._revision.waiting is None:
                self._judging = 0
                self.check_members()
            else:
                self._judging += 1
                require(self._judging < JUDGED, "somebody is yet to be judged by the new rules")

    def revise(self, state: State) -> None:
        """Go by other rules from now on."""
        ruling = self._ruling
        self.state = state
        ruling.applied(state, self.sanctions)
        self._process.core.revise(ruling.rules(state))
        self._judging = 1
        for session, rooms in self._admitted.items():
            for room in [room for room in rooms if not ruling.has(session.peer.user, room, JOIN)]:
                del rooms[room]

    def check_members(self) -> None:
        """Check that nobody is in a room who may not be there."""
        if self._judging:
            return
        core = self._process.core
        for session in core.context.sessions.table.by_token.values():
            require(not self._ruling.is_banned(session.peer.user), f"{session.user} is banned, and has a session")
            for room in session.present | session.members:
                require(self._ruling.has(session.peer.user, room.name, JOIN), f"{session.user} is in {room.name} yet")

    # -- what comes in -----------------------------------------------------------------------------------

    def received(self, connection: int, routing_id: bytes, frame: bytes) -> None:
        """Take a frame that a client sent."""
        if frame[1:6] not in (b"\xa4join", b"\xa5leav"):
            return
        try:
            command = decode_command(frame)
        except MalformedCommand:
            return
        assert command.request is not None
        room, asked = fold(command.fields[0]), (connection, command.request)
        self._asked[asked] = (command.word, room)
        context = self._process.core.context
        session = context.sessions.table.by_routing_id.get(routing_id)
        if session is None:
            return
        rooms = self._admitted.setdefault(session, {})
        if command.word == "join":
            known = context.directory.rooms.get(room)
            rooms.setdefault(room, (known.last if known else 0, asked, False))
        elif room in rooms:  # whether it was obeyed may never be known
            rooms[room] = (*rooms[room][:2], False)

    def append(self, append: Append) -> None:
        """Check a block that is accepted."""
        ruling, broker = self._ruling, self._process.broker
        now = broker.world.now
        user, room = fold(append.user), fold(append.room)
        require(ruling.has(user, room, SEND), f"a block of {user} is accepted in {room}")
        rate = Rate() if room.startswith(DIRECT) else self.state.rate
        for who, each in (("@" + user, self.state.limits), (room, rate)):
            if any(each) and append.count:
                budget = self._budgets.setdefault(
                    (who, each), _Budget(each, now, 10.0 if broker.costs is not None else 0.0)
                )
                require(budget.take(append.count, len(append.bodies), now), f"{who} sends more than {each}")

    # -- what goes out -----------------------------------------------------------------------------------

    def sent(self, session: Session | None, connection: int, frame: bytes) -> None:
        """Check a frame that was sent to a client."""
        word = frame[2 : 2 + (frame[1] & 0x1F)]
        if session is None or word not in (b"ok", b"error", b"push", b"gap", b"state", b"removed"):
            return
        if word in (b"ok", b"error"):
            fields = unpack(frame)
            self._answered(session, (connection, fields[1]), fields if word == b"ok" else None)
            return
        notice = decode_notice(frame)
        user = session.peer.user
        if isinstance(notice, Removed):
            self._admitted.get(session, {}).pop(fold(notice.room), None)
        elif not self._judging:
            self._check(session, user, notice)

    def _answered(self, session: Session, request: tuple[int, int], reply: list[Any] | None) -> None:
        """Record who has joined a room, and who has left it; `reply` is None if that was refused."""
        word, room = self._asked.pop(request, ("", ""))
        rooms = self._admitted.get(session, {})
        if word == "join":
            known = rooms.get(room)
            if reply is None:
                if known is not None and known[1] == request:
                    del rooms[room]
            elif known is None or known[1] == request:
                rooms[room] = (reply[6], request, True)
        elif word == "leave" and reply is not None:
            rooms.pop(room, None)

    def _check(self, session: Session, user: str, notice: object) -> None:
        ruling = self._ruling
        if isinstance(notice, StateNotice):
            for update in notice.rooms:
                require(ruling.has(user, update.room, JOIN), f"{user} is sent the state of {update.room}")
                named = update.people is not None
                require(not named or ruling.has(user, update.room, MEMBERS), f"{user} is sent names of {update.room}")
        elif isinstance(notice, Push | GapNotice):
            room = notice.room
            require(ruling.has(user, room, JOIN), f"{user} is sent {notice}")
            admitted = fold(room) in self._admitted.get(session, {}) or fold(room) not in ruling.rooms
            require(admitted, f"{user} is not in {room}, and is sent {notice}")
            if ruling.has(user, room, READ):
                return
            floor, _, known = self._admitted[session][fold(room)]
            if isinstance(notice, Push):
                first = notice.blocks[0][0]
                require(first > floor, f"{user} is sent {first} of {room}, and may read what is after {floor}")
            elif notice.reason == GapReason.WITHHELD and known:
                require(notice.upto <= floor, f"withheld from {user} is {notice}, not what is up to {floor}")
