"""The scripts, in a real Redis, and their twin in Python: the same calls have the same answers and leave the same."""

from __future__ import annotations

from struct import pack
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgpack import unpackb

from tests.broker.store.redis.twin import Twin
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.epochs import MAX_EPOCHS
from zchat.broker.store.ledger import JUMP, MAX_SEQ
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.connections.server import Connection
from zchat.broker.store.redis.connections.url import parse
from zchat.broker.store.redis.partitions import Keys
from zchat.broker.store.redis.scripts import Script

KEYS = Keys("t")
SHELF = KEYS.shelves[0]
ROOMS = [b"general", b"stra\xc3\x9fe"]
USERS = [b"alice", b"bob"]
PRODUCERS = [b"alice's producer", b"bob's producer.."]
NOW = 1_700_000_000_000_000
EVERYTHING = (1 << 63) - 1


def append_keys(folded: bytes, producer: bytes) -> list[bytes]:
    log, seen = KEYS.log(0, folded), KEYS.seen(0, producer, folded)
    return [SHELF.info, SHELF.ends, SHELF.names, SHELF.epochs, log, seen, SHELF.producers, SHELF.feed]


def appending(
    folded: bytes = ROOMS[0],
    producer: bytes = PRODUCERS[0],
    number: int = 1,
    count: int = 1,
    connection: int = 1,
    digest: bytes = b"12345678",
    crowded: int = 0,
    user: bytes = b"alice",
    now: int = NOW,
    untold: int = 0,
) -> tuple[Script, list[bytes], tuple[Any, ...]]:
    """Return a call that stores a block."""
    digest, suffix = digest if count else b"", b"\xa5alice\xc4\x10" + producer + b"\xc4\x01\x90"
    names = folded, user + b"\0General"
    arguments = (*names, connection, number, count, digest, suffix, user, crowded, producer, now, untold)
    return scripts.APPEND, append_keys(folded, producer), arguments


FENCED = (
    *(scripts.APPEND, scripts.MARK, scripts.UNMARK, scripts.FORGET, scripts.IMPOSE, scripts.LIFT, scripts.TRIM),
    *(scripts.HERE, scripts.GONE, scripts.TELL),
)
ATTACHED = (b"run", b"broker", 1)

times = st.sampled_from([NOW, NOW + 1, NOW + JUMP, NOW + JUMP + 1])
rooms, users, producers = st.sampled_from(ROOMS), st.sampled_from(USERS), st.sampled_from(PRODUCERS)
few = st.integers(0, 3)
sanction_keys = [SHELF.info, KEYS.sanctions, KEYS.counts, SHELF.feed]


def field(user: bytes, kind: bytes, folded: bytes) -> bytes:
    return folded + b"\0" + user + b"\0" + kind


appends = st.builds(
    appending,
    rooms,
    producers,
    st.one_of(st.integers(0, 20), st.just(EVERYTHING)),
    st.sampled_from([0, 1, 1, 3, 100]),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from([b"12345678", b"12345678", b"87654321"]),
    st.integers(0, 1),
    users,
    times,
    st.integers(0, 1),
)
runs_of_blocks = st.builds(
    lambda folded, producer, count, connection, user, now: [
        appending(folded, producer, number, 1, connection, user=user, now=now) for number in range(1, count + 1)
    ],
    rooms,
    producers,
    st.sampled_from([1, 2, MAX_REQUESTS, MAX_REQUESTS + 3]),
    st.integers(1, 2),
    users,
    times,
)
marks = st.builds(
    lambda *arguments: (scripts.MARK, [SHELF.info, SHELF.ends, SHELF.marks, SHELF.feed], arguments),
    rooms,
    users,
    st.sampled_from([0, 1, 2, 50, EVERYTHING]),
    st.integers(0, 1),
    times,
)
unmarks = st.builds(
    lambda folded, user, moved: (scripts.UNMARK, [SHELF.info, SHELF.marks, SHELF.feed], (folded + b"\0" + user, moved)),
    rooms,
    users,
    times,
)
forgets = st.builds(
    lambda folded, producer, user, until, late: (
        scripts.FORGET,
        [SHELF.info, SHELF.producers, KEYS.seen(0, producer, folded)],
        (producer + user + b"\0" + folded, until, late),
    ),
    rooms,
    producers,
    users,
    times,
    st.sampled_from([0, 3_600_000]),
)
imposes = st.builds(
    lambda folded, user, kind, moderator, value, places: (
        scripts.IMPOSE,
        sanction_keys,
        (field(user, kind, folded), folded, moderator, value, *places),
    ),
    rooms,
    users,
    st.sampled_from([b"ban", b"mute"]),
    users,
    st.binary(max_size=5),
    st.tuples(few, few, few),
)
lifts = st.builds(
    lambda folded, user, kind, number: (scripts.LIFT, sanction_keys, (field(user, kind, folded), folded, number)),
    rooms,
    users,
    st.sampled_from([b"ban", b"mute"]),
    few,
)
trims = st.builds(
    lambda folded, upto: (scripts.TRIM, [SHELF.info, SHELF.ends, KEYS.log(0, folded), SHELF.feed], (folded, upto)),
    rooms,
    st.sampled_from([0, 1, 3, 4, 103, EVERYTHING]),
)
attaches = st.builds(
    lambda run, broker, epoch: (scripts.ATTACH, [SHELF.info, SHELF.feed], (run, broker, epoch)),
    st.sampled_from([b"run", b"run", b"run", b"run 2"]),
    st.sampled_from([b"broker", b"broker", b"broker", b"other"]),
    st.integers(1, 1 << 53),
)
here_keys = [SHELF.info, KEYS.here(0, b"broker"), SHELF.feed]
arrivals = st.builds(
    lambda folded, user, value: (scripts.HERE, here_keys, (folded + b"\0" + user, value)),
    rooms,
    users,
    st.binary(min_size=1, max_size=2),
)
departures = st.builds(
    lambda folded, user: (scripts.GONE, here_keys, (folded + b"\0" + user,)),
    rooms,
    users,
)
news = st.builds(
    lambda *fields: (scripts.TELL, [SHELF.info, SHELF.feed], (b"T", *fields)),
    rooms,
    users,
    st.sampled_from([b"", b"1"]),
)
sweeps = st.builds(
    lambda broker: (scripts.SWEEP, [SHELF.info, KEYS.here(0, broker), SHELF.feed], (broker, b"other")),
    st.sampled_from([b"broker", b"other"]),
)
snapshots = st.sampled_from([[], [KEYS.sanctions]]).map(
    lambda more: (scripts.SNAPSHOT, [*SHELF[:5], *more], (KEYS.here(0, b""),))
)
others = st.one_of(appends, marks, unmarks, forgets, imposes, lifts, trims, arrivals, departures, news, snapshots)
one_call = st.one_of(others, attaches, sweeps).map(lambda call: [call])


def flat(lists: list[list[Any]]) -> list[Any]:
    return [call for each in lists for call in each]


class Both:
    """A real Redis and its twin, which are asked the same."""

    def __init__(self, server: RedisServer, *, listening: bool = False) -> None:
        self._server = server
        self._listening = None
        if listening:
            self._listening = Connection(parse(server.url))
            self._listening.subscribe([SHELF.feed])
        server.call("FLUSHALL")
        loaded = server.calls([("SCRIPT", "LOAD", script.text) for script in scripts.ALL])
        assert loaded == [script.sha.encode() for script in scripts.ALL]
        self._twin = Twin()
        self.generation = 0

    def call(self, *calls: tuple[Script, list[bytes], tuple[Any, ...]], fence: tuple[Any, ...] = ()) -> list[Any]:
        """Return the answers to calls, which are the same; those that need it are fenced by the present generation."""
        mine, commands = [], []
        for script, keys, arguments in calls:
            given = (*(fence or (b"run", b"broker", self.generation)), *arguments) if script in FENCED else arguments
            commands.append(("EVALSHA", script.sha, len(keys), *keys, *given))
            mine.append(self._twin.call(script, keys, *given))
            if script is scripts.ATTACH and given[:2] == (b"run", b"broker"):
                self.generation = mine[-1][0]
        answers = self._server.calls(commands)
        assert [_sorted(answer) for answer in answers] == [_sorted(answer) for answer in mine]
        return answers

    def attach(self, run: bytes = b"run", broker: bytes = b"broker", epoch: int = 1 << 52) -> Any:
        return self.call((scripts.ATTACH, [SHELF.info, SHELF.feed], (run, broker, epoch)))[0]

    def check(self) -> None:
        """Check that both hold the same, and have told the same if that was listened to."""
        if self._listening is not None:
            told: list[Any] = []
            while len(told) < len(self._twin.told):
                told += ((where, unpackb(said, raw=True)) for where, said in self._listening.told(DEADLINE))
            assert told == self._twin.told
            self._listening.close()
        held = self._server.keys()
        for key, value in held.items():
            if isinstance(value, list):  # a stream
                held[key] = [(identity, fields) for identity, fields in map(tuple, value)]
        assert held == {key: value for key, value in self._twin.keys.items() if value or b":log:" in key}


def _sorted(answer: Any) -> Any:
    """Return an answer whose fields and values, if it is a snapshot, are in no order."""
    if len(answer) > 6 and isinstance(answer[3], list):
        pairs = [dict(zip(each[::2], each[1::2], strict=True)) for each in answer[3:7]]
        here = {answer[7][each]: sorted(answer[7][each + 1]) for each in range(0, len(answer[7]), 2)}
        return [*answer[:3], *pairs, here, *(sorted(each) for each in answer[8:])]
    return answer


@settings(max_examples=40)
@given(st.lists(st.one_of(runs_of_blocks, one_call), max_size=12).map(flat))
def test_the_scripts_do_what_their_twin_does(redis_server: RedisServer, calls: list[Any]) -> None:
    both = Both(redis_server, listening=True)
    both.attach()
    both.call(*calls)
    both.check()


@settings(max_examples=40)
@given(st.lists(others, min_size=10, max_size=60))
def test_so_they_do_in_rooms_with_messages(redis_server: RedisServer, calls: list[Any]) -> None:
    both = Both(redis_server, listening=True)
    both.attach()
    for folded in ROOMS:
        both.call(*(appending(folded, producer, count=3) for producer in PRODUCERS))
    both.call(*calls)
    both.check()


def test_numbers_and_times_keep_all_their_digits(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach(epoch=(1 << 53) - 1)
    full = pack(">QQQQ", 1, MAX_SEQ - 2, NOW, 5)
    redis_server.call("HSET", SHELF.ends, ROOMS[0], full)
    both._twin._set(SHELF.ends, ROOMS[0], full)
    now = NOW + 123_457
    answers = both.call(appending(now=now), appending(number=2, count=2), appending(number=2), appending(number=3))
    epoch = (1 << 53) - 1
    assert answers == [
        [b"stored", MAX_SEQ - 1, now, epoch, 1],
        [b"full"],
        [b"stored", MAX_SEQ, now, epoch, 2],
        [b"full"],
    ]
    both.check()


def test_a_rooms_time_never_goes_back_unless_a_clock_was_wrong(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    times = [NOW, NOW + 1, NOW, NOW + 1 - JUMP, NOW - JUMP, NOW + 5]
    answers = both.call(*(appending(number=number, now=now) for number, now in enumerate(times, 1)))
    assert [answer[2] for answer in answers] == [NOW, NOW + 1, NOW + 1, NOW + 1, NOW - JUMP, NOW + 5]


def test_what_was_used_since_is_not_removed_and_a_producer_stays_its_first_users(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    both.call(appending(now=NOW), appending(number=2, user=b"bob", now=NOW + 5))
    member = PRODUCERS[0] + b"alice\0" + ROOMS[0]
    forget = (scripts.FORGET, [SHELF.info, SHELF.producers, KEYS.seen(0, PRODUCERS[0], ROOMS[0])])
    mark = (scripts.MARK, [SHELF.info, SHELF.ends, SHELF.marks, SHELF.feed], (ROOMS[0], b"bob", 1, 0, NOW + 5))
    unmark = (scripts.UNMARK, [SHELF.info, SHELF.marks, SHELF.feed])
    both.call(mark)
    for until, word in ((NOW + 4, b"none"), (NOW + 5, b"gone")):
        answers = both.call((*forget, (member, until, 0)), (*unmark, (ROOMS[0] + b"\0bob", until)))
        assert [answer[0] for answer in answers] == [word, word]
    both.check()


def test_late_blocks_of_a_producer_that_said_goodbye_are_not_stored_again(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    both.call(appending(connection=2), appending(number=2, connection=2, digest=b"87654321"))
    member = PRODUCERS[0] + b"alice\0" + ROOMS[0]
    seen = KEYS.seen(0, PRODUCERS[0], ROOMS[0])
    both.call((scripts.FORGET, [SHELF.info, SHELF.producers, seen], (member, NOW, 60_000)))
    assert 0 < redis_server.call("PTTL", seen) <= 60_000
    sent_again = appending(number=2, connection=2, digest=b"87654321")
    late, again, unknown = both.call(appending(connection=1), sent_again, appending(number=3, connection=2))
    assert (late, again[:3], unknown) == ([b"fenced"], [b"duplicate", 2, 1], [b"forgotten"])
    begun, after = both.call(appending(connection=3, digest=b"another."), appending(connection=3, digest=b"another."))
    assert (begun[:2], after[:2]) == ([b"stored", 3], [b"duplicate", 3])
    assert redis_server.call("PTTL", seen) == -1
    both.check()


def test_without_a_time_the_servers_counts(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    script, keys, arguments = appending()
    command = ("EVALSHA", script.sha, len(keys), *keys, b"run", b"broker", 1, *arguments[:-2], b"", 0)
    before, (word, first, at, *_), after = redis_server.calls([("TIME",), command, ("TIME",)])
    assert (word, first) == (b"stored", 1)
    assert _microseconds(before) <= at <= _microseconds(after)


def _microseconds(time: list[bytes]) -> int:
    return int(time[0]) * 1_000_000 + int(time[1])


def test_a_command_of_an_earlier_attachment_of_another_run_or_of_another_broker_changes_nothing(
    redis_server: RedisServer,
) -> None:
    both = Both(redis_server)
    both.attach()
    both.call(appending())
    first = (b"run", b"broker", both.generation)
    both.attach()
    before = redis_server.keys()
    for fence in (first, (b"run 2", b"broker", both.generation), (b"run", b"other", both.generation)):
        assert both.call(appending(number=2), fence=fence) == [[b"detached"]]
    assert redis_server.keys() == before
    assert both.call(appending(number=2))[0][0] == b"stored"
    both.attach(broker=b"other")
    assert both.call(appending(number=3))[0][0] == b"stored", "another broker takes nothing from this one"
    both.check()


def test_another_run_begins_an_epoch_with_the_next_block_and_the_same_run_does_not(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    assert both.attach(epoch=7) == [1, 7, 0, 0]
    both.call(appending())
    assert both.attach(epoch=8) == [2, 7, 1, 0]
    assert both.call(appending(number=2))[0] == [b"stored", 2, NOW, 7, 2]
    assert both.attach(run=b"run 2", epoch=9) == [3, 9, 2, 0]
    assert both.call(appending(number=3), fence=(b"run 2", b"broker", 3))[0] == [b"stored", 3, NOW, 9, 3]
    assert redis_server.call("HGET", SHELF.epochs, ROOMS[0]) == pack(">QQQQ", 7, 1, 9, 3)


def test_only_the_last_thousand_epochs_are_kept(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    many = pack(">Q", 5) * 2 * MAX_EPOCHS
    redis_server.call("HSET", SHELF.epochs, ROOMS[0], many)
    both._twin._set(SHELF.epochs, ROOMS[0], many)
    both.call(appending())
    both.check()
    assert redis_server.call("HGET", SHELF.epochs, ROOMS[0]) == many[16:] + pack(">QQ", 1 << 52, 1)


def test_a_block_of_a_connection_that_the_client_has_left_is_not_stored(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    answers = both.call(appending(connection=2), appending(number=2, connection=1), appending(connection=1))
    assert [answer[0] for answer in answers] == [b"stored", b"fenced", b"fenced"]


def test_other_bytes_under_a_stored_number_are_no_duplicate(redis_server: RedisServer) -> None:
    both = Both(redis_server)
    both.attach()
    answers = both.call(appending(), appending(digest=b"otherwis"), appending(), appending(count=0))
    assert [answer[0] for answer in answers] == [b"stored", b"taken", b"duplicate", b"duplicate"]


def test_one_broker_tends_the_store_until_it_lets_go_or_its_time_is_over(redis_server: RedisServer) -> None:
    Both(redis_server)
    where = (2, KEYS.holder, KEYS.brokers)

    def hold(broker: bytes, milliseconds: int = 60_000, ended: int = 60_000) -> Any:
        return redis_server.call("EVALSHA", scripts.HOLD.sha, *where, broker, milliseconds, ended)

    assert [hold(b"a"), hold(b"a"), hold(b"b")] == [[1, []], [1, []], [0]]
    assert redis_server.call("EVALSHA", scripts.RELEASE.sha, *where, b"b") == 0
    assert hold(b"b") == [0]
    assert redis_server.call("EVALSHA", scripts.RELEASE.sha, *where, b"a") == 1
    assert hold(b"b", 1) == [1, []]
    redis_server.call("ZADD", KEYS.brokers, 5, b"killed")
    eventually(lambda: hold(b"c") == [1, [b"killed"]], "c tends it, and finds who has ended")
    assert redis_server.call("ZCARD", KEYS.brokers) == 3
