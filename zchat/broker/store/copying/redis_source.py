"""A store over Redis as what is copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    Result,
    RoomRecord,
)
from zchat.broker.store.copying.sides import Source
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.attachment import RoomState, check_format, snapshots_of
from zchat.broker.store.redis.connections.sentinel import connect
from zchat.broker.store.redis.connections.server import Connection, Trouble, check_installed, understanding
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.forms import block_at, ends_of, pair_of, result_of
from zchat.broker.store.redis.partitions import PARTITIONS, Keys
from zchat.errors import StoreError
from zchat.wire.blocks import after_time

ROOMS_AT_ONCE = 64
"""Rooms whose first blocks are asked for together: most rooms have a few."""

FIRST_BLOCKS = 8
"""Blocks of each that are asked for then: 45 MB of all rooms together at most, if all are the largest."""

MORE_BLOCKS = 500
"""Blocks of a room that are asked for after these: as many as `MORE_BYTES` allow, and this at most."""

MORE_BYTES = 1 << 20
"""Bytes that they are to have together, as those before have them."""

PRODUCERS_AT_ONCE = 500
"""Producers that are asked for together."""

QUIET_MS = 10_000
"""Milliseconds in which no broker has said that it is there, once none is."""


class RedisSource(Source):
    """The store over Redis at `url`, over a connection to which the scripts are loaded."""

    def __init__(self, url: RedisURL, connection: Connection) -> None:
        self.place = url.place
        self._keys = Keys(url.prefix)
        self._connection = connection
        self.identity = identity_of(url, connection)
        self._infos = self._all_infos()

    def messages(self) -> int:
        """See `Source.messages`."""
        count = 0
        with answering(self.place):
            for shelf in self._keys.shelves:
                (values,) = self._connection.ask([("HVALS", shelf.ends)])
                count += sum(ends.last - ends.first + 1 for ends in map(ends_of, values))
        return count

    def records(self) -> Iterator[Record]:
        """See `Source.records`."""
        return records_of(self.place, self._keys, self._connection)

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`."""
        self.check_free()
        if self._all_infos() != self._infos:
            raise StoreError(f"{self.place} was changed while it was copied: stop all brokers on it")

    def check_free(self) -> None:
        """See that no broker is attached, as far as that is known; raises StoreError."""
        with answering(self.place):
            ((seconds, microseconds),) = self._connection.ask([("TIME",)])
            since = int(seconds) * 1000 + int(microseconds) // 1000 - QUIET_MS
            (count,) = self._connection.ask([("ZCOUNT", self._keys.brokers, since, "+inf")])
        if count:
            raise StoreError(
                f"{self.place} is in use by {count} broker{'s' * (count != 1)}: stop them; of one that was killed this "
                f"is said for {QUIET_MS // 1000} seconds"
            )

    def _all_infos(self) -> list[Any]:
        with answering(self.place):
            infos = self._connection.ask([("HGETALL", shelf.info) for shelf in self._keys.shelves])
            return [dict(zip(each[::2], each[1::2], strict=True)) for each in infos]


@contextmanager
def redis_source(url: RedisURL) -> Iterator[RedisSource]:
    """Give a store over Redis as what is copied; nothing is written there.

    Raises:
        StoreError: there is none, or none that is complete and of this version; or brokers are attached to it.
    """
    with closing(connected(url)) as connection:
        with answering(url.place):
            (found,) = connection.ask([("GET", Keys(url.prefix).format)])
            if found is None:
                raise StoreError(f"{url.place}: there is no store under the prefix {url.prefix}; name another one")
            check_format(url, found)
        source = RedisSource(url, connection)
        source.check_free()
        yield source


def connected(url: RedisURL) -> Connection:
    """Return a connection to which the scripts of a copy are loaded.

    Raises:
        UsageError: what it requires is not installed.
        StoreError: the server can't be used.
    """
    check_installed()
    with answering(url.place):
        connection = connect(url)
        try:
            connection.ask([("SCRIPT", "LOAD", script.text) for script in scripts.COPYING])
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def answering(place: str) -> Iterator[None]:
    """Ask the server, and read its answers, while the block runs; raises StoreError."""
    try:
        with understanding():
            yield
    except Trouble as trouble:
        raise StoreError(f"{place} can't be used as a store: {trouble}; {trouble.advice}") from trouble


def identity_of(url: RedisURL, connection: Connection) -> tuple[object, ...]:
    """Return what tells a store from all others: the server's run, the database and the prefix; raises StoreError."""
    with answering(url.place):
        (info,) = connection.ask([("INFO", "server")])
        (run,) = (line for line in info.decode(errors="replace").splitlines() if line.startswith("run_id:"))
    return ("redis", run, url.connect.get("db", 0), url.prefix)


def records_of(place: str, keys: Keys, connection: Connection) -> Iterator[Record]:
    """Yield all that is kept under keys; raises StoreError."""
    with answering(place):
        yield from _records(place, keys, connection)


def _records(place: str, keys: Keys, connection: Connection) -> Iterator[Record]:
    sanctions = []
    for partition in range(PARTITIONS):
        snapshot = snapshots_of(connection, keys, [partition])[partition]
        sanctions += snapshot.sanctions or []
        read_marks: dict[str, list[ReadMarkRecord]] = {}
        for (room, user), (seq, moved) in snapshot.marks.items():
            read_marks.setdefault(room, []).append(ReadMarkRecord(user, seq, moved))
        producers = _producers(partition, keys, connection)
        rooms = list(snapshot.rooms.items())
        for start in range(0, len(rooms), ROOMS_AT_ONCE):
            some = rooms[start : start + ROOMS_AT_ONCE]
            logs = [keys.log(partition, folded.encode()) for folded, _ in some]
            firsts = connection.ask([("XRANGE", log, "-", "+", "COUNT", FIRST_BLOCKS) for log in logs])
            for (folded, state), log, first in zip(some, logs, firsts, strict=True):
                yield _room(state)
                for mark in read_marks.pop(folded, ()):
                    yield mark._replace(seq=min(mark.seq, state.ends.last))
                yield from _remembered(partition, folded, producers.pop(folded, []), keys, connection)
                yield from _blocks(log, first, connection)
        for folded in (*read_marks, *producers):
            raise StoreError(f"{place}: a room, {folded!a}, is missing: what is there is damaged; restore a backup")
    yield from sanctions
    yield from _old_senders(keys, connection)


def _room(state: RoomState) -> RoomRecord:
    ends = state.ends
    return RoomRecord(state.name, state.maker, ends.first, ends.last, ends.timestamp, state.epochs)


def _producers(partition: int, keys: Keys, connection: Connection) -> dict[str, list[tuple[bytes, int]]]:
    """Return the producers of each room, by folded name, and when the last block of each was stored."""
    found: dict[str, list[tuple[bytes, int]]] = {}
    (members,) = connection.ask([("ZRANGE", keys.shelves[partition].producers, 0, -1, "WITHSCORES")])
    for member, score in zip(members[::2], members[1::2], strict=True):
        producer, _, folded = pair_of(member)
        found.setdefault(folded, []).append((producer, int(float(score))))
    return found


def _remembered(
    partition: int, folded: str, producers: list[tuple[bytes, int]], keys: Keys, connection: Connection
) -> Iterator[ProducerRecord]:
    for start in range(0, len(producers), PRODUCERS_AT_ONCE):
        some = producers[start : start + PRODUCERS_AT_ONCE]
        found = connection.ask([("HGETALL", keys.seen(partition, producer, folded.encode())) for producer, _ in some])
        yield from _producer_records(some, found)


def _producer_records(producers: list[tuple[bytes, int]], found: list[Any]) -> list[ProducerRecord]:
    records = []
    for (producer, seen), flat in zip(producers, found, strict=True):
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        last = int(fields[b"n"])
        numbers = range(max(1, last - MAX_REQUESTS + 1), last + 1)
        kept = [fields[slot] for number in numbers if (slot := b"r%d" % (number % MAX_REQUESTS)) in fields]
        results = tuple(Result(*result_of(value)[1:]) for value in kept)
        records.append(
            ProducerRecord(producer, fields[b"u"].decode(), last, seen, results, connection=int(fields[b"c"]))
        )
    return records


def _blocks(log: bytes, entries: Any, connection: Connection) -> Iterator[BlockRecord]:
    """Yield the blocks of a log, of which the first entries are here."""
    asked_for = FIRST_BLOCKS
    while True:
        blocks, size = _block_records(entries)
        yield from blocks
        if len(blocks) < asked_for:
            return
        asked_for = max(1, min(MORE_BLOCKS, MORE_BYTES * len(blocks) // size))
        (entries,) = connection.ask([("XRANGE", log, b"(" + entries[-1][0], "+", "COUNT", asked_for)])


def _block_records(entries: Iterable[Any]) -> tuple[list[BlockRecord], int]:
    """Return the blocks of entries of a log, and the bytes that these have."""
    blocks = [block_at(entry) for entry in entries]
    records = [BlockRecord(*block[:4], after_time(block.data)) for block in blocks]
    return records, sum(len(block.data) for block in blocks)


def _old_senders(keys: Keys, connection: Connection) -> list[OldSender]:
    (found,) = connection.ask([("SMEMBERS", keys.old_senders)])
    return [OldSender(user.decode()) for user in found]
