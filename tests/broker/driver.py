"""Drive the broker's core by hand: a port that records, a clock that stands still, peers that check what they get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.frames import decode_notice
from zchat.broker.core.core import READS, Core
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules import Rules
from zchat.broker.limits import SHARED_NOTIFICATIONS, SHARED_UPDATES, TOMBSTONES
from zchat.broker.port import Cut, Sent
from zchat.broker.port import Peer as PeerAtBroker
from zchat.broker.rooms.member import MemberState
from zchat.broker.rooms.room import Room
from zchat.broker.settings import Settings
from zchat.broker.store.contract import (
    Append,
    Appended,
    Commit,
    Failed,
    Full,
    LogPage,
    Marked,
    RoomLog,
    Sanction,
    Store,
    Watcher,
)
from zchat.broker.store.memory import MemoryStore
from zchat.messages import Message
from zchat.wire.blocks import join_bodies, messages_of
from zchat.wire.limits import PRESENT
from zchat.wire.notices import END, ERROR, GAP, OK, PUSH, REMOVED, STATE
from zchat.wire.values import pack

TURNS = 10_000
"""Turns after which a core that still has something to send is taken to go round in circles."""

Notice = list[Any]


@dataclass
class Picture:
    """Keep what state frames have told of one room, as a client does; `people` is None in a crowd."""

    people: dict[str, tuple[int, bool, int]] | None = field(default_factory=dict)
    members: int = 0
    typing: int = 0
    caught_up: int = 0

    def update(self, update: list[Any]) -> None:
        """Take a room's update."""
        _, whole, self.members, people, self.typing, self.caught_up = update
        if people is None:
            assert whole, "counts are everything there is"
            self.people = None
            return
        assert (self.typing, self.caught_up) == (0, 0)
        if whole:
            self.people = {}
        assert self.people is not None, "changes are of names that were sent"
        for user, since, typing, mark in people:
            if since:
                self.people[user] = since, typing, mark
            else:
                assert not whole
                self.people.pop(user, None)
        assert len(self.people) == self.members


def picture_of(room: Room, *, counted: bool = False) -> Picture:
    """Return what a member should have of a room; `counted`: one that may not see names."""
    roster = room.roster
    assert roster is not None
    if roster.crowd or counted:
        return Picture(None, room.users, roster.typing, len(roster.at_end))
    return Picture(
        {each.name: (each.since, each.typing, each.read_mark) for each in roster.people.values()}, room.users
    )


class Clock:
    """Tell microseconds that move when a test says so."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.time


class FakePort:
    """Record what is sent to whom; `full` and `gone` peers are answered so."""

    def __init__(self) -> None:
        self.frames: dict[bytes, list[bytes]] = {}
        self.full: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.tries: list[bytes] = []
        self.cuts: list[tuple[bytes, Cut]] = []
        self.sent_bytes = 0

    def cut(self, peer: PeerAtBroker, why: Cut) -> None:
        self.cuts.append((peer.routing_id, why))

    def send(self, routing_id: bytes, frame: bytes) -> int:
        self.tries.append(routing_id)
        if routing_id in self.gone:
            return Sent.GONE
        if routing_id in self.full:
            return Sent.FULL
        self.frames.setdefault(routing_id, []).append(frame)
        self.sent_bytes += len(frame)
        return Sent.SENT


class LateStore(MemoryStore):
    """Answer reads when `poll` is called too, and nothing while `holding`; fail them, appends and marks on order.

    While `behind`, it must ask before it has located a room's end. It reports `commits` that were never
    made, and whatever else is among its `reports`, as if another broker shared it.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock)
        self.holding = False
        self.failing: Any = None
        self.behind = False
        self.commits: list[Commit] = []
        self.reports: list[Callable[[Watcher], None]] = []
        self.followed: list[tuple[str, bool]] = []
        self._waiting: list[Callable[[], None]] = []

    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        if not self._fails(done):
            super().append(append, done)

    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[LogPage | Full | Failed], None]
    ) -> None:
        def carry_out() -> None:
            if self.failing is not None:
                done(self.failing)
            else:
                super(LateStore, self).read(room, after, upto, max_bytes, done)

        self._waiting.append(carry_out)

    def impose(self, sanction: Sanction, places: Any, done: Callable[[Any], None]) -> None:
        if not self._fails(done):
            super().impose(sanction, places, done)

    def lift(self, room: str, user: str, kind: str, done: Callable[[Any], None], number: int = 0) -> None:
        if not self._fails(done):
            super().lift(room, user, kind, done, number)

    def set_read_mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        if not self._fails(done):
            super().set_read_mark(room, user, seq, done)

    def _fails(self, done: Callable[[Any], None]) -> bool:
        if self.failing is not None:
            self._answers.append((done, self.failing, None))
        return self.failing is not None

    def locate(self, room: str, done: Callable[[], None]) -> None:
        if self.behind:
            self._waiting.append(done)
        else:
            super().locate(room, done)

    def follow(self, room: str, wanted: bool) -> None:
        self.followed.append((room, wanted))

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._answers) and not self.holding

    def poll(self, watcher: Watcher) -> None:
        if not self.holding:
            super().poll(watcher)
            while self.commits:
                watcher.committed(self.commits.pop())
            while self.reports:
                self.reports.pop(0)(watcher)
            waiting, self._waiting = self._waiting, []
            for done in waiting:
                done()


class World:
    """Hold one core and everything around it."""

    def __init__(
        self,
        settings: Settings | None = None,
        store: Store | None = None,
        logs: list[RoomLog] | None = None,
        gate: Gate | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.clock = Clock()
        self.port = FakePort()
        self.now = 100.0
        self.store = store or MemoryStore(self.clock)
        opened = self.store.open(lambda: None, quotas=gate is not None and gate.binds_names)
        logs = opened if logs is None else logs
        self.core = Core(self.port, self.store, logs, settings or Settings(), self.now, self.clock, gate, rules)
        self.rooms = self.core.context.directory.rooms
        self.sessions = self.core.context.sessions.table.by_routing_id
        self.peers: list[Peer] = []
        self._ids = 0
        self.resumes = True  # False for a test that carries out by itself what has waited

    def new_id(self) -> bytes:
        self._ids += 1
        return b"\0" + self._ids.to_bytes(4, "big")

    def receive(self, routing_id: bytes, *frames: bytes) -> None:
        self.core.receive(routing_id, list(frames), self.now)
        self.core.shares.rest(self.now)  # what a test does next takes nobody's time

    def turn(self, drained: bool = True) -> None:
        """Do what the loop does in a turn, once it has received."""
        while self.resumes and self.core.shares.waiting and self.core.resume(self.now, idle=drained) is not None:
            self.core.shares.rest(self.now)
        self.core.tick(self.now, drained)
        self.core.turn(self.now)

    def run(self, drained: bool = True) -> None:
        """Go through turns, without time passing, until there is nothing to do and all peers have read."""
        for _ in range(TURNS):
            self.turn(drained)
            if not self.core.busy and not (isinstance(self.store, LateStore) and self.store.busy):
                for peer in self.peers:
                    peer.read()
                if not self.core.busy:  # none of them has seen a state frame that others wait for
                    return
        raise AssertionError("the core never comes to rest")

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass as a loop sees it, turn by turn."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.run()

    def check(self) -> None:
        """Assert what is true of a core at rest, whatever happened to it."""
        core = self.core.context
        pusher, table = core.pusher, core.sessions.table
        assert all(self.sessions[session.peer.routing_id] is session for session in self.sessions.values())
        sessions = set(map(id, self.sessions.values()))
        assert sessions == set(map(id, table.by_token.values()))
        in_flight = 0
        for session in self.sessions.values():
            assert not session.ended
            assert 0 <= session.unanswered <= 16
            for room, member in session.members.items():
                assert self.rooms[room.folded] is room
                assert member in room.members
                assert member.session is session
                assert len(member.out) == member.sent - member.taken
                assert 0 <= member.sent - member.taken <= session.window
                in_flight += sum(member.out)
                assert member.state not in (MemberState.READY, MemberState.LEFT), f"{member.state} at rest"
                assert member.follows or member.state is not MemberState.CAUGHT_UP
                if member.state is MemberState.CAUGHT_UP:
                    assert not member.behind
                    assert member in room.caught_up
        assert in_flight == pusher.in_flight
        members = sum(len(session.members) for session in self.sessions.values())
        assert members == pusher.memberships == sum(len(room.members) for room in self.rooms.values())
        for room in self.rooms.values():
            assert room.caught_up.keys() <= room.members.keys()
            assert len(room.shared) <= SHARED_NOTIFICATIONS
            assert not room.idle, f"{room.name} should have been forgotten"
            self._check_roster(room)
        self._check_state()
        owed = {id(session): session for _, _, session in core.pipes._retries} | {
            id(session): session for session in self.sessions.values()
        }
        assert core.pipes.waiting == sum(len(frame) for session in owed.values() for frame, _ in session.replies)
        directory = core.directory
        assert directory.order == sorted(folded for folded, room in self.rooms.items() if not room.direct)
        directs = {(user, folded) for folded, room in self.rooms.items() for user in room.direct}
        assert {(user, folded) for user, names in directory.directs.items() for folded in names} == directs
        assert all(names == sorted(names) for names in directory.directs.values())
        assert pusher._tail_bytes == sum(room.tail.cost for room in self.rooms.values())

    def _check_roster(self, room: Room) -> None:
        roster = room.roster
        here = Counter(each.peer.user for each in self.sessions.values() if room in each.present)
        assert (roster is None) == (not here and not room.members)
        if roster is None:
            return
        assert {user: person.sessions for user, person in roster.people.items()} == here
        assert roster._order == sorted(roster.people)
        assert roster.typing == sum(person.typing for person in roster.people.values())
        assert roster.at_end == {user for user, person in roster.people.items() if 0 < person.read_mark == room.last}
        assert all(
            person.read_mark == room.read_marks.get(user, 0) <= room.last for user, person in roster.people.items()
        )
        assert len(roster._shared) <= SHARED_UPDATES
        assert len(roster._gone) <= TOMBSTONES
        assert not roster._gone.keys() & roster.people.keys()
        assert roster.crowd or roster._gone.keys() <= roster._changes.keys() <= roster.people.keys() | roster._gone

    def _check_state(self) -> None:
        core = self.core.context
        users = core.sessions.table.by_user
        assert {session for sessions in users.values() for session in sessions} == set(self.sessions.values())
        typing = [person for room in self.rooms.values() if room.roster for person in room.roster.people.values()]
        assert set(core.presence._typing) == {person for person in typing if person.typing}
        assert core.presence._returning.keys() <= set(self.sessions.values())
        deadlines = list(core.presence._returning.values())
        assert deadlines == sorted(deadlines)
        assert not core.state_frames.ready
        for session in self.sessions.values():
            for room, member in session.members.items():
                assert (room in session.present) == bool(member.flags & PRESENT)
            assert all(room.roster for room in session.present)
            assert session.stale.keys() <= set(session.members.values())
            if session.shown or session.blocked or session.gone:
                continue
            assert not session.stale
            assert not session.invitations
            for room, member in session.members.items():
                assert room.scheduled or (room.roster and member.roster_version == room.roster.version)
        for peer in self.peers:
            peer.check_pictures()


class Peer:
    """Speak for one client, over one connection at a time, and check what it is sent as it comes."""

    def __init__(self, world: World, user: str, window: int = 0, *, greet: bool = True, version: int = 1) -> None:
        self.world = world
        self.user = user
        self.version = version
        self.window = window
        self.id = world.new_id()
        self.connections = 0
        self.token = b"t" * 8 + self.id.rjust(8, b"\0")
        self.producer = b"p" * 8 + self.id.rjust(8, b"\0")
        self.requests = 0
        self.numbers: dict[str, int] = {}
        self.joins: dict[str, int] = {}
        self.covered: dict[str, int] = {}
        self.got: dict[str, list[Message]] = {}
        self.gaps: dict[str, list[Notice]] = {}
        self.notified: dict[str, int] = {}
        self.replies: dict[int, Notice] = {}
        self.pictures: dict[str, Picture] = {}
        self.invitations: list[Notice] = []
        self.states: Counter[bytes] = Counter()
        self.sees = True
        self.asks_for_pages = False
        self.other: list[Notice] = []
        self.frames_read = 0
        world.peers.append(self)
        if greet:
            assert self.greet()[0] == OK

    def tell(self, word: str, *fields: Any) -> None:
        """Send what isn't answered, and read what comes."""
        self.world.receive(self.id, pack((word, *fields)))
        self.read()

    def ask(self, word: str, *fields: Any) -> int:
        """Send a request and return its number."""
        self.requests += 1
        self.asks_for_pages |= word in READS
        self.world.receive(self.id, pack((word, self.requests, *fields)))
        self.read()
        return self.requests

    def do(self, word: str, *fields: Any) -> Notice:
        """Send a request and return its answer, once the core has come to rest."""
        number = self.ask(word, *fields)
        self.world.run()
        return self.replies[number]

    def greet(self, oldest: int = 1, newest: int | None = None, *flags: int) -> Notice:
        self.connections += 1
        newest = self.version if newest is None else newest
        fields = (oldest, newest, self.user, self.producer, self.token, self.window, self.connections, *flags)
        return self.do("hello", *fields)

    def reconnect(self) -> bytes:
        """Greet with the same token over a fresh connection; returns the routing id of the old one."""
        old, self.id, self.frames_read = self.id, self.world.new_id(), 0
        self.pictures.clear()
        assert self.greet()[0] == OK
        return old

    def join(
        self,
        room: str,
        position: tuple[int, int] | None = None,
        held: int = 0,
        *,
        create: bool = True,
        flags: int | None = None,
    ) -> Notice:
        number = max(self.joins.values(), default=0) + 1
        request = self.ask("join", room, number, position, held, create, *([] if flags is None else [flags]))
        reply = self.replies.get(request)
        if reply is not None and reply[0] == OK:
            self.joins[room] = number
            self.covered[room] = self.covered[reply[2]] = reply[4]
            self.notified[room] = self.notified[reply[2]] = 0
            self.pictures.pop(reply[2], None)
        self.world.run()
        return self.replies[request]

    def leave(self, room: str) -> Notice:
        return self.do("leave", room, self.joins[room])

    def send(self, room: str, *bodies: Any, number: int | None = None) -> Notice:
        """Send a block; the numbers are counted here unless one is given."""
        if number is None:
            number = self.numbers[room] = self.numbers.get(room, 0) + 1
        return self.do("send", room, number, join_bodies([pack(body) for body in bodies]))

    def credit(self, room: str, taken: int | None = None) -> None:
        """Return credit for `taken` notifications since the join, None: all that came."""
        self.tell("credit", room, self.joins[room], self.notified[room] if taken is None else taken)
        self.world.run()

    def texts(self, room: str = "General") -> list[Any]:
        return [message.body for message in self.got.get(room, [])]

    def seqs(self, room: str = "General") -> list[int]:
        return [message.seq for message in self.got.get(room, [])]

    def read(self) -> list[Notice]:
        """Record what came since the last time, and return it."""
        frames = self.world.port.frames.get(self.id, [])
        new = [decode_notice(frame) for frame in frames[self.frames_read :]]
        self.frames_read = len(frames)
        for notice in new:
            if notice[0] in (PUSH, GAP):
                _, room, _, after, upto, *rest = notice
                assert after == self.covered[room], "a notification says what it comes after"
                self.covered[room] = upto
                self.notified[room] += 1
                if notice[0] == PUSH:
                    assert after < upto
                    self.got.setdefault(room, []).extend(messages_of(room, rest[0], after, upto))
                else:
                    self.gaps.setdefault(room, []).append(notice)
            elif notice[0] == OK or (notice[0] == ERROR and notice[1] is not None):
                assert notice[1] not in self.replies, "a request is answered once"
                self.replies[notice[1]] = notice
            elif notice[0] == STATE:
                self._take_state(*notice[1:])
            else:
                self.other.append(notice)
        return new

    def _take_state(self, number: int, updates: list[Any], invitations: list[Any]) -> None:
        self.states[self.id] += 1
        assert number == self.states[self.id], "state frames are counted"
        assert updates or invitations or self.asks_for_pages, (
            "a frame without news is a question whether pages are read"
        )
        for update in updates:
            assert update[1] or update[0] in self.pictures, "the first is whole"
            self.pictures.setdefault(update[0], Picture()).update(update)
        self.invitations += invitations
        if self.sees:
            self.see()

    def see(self) -> None:
        """Say that the state frame that came last is seen."""
        self.world.receive(self.id, pack(("seen", self.states[self.id])))

    def check_pictures(self) -> None:
        """Assert that this peer knows the state of its rooms, unless it has received that there is more to come."""
        session = self.world.sessions.get(self.id)
        if session is None or session.shown or session.blocked or session.gone:
            return
        for room, member in session.members.items():
            named = self.world.core.context.access.is_named_to(member)
            assert room.scheduled or self.pictures[room.name] == picture_of(room, counted=not named)

    def removed(self) -> list[Notice]:
        """Return which memberships were ended by others than this peer, and how, without the word."""
        return [notice[1:] for notice in self.other if notice[0] == REMOVED]

    def ended(self) -> str | None:
        """Return why the session was ended, None if it wasn't."""
        self.read()
        return next((notice[1] for notice in self.other if notice[0] == END), None)
