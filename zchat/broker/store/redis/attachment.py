"""Attaching to the server: from then on scripts do what this broker asks for, and nothing that it asked for before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from zchat.broker.store.contract import Present, Sanction
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.ledger import random_epoch
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.connections.sentinel import connect
from zchat.broker.store.redis.connections.server import Behind, Command, Connection, Trouble, run_of, understanding
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.forms import Ends, ends_of, epochs_of, mark_of, name_of, pair_of, present_of, sanction_of
from zchat.broker.store.redis.hearing import Changes
from zchat.broker.store.redis.partitions import Keys
from zchat.broker.store.redis.requests import Fence, called
from zchat.errors import StoreError

FORMAT = b"1"
"""The number of the format of what is kept."""

COPYING = b"copying:"
"""What stands in place of it, with the copy's id, while what is kept is not complete yet."""

HOLD_MS = 3_000
"""Milliseconds for which a broker tends the store from each time that it says so: one that was killed keeps the next
from doing it for as long."""

HOLD_EVERY = 1.0
"""Seconds between two times: of three, two may be late."""

ENDED_MS = 10_000
"""Milliseconds after which a broker that has not said that it is there is taken for ended: it is attached no more, and
its users are nowhere by it. Clients of one that was killed are at another one by then."""

CONFIRM_MS = 1000
"""Milliseconds for which replicas are waited for at once: less than a connection's patience."""

SCAN_KEYS = 1000
"""Keys of all that the server has that are looked at, at once, for those of one store: under a millisecond."""


class RoomState(NamedTuple):
    """What a snapshot says of one room."""

    name: str
    maker: str
    ends: Ends
    epochs: tuple[Epoch, ...]


class Snapshot(NamedTuple):
    """All that a partition has of its rooms but the logs, as of one moment."""

    changes: Changes
    rooms: dict[str, RoomState]
    """By folded name."""
    marks: dict[tuple[str, str], tuple[int, int]]
    """By folded room and user the seq, and the time at which it moved."""
    sanctions: list[Sanction] | None
    """All sanctions in the order of their numbers, if this is the partition that has them; else None."""
    here: tuple[tuple[bytes, Present], ...] = ()
    """Who is where, by sessions at which broker."""


class Attachment:
    """A connection over which the scripts do what this broker asks for. It belongs to one thread at a time."""

    @understanding()
    def __init__(self, url: RedisURL, keys: Keys, broker: bytes) -> None:
        """Connect to the server, which the URL's Sentinels are asked for, check it, and attach to all partitions.

        Raises:
            Trouble: the server can't be used now.
            StoreError: the server can't be used as it is; the text says what to set.
        """
        self._keys = keys
        self.broker = broker
        self.tends = False
        """Whether this broker is the one that trims logs and forgets producers."""
        self.connection = connect(url)
        self.url = self.connection.url
        """The URL of the server; of several that Sentinels watch, of the one that is the master."""
        try:
            self.run = run_of(self.connection, self.url)
            """The id of the server's run, which the scripts go by."""
            self.new = self._check_format()
            self.connection.ask([("SCRIPT", "LOAD", script.text) for script in scripts.ALL])
            self.hold()
            attach = [called(scripts.ATTACH, [s.info, s.feed], self.run, broker, random_epoch()) for s in keys.shelves]
            replies = self.connection.ask(attach)
            confirm(self.connection, keys)
        except BaseException:
            self.connection.close()
            raise
        self._fences = [Fence(self.run, broker, reply[0]) for reply in replies]
        self.changes = [Changes(*reply[1:]) for reply in replies]
        """How far each partition was when this was attached."""

    def _check_format(self) -> bool:
        """Return whether there was no store, so that one begins."""
        get: Command = "GET", self._keys.format
        (found,) = self.connection.ask([get])  # a server that has no memory left is asked for no more than that
        made = None
        if found is None:
            self._check_empty()
            made, found = self.connection.ask([("SET", self._keys.format, FORMAT, "NX"), get])
        check_format(self.url, found)
        return made is not None

    def _check_empty(self) -> None:
        """See that nothing of another store is left, for a new one would take it for its own; raises StoreError.

        What brokers write as they come and go is passed over: some may be left of one that went at this moment.
        """
        passing = {
            self._keys.holder,
            self._keys.brokers,
            self._keys.confirmed,
            *(shelf.info for shelf in self._keys.shelves),
        }
        for found in keys_of(self.connection, self._keys):
            for key in found:
                if key not in passing:
                    if self.connection.ask([("GET", self._keys.format)]) == [None]:
                        raise StoreError(f"{self.url.place}: {something_else(self.url, key)}")
                    return  # another broker has just begun the store

    @understanding()
    def hold(self) -> None:
        """Say that this broker is there, and tend the store if no other one does; raises Trouble, StoreError."""
        where = [self._keys.holder, self._keys.brokers]
        ((tends, *ended),) = self.connection.ask([called(scripts.HOLD, where, self.broker, HOLD_MS, ENDED_MS)])
        self.tends = bool(tends)
        for broker in ended[0] if ended else ():
            self._sweep(broker)
            self.connection.ask([("ZREM", self._keys.brokers, broker)])

    def _sweep(self, broker: bytes) -> None:
        """Take a broker for ended."""
        sweeps = []
        for partition, shelf in enumerate(self._keys.shelves):
            where = [shelf.info, self._keys.here(partition, broker), shelf.feed]
            sweeps.append(called(scripts.SWEEP, where, broker, self.broker))
        self.connection.ask(sweeps)

    def fence(self, partition: int) -> Fence:
        """Return what the scripts of a partition go by."""
        return self._fences[partition]

    def snapshots(self, partitions: Iterable[int]) -> dict[int, Snapshot]:
        """Return what partitions have, once it is as safe as the URL asks for; raises Trouble, StoreError."""
        found = snapshots_of(self.connection, self._keys, list(partitions))
        confirm(self.connection, self._keys)
        return found

    @understanding()
    def producers(self) -> list[tuple[bytes, str, str, int]]:
        """Return the producers that are remembered, the one idle for longest first: with user, room, and time."""
        found = []
        for members in self.connection.ask(
            [("ZRANGE", shelf.producers, 0, -1, "WITHSCORES") for shelf in self._keys.shelves]
        ):
            for member, score in zip(members[::2], members[1::2], strict=True):
                found.append((*pair_of(member), int(float(score))))
        found.sort(key=lambda each: each[3])
        return found

    @understanding()
    def old_senders(self) -> list[str]:
        """Return the users whose names break the rules for new ones."""
        (found,) = self.connection.ask([("SMEMBERS", self._keys.old_senders)])
        return sorted(user.decode() for user in found)

    def release(self, *, begun: bool = False) -> None:
        """Let go of the store, and of the connection.

        `begun`: remove the store too, which this began for nothing, if no other broker has come to it.
        """
        with suppress(Trouble, StoreError):  # others find after some time that this broker is there no more
            if begun and self.connection.ask([("ZCARD", self._keys.brokers)]) == [1]:
                self.connection.ask([("DEL", self._keys.format, *(shelf.info for shelf in self._keys.shelves))])
            self._sweep(self.broker)
            self.connection.ask([called(scripts.RELEASE, [self._keys.holder, self._keys.brokers], self.broker)])
        self.connection.close()


@understanding()
def confirm(connection: Connection, keys: Keys) -> None:
    """Return once as many replicas as the connection's URL asks for have all that was written before: none, at once.

    Raises:
        Behind: they don't after `CONFIRM_MS`.
        Trouble: the server can't be used now.
        StoreError: the server refuses it.
    """
    if not connection.url.replicas:
        return
    write: Command = "EVAL", scripts.CONFIRM.text, 1, keys.confirmed
    _, have = connection.ask([write, ("WAIT", connection.url.replicas, CONFIRM_MS)])
    if have < connection.url.replicas:
        raise Behind(f"{have} of the {connection.url.replicas} replicas that are asked for have it")


def keys_of(connection: Connection, keys: Keys) -> Iterator[list[bytes]]:
    """Yield all keys of a store, or of what is left of one, some at a time; raises Trouble, StoreError.

    The server looks through all that it has in the database: some 0.6 s for a million keys.
    """
    bases = tuple(keys.bases)
    cursor = b""
    while cursor != b"0":
        scan: Command = "SCAN", cursor or b"0", "MATCH", keys.pattern, "COUNT", SCAN_KEYS
        ((cursor, found),) = connection.ask([scan])
        yield [key for key in found if key.startswith(bases)]


def something_else(url: RedisURL, key: bytes) -> str:
    """Return that a key is in the way of a new store, and what to do."""
    name = key.decode(errors="replace")
    return (
        f"there is something else under the prefix {url.prefix}, the key {name!a} for example, and nothing is "
        "overwritten: choose another prefix, or remove all keys of this one"
    )


def check_format(url: RedisURL, found: bytes) -> None:
    """See that what is kept is of the format of this zchat, and complete; raises StoreError."""
    if found.startswith(COPYING):
        raise StoreError(
            f"{url.place}: what is under the prefix {url.prefix} is a copy that is not complete: wait for it, or make "
            f"it anew (zchat copy --again FROM TO), or choose another prefix"
        )
    if found != FORMAT:
        raise StoreError(
            f"{url.place}: what is under the prefix {url.prefix} is of another format "
            f"({found.decode(errors='replace')}): upgrade zchat, or choose another prefix"
        )


@understanding()
def snapshots_of(connection: Connection, keys: Keys, partitions: list[int]) -> dict[int, Snapshot]:
    """Return what partitions have, over a connection for which the script is loaded; raises Trouble, StoreError."""
    commands = []
    for partition in partitions:
        where = list(keys.shelves[partition][:5])
        if partition == 0:
            where.append(keys.sanctions)
        commands.append(called(scripts.SNAPSHOT, where, keys.here(partition, b"")))
    return {each: _snapshot(*reply) for each, reply in zip(partitions, connection.ask(commands), strict=True)}


def _snapshot(epoch: int, logs: int, others: int, *fields: list[Any]) -> Snapshot:
    ends, names, epochs, marks = (dict(zip(each[::2], each[1::2], strict=True)) for each in fields[:4])
    rooms = {}
    for folded, value in ends.items():
        name, maker = name_of(names[folded])
        rooms[folded.decode()] = RoomState(name, maker, ends_of(value), epochs_of(epochs[folded]))
    here = [
        (broker, present_of(each)) for broker, values in zip(*[iter(fields[4])] * 2, strict=True) for each in values
    ]
    sanctions = None
    if len(fields) > 5:
        sanctions = sorted(map(sanction_of, fields[5]), key=lambda sanction: sanction.number)
    read_marks = {_mark(key): mark_of(value) for key, value in marks.items()}
    return Snapshot(Changes(epoch, logs, others), rooms, read_marks, sanctions, tuple(here))


def _mark(key: bytes) -> tuple[str, str]:
    room, _, user = key.decode().partition("\0")
    return room, user
