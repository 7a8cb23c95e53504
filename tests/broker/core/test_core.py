"""Whatever comes, in whatever order: the core stands, every stream is whole, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.driver import Clock, LateStore, Peer, Picture, World, picture_of
from tests.frames import decode_command, decode_notice
from zchat.broker.delivery import pusher
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import EXPIRE_AFTER, NAMES
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Failed, Trimmed
from zchat.errors import Malformed
from zchat.messages import GapReason
from zchat.wire.commands import COMMANDS
from zchat.wire.notices import GAP, OK, PUSH, REMOVED, STATE
from zchat.wire.values import pack

CONNECTIONS = [b"\0%d" % number for number in range(5)]
ROOMS = ["General", "general", "A", "B", "Straße", "@alice\nbob"]
USERS = ["alice", "bob"]

# -- anything at all -------------------------------------------------------------------------------

_numbers = st.one_of(st.integers(0, 12), st.sampled_from([0, 1, 16, 2**31, 2**63 - 1]))
_values: dict[str, st.SearchStrategy[Any]] = {
    "uint": _numbers,
    "uint or nil": st.none() | _numbers,
    "str": st.sampled_from([*ROOMS, *USERS, "", "\x07", "x" * 65, "@bob\nalice", "@alice\ncarol", "@" * 2_000, "@\n"]),
    "str or nil": st.none() | st.sampled_from(ROOMS),
    "bool": st.booleans(),
    "bin": st.sampled_from([b"\x91\xa2hi", b"\x92\x01\xc0", b"\x90", b"", b"\xdd\xff\xff\xff\xff", b"\x91\xa1\xff"]),
    "id": st.sampled_from([bytes([number]) * 16 for number in range(4)]),
    "position or nil": st.none() | st.just([0, 0]) | st.tuples(_numbers, _numbers).map(list),
}


def _fields(word: str) -> st.SearchStrategy[list[Any]]:
    fields = COMMANDS[word].fields
    return st.tuples(*(_values[field.kind] for field in fields)).map(lambda values: [word, *values])


_often = ["join", "send", "send", "credit", "join", "typing", "mark", "seen", "kick", "ban"]
_commands = st.sampled_from([*COMMANDS, *_often]).flatmap(_fields)
_junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=10,
)
_spoiled = st.tuples(_commands, st.integers(0, 8), _junk).map(
    lambda drawn: [*drawn[0][: drawn[1]], drawn[2], *drawn[0][drawn[1] + 1 :]]
)
_frames = st.one_of(
    *[_commands.map(lambda command: [pack(command)])] * 6,
    _spoiled.map(lambda command: [pack(command)]),
    _junk.map(lambda value: [pack(value)]),
    st.lists(st.binary(max_size=40), max_size=3),
)
_connections = st.sampled_from(CONNECTIONS)
_acts = st.one_of(
    *[st.tuples(st.just("receive"), _connections, _frames)] * 6,
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.05, 0.6, 3.0])),
    st.tuples(st.just("full"), _connections),
    st.tuples(st.just("gone"), _connections),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("trim"), st.integers(1, 4)),
)


class Watch:
    """Follow what goes out to every connection, and hold it to the protocol."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._joins: dict[tuple[bytes, int], bool] = {}
        self._covered: dict[tuple[bytes, str], int] = {}
        self._read: dict[bytes, int] = {}
        self._states: Counter[bytes] = Counter()
        self._pictures: dict[tuple[bytes, str], Picture] = {}

    def asked(self, connection: bytes, request: int) -> None:
        """Record a join; its number is never used for another request of the connection."""
        self._joins[connection, request] = True

    def look(self) -> None:
        for connection, frames in self._world.port.frames.items():
            for frame in frames[self._read.get(connection, 0) :]:
                notice = decode_notice(frame)
                if notice[0] == OK and (connection, notice[1]) in self._joins:
                    self._covered[connection, notice[2]] = notice[4]
                    self._pictures.pop((connection, notice[2]), None)
                elif notice[0] in (PUSH, GAP):
                    _, room, _, after, upto, *_ = notice
                    assert self._covered[connection, room] == after
                    assert after < upto or (notice[0] == GAP and notice[5] != GapReason.TRIMMED)
                    self._covered[connection, room] = upto
                elif notice[0] == REMOVED:
                    del self._covered[connection, notice[1]]  # nothing more of it comes before another join
                    self._pictures.pop((connection, notice[1]), None)
                elif notice[0] == STATE:
                    self._states[connection] += 1
                    assert notice[1] == self._states[connection]
                    for update in notice[2]:
                        place = connection, update[0]
                        assert place in self._covered
                        assert update[1] or place in self._pictures, "the first is whole"
                        self._pictures.setdefault(place, Picture()).update(update)
                    for name, other, *_ in notice[3]:
                        user = self._world.sessions[connection].user
                        assert sorted(map(str.lower, (user, other))) == name[1:].lower().split("\n")
            self._read[connection] = len(frames)

    def settle(self) -> None:
        """Have every client see its state frames, until each knows all of its rooms."""
        world = self._world
        world.port.full.clear()
        for _ in range(20):
            world.pass_time(0.05, 0.05)
            for connection in world.sessions:
                world.receive(connection, pack(["seen", self._states[connection]]))
            self.look()
        for connection, session in world.sessions.items():
            for room in () if session.gone else session.members:
                assert self._pictures[connection, room.name] == picture_of(room)


def trim(world: World, name: str, keep: int) -> None:
    """Have retention remove all but the newest messages of a room, at least `keep`."""

    def trimmed(outcome: Trimmed | Failed) -> None:
        assert isinstance(outcome, Trimmed)
        if (room := world.rooms.get(name.lower())) is not None:
            world.core.context.pusher.trimmed(room, outcome.first)

    world.store.trim(name, keep, 0, trimmed)


def begin(mark: int, names: int = NAMES, *, moderated: bool = False) -> tuple[World, LateStore]:
    """Return a broker and its store; `moderated`: alice is its operator."""
    store = LateStore(Clock())  # which shows what the broker's shows
    gate, rules = (Gate(logins=True), parse('operators = ["alice"]')) if moderated else (None, None)
    return World(Settings(rooms=("General",), high_water_mark=mark, names=names), store, gate=gate, rules=rules), store


def end(world: World, store: LateStore) -> None:
    """Bring the world to rest, then let everybody fall silent: nothing of them may be left."""
    store.holding = False
    world.run()
    world.check()
    world.port.full.clear()
    world.pass_time(1, 0.05)
    world.check()
    assert world.core.settled
    for peer in world.peers:
        peer.sees = False
    world.pass_time(2 * EXPIRE_AFTER)
    world.check()
    core = world.core
    assert not core.context.sessions.table.by_routing_id
    assert not core.context.sessions.table.by_token
    assert core.context.pusher.in_flight == 0
    assert core.context.pipes.waiting == 0
    assert core.context.pusher.due == inf
    assert not core.context.pusher.ready
    assert core.context.replies.owed == 0
    for room in core.context.directory.rooms.values():
        assert not room.members
        assert not room.roster
        assert not room.caught_up
        assert room.fixed or room.last or room.sanctions


@given(
    st.lists(_acts, min_size=5, max_size=80),
    st.sampled_from([1, 2, 10]),
    st.sampled_from([0, 1, 2, NAMES]),
    st.booleans(),
)
@settings(max_examples=300)
def test_no_input_stops_the_core_breaks_a_stream_or_leaves_anything_behind(
    acts: list[Any], mark: int, names: int, moderated: bool
) -> None:
    world, store = begin(mark, names, moderated=moderated)
    watch = Watch(world)
    for number, connection in enumerate(CONNECTIONS[:3]):  # some have greeted and joined already
        own = bytes([number]) * 16
        greeting = ["hello", 1, 1, 1 + moderated, USERS[number % 2], own, own, mark, 1]
        world.receive(connection, pack(greeting))
        world.receive(connection, pack(["join", 2**40, "General", 1, None, 0, True]))
        watch.asked(connection, 2**40)
    requests = 2**40
    for act in acts:
        match act:
            case "receive", connection, frames:
                if len(frames) == 1 and frames[0][1:6] == b"\xa4join":
                    requests += 1
                    command = decode_or_none(frames[0])
                    if command is not None and type(command[1]) is int:
                        command[1] = requests
                        frames = [pack(command)]
                        watch.asked(connection, requests)
                world.receive(connection, *frames)
            case "pass", seconds:
                world.now += seconds
                world.core.tick(world.now, True)
                world.core.turn(world.now)
            case "full", connection:
                world.port.full ^= {connection}
            case "gone", connection:
                world.port.gone.add(connection)
            case "hold", holding:
                store.holding = holding
            case "trim", keep:
                trim(world, "General", keep)
        watch.look()
    store.holding = False
    watch.settle()
    end(world, store)
    watch.look()


def decode_or_none(frame: bytes) -> list[Any] | None:
    try:
        return decode_command(frame)
    except Malformed:
        return None


# -- honest clients, faulty world ------------------------------------------------------------------

_peers = st.integers(0, 2)
_rooms = st.sampled_from(["General", "A"])
_honest = st.one_of(
    *[st.tuples(st.just("send"), _peers, _rooms, st.integers(1, 4))] * 4,
    *[st.tuples(st.just("credit"), _peers, _rooms, st.integers(1, 5))] * 3,
    st.tuples(st.just("join"), _peers, _rooms),
    st.tuples(st.just("leave"), _peers, _rooms),
    st.tuples(st.just("reconnect"), _peers),
    st.tuples(st.just("full"), _peers),
    st.tuples(st.just("turn"), st.integers(1, 3)),
    st.tuples(st.just("trim"), _rooms, st.integers(1, 5)),
    st.tuples(st.just("typing"), _peers, _rooms, st.booleans()),
    st.tuples(st.just("mark"), _peers, _rooms, st.integers(0, 20)),
    st.tuples(st.just("pass"), st.sampled_from([0.01, 0.05, 3.0, 6.0])),
)


class Honest(Peer):
    """A client that keeps to the protocol; `spans` are the ranges it should have, of each join in a room."""

    def __init__(self, world: World, user: str) -> None:
        super().__init__(world, user)
        self.taken: dict[str, int] = {}
        self.began: dict[str, int] = {}

    def give(self, room: str, count: int) -> None:
        count = min(count, self.notified[room] - self.taken[room])
        if count:
            self.taken[room] += count
            self.tell("credit", room, self.joins[room], self.taken[room])

    def enter(self, room: str, position: tuple[int, int] | None = None, held: int = 0) -> None:
        self.taken[room] = 0
        reply = self.join(room, position, held)
        assert reply[0] == OK
        self.notified[room] += held
        self.began.setdefault(room, reply[4])

    def clear(self) -> None:
        """Have the pipe take everything again."""
        self.world.port.full.discard(self.id)
        self.world.pass_time(0.1, 0.05)


@given(st.lists(_honest, min_size=10, max_size=80), st.sampled_from([1, 2, 10]), st.booleans(), st.booleans())
@settings(max_examples=300)
def test_every_members_stream_is_the_log_without_its_own_messages_and_reported_gaps(
    acts: list[Any], mark: int, small_tails: bool, small_window: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if small_tails:
            patch.setattr(pusher, "TAIL_BYTES", 900)
        if small_window:
            patch.setattr(pusher, "IN_FLIGHT_BYTES", 100)
        _honest_run(acts, mark)


def _honest_run(acts: list[Any], mark: int) -> None:
    world, store = begin(mark)
    peers = [Honest(world, user) for user in ("alice", "alice", "bob")]
    for peer in peers:
        peer.enter("General")
        peer.enter("A")
    owners: dict[str, dict[int, Honest]] = {"General": {}, "A": {}}
    for act in acts:
        match act:
            case "send", index, room, count:
                peer = peers[index]
                peer.clear()
                if room in peer.taken:
                    first = peer.send(room, *range(count))[2]
                    owners[room].update({first + offset: peer for offset in range(count)})
            case "credit", index, room, count:
                if room in peers[index].taken:
                    peers[index].give(room, count)
            case "join", index, room:
                peer = peers[index]
                peer.clear()
                if room not in peer.taken:
                    peer.enter(room, (0, 0) if not peer.covered.get(room) else position(world, peer, room))
            case "leave", index, room:
                peer = peers[index]
                peer.clear()
                if room in peer.taken:
                    del peer.taken[room]
                    assert peer.do("leave", room, peer.joins[room])[0] == OK
            case "reconnect", index:
                peer = peers[index]
                peer.clear()
                held = {room: peer.notified[room] - peer.taken[room] for room in peer.taken}
                peer.reconnect()
                for room, count in held.items():
                    peer.enter(room, position(world, peer, room), count)
            case "full", index:
                world.port.full ^= {peers[index].id}
            case "turn", count:
                for _ in range(count):
                    world.core.turn(world.now)
            case "trim", name, keep:
                trim(world, name, keep)
            case "typing", index, room, active:
                peers[index].tell("typing", room, active)
            case "mark", index, room, seq:
                peers[index].clear()
                peers[index].do("mark", room, seq)
            case "pass", seconds:
                for peer in peers:
                    peer.tell("ping")
                world.pass_time(seconds, 0.05)
    for peer in peers:
        peer.clear()
    for peer in peers:
        assert peer.pictures.keys() >= peer.taken.keys()
        for room in peer.taken:
            assert peer.pictures[room] == picture_of(world.rooms[room.lower()])
    for peer in peers:
        for room in peer.taken:
            while peer.notified[room] > peer.taken[room]:
                peer.give(room, mark)
                world.run()
            last = world.rooms[room.lower()].last
            gaps = {seq for gap in peer.gaps.get(room, []) for seq in range(gap[3] + 1, gap[4] + 1)}
            own = {seq for seq, owner in owners[room].items() if owner is peer}
            expected = [s for s in range(peer.began[room] + 1, last + 1) if s not in gaps and s not in own]
            assert [seq for seq in peer.seqs(room) if seq not in gaps] == expected
    end(world, store)


def position(world: World, peer: Honest, room: str) -> tuple[int, int]:
    seq = peer.covered[room]
    there = world.rooms.get(room.lower())  # the last member's leaving may have ended it
    return (there.epochs.at(seq), seq) if there is not None else (0, 0)
