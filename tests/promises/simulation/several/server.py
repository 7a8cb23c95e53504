"""The simulated server: the scripts' twin, behind connections that break, in one run after another."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgpack

from tests.broker.store.redis.twin import Twin
from tests.promises.simulation.several.threads import Program
from tests.promises.simulation.several.wire import Raw, packed
from tests.promises.simulation.truth import Branch, Truth
from tests.promises.simulation.world import World
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.forms import block_at, mark_of, name_of
from zchat.broker.store.redis.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Callable

COPIES = 6
"""States that are remembered of what a server keeps, which it may come back with."""

INFO = "redis_version:7.0.15\r\nrole:master\r\nrun_id:{run}\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n"

FLUSHING = [b"appendfsync", b"always", b"no-appendfsync-on-rewrite", b"no"]

ALL = {script.sha.encode(): script for script in scripts.ALL}


TIMED = {scripts.APPEND: 13, scripts.MARK: 7}
"""Which argument is the time, "" for the server's."""


class Kept(Twin):
    """Be the twin, with what it lacks: the scripts that go by the time, and the plain commands."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._ways |= {scripts.HOLD: self._hold, scripts.RELEASE: self._release}

    def copy(self) -> dict[bytes, Any]:
        """Return what is kept, on its own."""
        return {key: value if isinstance(value, (bytes, tuple)) else value.copy() for key, value in self.keys.items()}

    def _hold(self, keys: list[bytes], broker: bytes, hold: bytes, ended: bytes) -> Any:
        holder, brokers = keys
        now = int(self._world.now * 1000)
        self._set(brokers, broker, b"%d" % now)
        held = self.keys.get(holder, (b"", 0))
        if held[1] > now and held[0] != broker:
            return [0]
        self.keys[holder] = broker, now + int(hold)
        if held[1] <= now:
            return [1, []]
        return [1, [each for each, seen in self._hash(brokers).items() if int(seen) <= now - int(ended)]]

    def _release(self, keys: list[bytes], broker: bytes) -> Any:
        holder, brokers = keys
        if broker in self._hash(brokers):
            self._remove(brokers, broker)
        if self.keys.get(holder, (b"", 0))[0] != broker:
            return 0
        del self.keys[holder]
        return 1

    # -- commands ------------------------------------------------------------------------------------

    def do(self, name: bytes, *arguments: bytes) -> Any:
        """Return what a command answers that is no script."""
        do: Callable[..., Any] = getattr(self, f"do_{name.decode().lower()}")
        return do(*arguments)

    def do_get(self, key: bytes) -> Any:
        """Be GET."""
        return self.keys.get(key)

    def do_set(self, key: bytes, value: bytes, *_: bytes) -> Any:
        """Be SET with NX."""
        if key in self.keys:
            return None
        self.keys[key] = value
        return "+OK"

    def do_del(self, *keys: bytes) -> Any:
        """Be DEL."""
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def do_zcard(self, key: bytes) -> Any:
        """Be ZCARD."""
        return len(self._hash(key))

    def do_zrem(self, key: bytes, member: bytes) -> Any:
        """Be ZREM."""
        if member not in self._hash(key):
            return 0
        self._remove(key, member)
        return 1

    def do_zrange(self, key: bytes, least: bytes, most: bytes, *options: bytes) -> Any:
        """Be ZRANGE, of all with scores, or of some up to a score."""
        found = sorted((int(score), member) for member, score in self._hash(key).items())
        if options == (b"WITHSCORES",):
            return [part for score, member in found for part in (member, b"%d" % score)]
        return [member for score, member in found if score <= int(most)][: int(options[-1])]

    def do_smembers(self, key: bytes) -> Any:
        """Be SMEMBERS, of a set that nobody fills."""
        return []

    def do_scan(self, *_: bytes) -> Any:
        """Be SCAN, of all at once."""
        return [b"0", list(self.keys)]

    def do_hget(self, key: bytes, field: bytes) -> Any:
        """Be HGET."""
        return self._hash(key).get(field)

    def do_hmget(self, key: bytes, *fields: bytes) -> Any:
        """Be HMGET."""
        return [self._hash(key).get(field) for field in fields]

    def do_xrange(self, key: bytes, after: bytes, upto: bytes, count: bytes, most: bytes) -> Any:
        """Be XRANGE with COUNT, from the beginning or after an id."""
        seq = 0 if after == b"-" else int(after[1:-2])
        return [list(entry) for entry in self.keys.get(key, ()) if int(entry[0][:-2]) > seq][: int(most)]


class Server:
    """Be a server in all of its runs. What it has answered is on its disk: a kill loses none of it.

    `stopped_until` is until when it stands still, `unreachable` whether nobody gets through, `deaf` how many of
    the notices get lost.
    """

    def __init__(self, world: World, truth: Truth) -> None:
        self.world = world
        self.truth = truth
        self.kept = Kept(world)
        self.connections: list[Raw] = []
        self.up = True
        self.unreachable = False
        self.stopped_until = 0.0
        self.deaf = 0.0
        self.slow = world.random.choice((0.0002, 0.001, 0.005))
        self.copies: deque[dict[bytes, Any]] = deque([{}], COPIES)
        self.counts: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.run = self.world.random.randbytes(20).hex()

    def arrived(self, connection: Raw, piece: bytes) -> None:
        """Take what comes over a connection, and carry out the commands that are whole."""
        if self.stopped_until > self.world.now:
            self.world.after(self.stopped_until - self.world.now, self.arrived, connection, piece)
            return
        connection.at_server.feed(piece)
        replies: list[Any] = []
        while self.up and (command := connection.at_server.gets()) is not False:
            name, *arguments = command
            if name == b"SSUBSCRIBE":
                if connection in self.connections:
                    connection.channels.add(arguments[0])
                replies.append([b"ssubscribe", arguments[0], 1])
            else:
                replies.append(self._do(name, arguments))
                self._tell()
        if replies:
            answer = b"".join(map(packed, replies))
            self.world.after(self.slow * self.world.random.random(), self._answer, connection, answer)

    def _answer(self, connection: Raw, answer: bytes) -> None:
        if self.stopped_until > self.world.now:
            self.world.after(self.stopped_until - self.world.now, self._answer, connection, answer)
        elif connection in self.connections:
            connection.down.send(answer)

    def _do(self, name: bytes, arguments: list[bytes]) -> Any:
        if name == b"INFO":
            return INFO.format(run=self.run).encode()
        if name == b"CONFIG":
            return FLUSHING
        if name == b"SCRIPT":
            return b"loaded"
        if name == b"EVALSHA":
            sha, count, *rest = arguments
            return self._call(ALL[sha], rest[: int(count)], rest[int(count) :])
        return self.kept.do(name, *arguments)

    def _call(self, script: Script, keys: list[bytes], arguments: list[bytes]) -> Any:
        """Carry out a script, and tell the truth what it has changed."""
        kept, truth = self.kept, self.truth
        now = b"%d" % self.world.true_clock()
        if script in TIMED and not arguments[TIMED[script]]:
            arguments[TIMED[script]] = now
        reply = kept.call(script, keys, *arguments)
        word = reply[0] if isinstance(reply, list) and reply else None
        self.counts[str(word)] = self.counts.get(str(word), 0) + 1
        if script is scripts.APPEND and word == b"stored":
            name = name_of(kept.keys[keys[2]][arguments[3]])[0]
            truth.stored(name, reply[3], block_at(kept.keys[keys[4]][-1]))
            self.world.note("stored", arguments[3])
            if self.world.random.random() < 0.1:
                self.copies.append(kept.copy())
        elif script is scripts.MARK and word == b"marked":
            truth.marked(self._name(keys[1], arguments[3]), arguments[4].decode(), reply[1])
        elif script is scripts.TRIM and word == b"trimmed":
            truth.trimmed(self._name(keys[1], arguments[3]), reply[1])
        return reply

    def _name(self, ends: bytes, folded: bytes) -> str:
        names = ends.removesuffix(b"ends") + b"names"
        return name_of(self.kept.keys[names][folded])[0]

    def _tell(self) -> None:
        told, self.kept.told = self.kept.told, []
        for channel, fields in told:
            said = packed([b"smessage", channel, msgpack.packb(fields)])
            for connection in self.connections:
                if channel in connection.channels and self.world.random.random() >= self.deaf:
                    self.world.after(0.0, self._answer, connection, said)

    # -- what goes wrong -------------------------------------------------------------------------------

    def cut_all(self) -> None:
        """Break all connections."""
        for connection in self.connections[:]:
            connection.cut()

    def kill(self) -> None:
        """End at once."""
        self.up = False
        self.stopped_until = self.world.now
        self.cut_all()

    def start(self) -> None:
        """Begin another run, with what is on the disk."""
        if not self.up:
            self.up = True
            self._begin()

    def hear_again(self) -> None:
        """Have all notices come again."""
        self.deaf = 0.0

    def heal(self) -> None:
        """Have all go well from now on."""
        self.hear_again()
        self.stopped_until = self.world.now
        self.slow = min(self.slow, 0.005)
        self.start()

    def go_back(self, copies: int) -> None:
        """Have what was there some copies ago: the end was lost, or a replica takes over that had no more."""
        for _ in range(min(copies, len(self.copies))):
            self.kept.keys = self.copies.pop()
        self.copies.append(self.kept.copy())
        lasts: dict[str, int] = {}
        marks: dict[tuple[str, str], int] = {}
        for key, value in self.kept.keys.items():
            if key.endswith(b"ends"):
                for folded, ends in value.items():
                    lasts[self._name(key, folded)] = int.from_bytes(ends[8:16], "big")
            elif key.endswith(b"marks"):
                for mark, moved in value.items():
                    room, _, user = mark.partition(b"\0")
                    marks[self._name(key[:-5] + b"ends", room), user.decode()] = mark_of(moved)[0]
        self.truth.went_back(lasts, marks, [])

    def replaced(self, copies: int) -> Server:
        """Return another that takes its place with what there was some copies ago.

        This one goes on for whoever is connected, in vain: what it stores from now on is lost.
        """
        other = Server(self.world, self.truth)
        other.slow, other.counts = self.slow, self.counts
        other.kept.keys = self.kept.copy()
        other.copies, self.copies = self.copies, deque([{}], COPIES)
        self.truth = Branch(self.truth)
        other.go_back(copies)
        return other

    def cut_off(self, program: Program) -> None:
        """Break all connections of a process."""
        for connection in self.connections[:]:
            if connection.program is program:
                connection.cut()
