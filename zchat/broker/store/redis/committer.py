"""The thread that writes: what arrived while the server answered goes to it together, next."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from zchat.broker.store.batches import take_batch
from zchat.broker.store.contract import TRIM_BLOCKS, Commit, Failed, Full, Trimmed
from zchat.broker.store.ledger import EXPIRED_AT_ONCE, count_old
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.attachment import HOLD_EVERY, Attachment, Snapshot, confirm
from zchat.broker.store.redis.connections.server import (
    Behind,
    Command,
    Trouble,
    is_error,
    is_full,
    passes,
    understanding,
)
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.forms import block_at, ends_of, pair_of
from zchat.broker.store.redis.notices import grown
from zchat.broker.store.redis.partitions import PARTITIONS, Keys, partition_of
from zchat.broker.store.redis.producers import Pair
from zchat.broker.store.redis.requests import Call, Expire, Forget, Trim, Write, called
from zchat.errors import StoreError
from zchat.threads import RealThread, awaited_by_callers, start

BATCH_CALLS = 1000
"""Calls that are sent to the server at once at most: it carries them out in tens of milliseconds."""

BATCH_BYTES = 8 << 20
"""Bytes of blocks after which a batch takes no more: some 50 ms of a slow disk."""

HELD_SECONDS = 10.0
"""Seconds for which what was asked for is held, and sent again, while the server can't be reached; then it fails."""

AGAIN_SECONDS = 0.05, 0.2
"""Seconds, by chance between these, from one attempt to reach the server to the next."""


class Answered(NamedTuple):
    """What came of calls, in order: a script's reply for each, or why there is none; `commit` is how that went."""

    calls: list[Call]
    replies: list[Any]
    commit: Commit | None = None


class Attached(NamedTuple):
    """The server was reached again: what has changed meanwhile, and in any case the partition with the sanctions."""

    snapshots: dict[int, Snapshot]
    url: RedisURL
    """Where it is now."""
    run: bytes
    """The id of its run."""


class TrimDone(NamedTuple):
    """What came of a trim; None if it was of a room that the server has no log of."""

    room: str
    answer: Trimmed | Failed | None


class Expired(NamedTuple):
    """Producers that were forgotten, as they had been idle for long: some that this broker has not met, maybe."""

    pairs: list[Pair]


class Unreachable(NamedTuple):
    """The server can't be reached, which was noticed when nothing was to be written."""

    reason: str


class Doubt(NamedTuple):
    """A request to attach anew."""


Task: TypeAlias = Call | Trim | Expire | Doubt
Report: TypeAlias = Answered | Attached | TrimDone | Expired | Unreachable


class Committer:
    """The thread that writes, over the connection that is attached.

    It begins with `attachment`, and attaches anew whenever that breaks: what was sent and not answered is then sent
    again, and the store's memory of numbers answers for what was stored already. `now` returns the time to date blocks
    by, "" for the server's. Each report is followed by a call of `wake`, from that thread. `failure` is what ended it
    before its time.
    """

    def __init__(
        self, url: RedisURL, keys: Keys, attachment: Attachment, now: Callable[[], str], wake: Callable[[], None]
    ) -> None:
        self.reports: deque[Report] = deque()
        self.failure: BaseException | None = None
        self._url = url
        self._keys = keys
        self._broker = attachment.broker
        self._attachment: Attachment | None = attachment
        self.tends = attachment.tends
        """Whether this broker is the one that trims logs and forgets producers. Any thread may read it."""
        self.attachments = 0
        """How often this was attached anew. Any thread may read it, and the next."""
        self.answered = time.monotonic()
        """When the server last answered."""
        self.trouble = ""
        """Why the server can't be used, "" while it can. Any thread may read it."""
        self._changes = list(attachment.changes)
        """How far each partition is as far as this thread knows."""
        self._now = now
        self._wake = wake
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._flight: deque[Call] = deque()
        """What was taken from the queue and isn't answered yet, in order."""
        self._held_since: float | None = None
        """Since when the server can't be reached; None while it can."""
        self._hold_due = 0.0
        """When it is next to be said that this broker is there, or tried to attach again."""
        self._stopping = False
        self._removing = False
        self._thread = RealThread(self._run, "zchat store commits")
        start(self._thread)

    def put(self, task: Task) -> None:
        """Hand over one more task; the caller bounds them. Any one thread."""
        self._tasks.put(task)

    def doubt(self) -> None:
        """Have this broker attach anew: what the server has may be of another run. Any one thread."""
        self._tasks.put(Doubt())

    @property
    def place(self) -> RedisURL | None:
        """The URL of the server that is attached to; None while it is looked for. Any thread."""
        attachment = self._attachment
        return None if attachment is None else attachment.url

    def leave(self, place: RedisURL) -> None:
        """Have this broker attach anew, if it is attached to the server at `place`. Any thread."""
        attachment = self._attachment
        if attachment is not None and attachment.url == place:
            attachment.connection.hang_up()

    def remove(self) -> None:
        """Have the store removed at the end: it was begun for nothing."""
        self._removing = True

    def stop(self) -> None:
        """End once everything handed over is done, or can't be done now; returns at once."""
        self._stopping = True
        self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            more = True
            while more:
                tasks, more = self._take()
                self._turn(tasks)
        except BaseException as error:  # the loop, which waits for reports, has to learn that none will come
            self.failure = error
            self._wake()
        finally:
            if self._attachment is not None:
                self._attachment.release(begun=self._removing)

    def _take(self) -> tuple[list[Task], bool]:
        return take_batch(self._tasks, HOLD_EVERY, BATCH_CALLS, BATCH_BYTES, _size)

    def _turn(self, tasks: list[Task]) -> None:
        if any(isinstance(task, Doubt) for task in tasks):
            self._drop()
        for task in tasks:
            if isinstance(task, Expire):
                self._in_turn(self._expire, task)
        self._flight.extend(task for task in tasks if isinstance(task, Call))
        while self._flight or time.monotonic() >= self._hold_due:
            connected = self._attachment is not None
            try:
                self._exchange(self._ready())
                break
            except (Trouble, StoreError) as trouble:
                self._drop()
                self.trouble = str(trouble)
                # A connection that was there may just have been cut: the first attempt to make another is at once.
                if not (connected and not self._stopping) and not self._may_hold():
                    self._fail(str(trouble))
                    break
        for task in tasks:
            if isinstance(task, Trim):
                self._report(TrimDone(task.room, self._in_turn(self._trim, task)))

    def _ready(self) -> Attachment:
        """Return what is attached, and known to be there; raises Trouble, StoreError."""
        attachment = self._attachment
        now = time.monotonic()
        if attachment is None:
            attachment = self._attachment = Attachment(self._url, self._keys, self._broker)
            changed = [each for each in range(1, PARTITIONS) if attachment.changes[each] != self._changes[each]]
            self._report(Attached(attachment.snapshots([0, *changed]), attachment.url, attachment.run))
            self._changes = list(attachment.changes)
            self.attachments += 1
        elif now >= self._hold_due:
            attachment.hold()
        else:
            return attachment
        self.tends = attachment.tends
        self._hold_due = now + HOLD_EVERY
        self._held_since = None
        self.trouble = ""
        self.answered = time.monotonic()
        return attachment

    def _exchange(self, attachment: Attachment) -> None:
        """Send what is in flight, and report what is answered; raises Trouble if some of it is to be sent again."""
        calls = list(self._flight)
        if not calls:
            return
        began = time.perf_counter_ns()
        now = self._now()
        commands = [call.request.command(self._keys, attachment.fence(call.partition), now) for call in calls]
        answered: list[Call] = []
        replies: list[Any] = []
        again: dict[str, str] = {}  # by room, why what is about it is sent again, in its order
        self._flight.clear()
        try:
            attachment.connection.send(commands)
            with understanding():
                for call in calls:
                    reply = attachment.connection.receive()
                    room = call.request.room
                    if room in again or passes(reply) or reply == DETACHED:
                        again.setdefault(room, OTHERWISE if reply == DETACHED else str(reply))
                        self._flight.append(call)
                        continue
                    replies.append(self._judged(call, reply))
                    answered.append(call)
            replies = self._confirmed(attachment, answered, replies)
        except (Trouble, StoreError):
            if self._url.replicas:  # nothing of it is known to be safe
                answered = []
                self._flight.clear()
            self._flight.extend(calls[len(answered) + len(self._flight) :])
            raise
        finally:
            for call in self._flight:
                call.again = True
            if answered:
                size = sum(call.request.size for call in answered if isinstance(call.request, Write))
                commit = Commit((time.perf_counter_ns() - began) // 1000, size)
                self._report(Answered(answered, replies, commit))
        self.answered = time.monotonic()
        if again:
            raise Trouble(next(iter(again.values())))
        self._held_since = None
        self.trouble = ""

    def _confirmed(self, attachment: Attachment, calls: list[Call], replies: list[Any]) -> list[Any]:
        """Return the replies to calls once as many replicas as are asked for have what came of them, and tell others of
        the blocks; or, where somebody waits for a reply, why it has failed, if that takes too long.

        Raises:
            Trouble: the server can't be used now, and it is to be sent again.
            StoreError: the server refuses it.
        """
        if not self._url.replicas or all(call.done is None for call in calls):
            return replies
        until = time.monotonic() + HELD_SECONDS
        while True:
            try:
                confirm(attachment.connection, self._keys)
                break
            except Behind as behind:
                if self._stopping or time.monotonic() >= until:
                    failed = Failed(f"the server has it, but {behind}")
                    return [reply if call.done is None else failed for call, reply in zip(calls, replies, strict=True)]
                self._ready()  # it is to be known that this broker is there
        tell: list[Command] = []
        for call, reply in zip(calls, replies, strict=True):
            if type(reply) is list and reply[0] == b"stored":
                _, first, _, epoch, change = reply
                room, append = call.request.room, call.request.append  # type: ignore[union-attr]
                notice = grown(self._broker, epoch, change, room, first + append.count - 1)
                tell.append(("SPUBLISH", self._keys.shelves[call.partition].feed, notice))
        if tell:
            attachment.connection.ask(tell)
        return replies

    def _judged(self, call: Call, reply: Any) -> Any:
        """Return a script's reply once what it has changed is counted, or what its failure comes to."""
        if is_full(reply):
            return Full("the server has no memory left")
        if is_error(reply):
            return Failed(f"the server refuses it: {reply}")
        if type(reply) is not list:
            raise TypeError(f"a script's reply that is no list, {reply!r:.80}")
        if reply[0] in COUNTED:
            known = self._changes[call.partition]
            stored = reply[0] == b"stored"
            self._changes[call.partition] = (
                known._replace(logs=reply[-1]) if stored else known._replace(others=reply[-1])
            )
        return reply

    def _drop(self) -> None:
        if self._attachment is not None:
            self._attachment.connection.close()
            self._attachment = None
        self._hold_due = 0.0
        if self._held_since is None:
            self._held_since = time.monotonic()

    def _may_hold(self) -> bool:
        """Return whether what is in flight is to be tried again, once some time has passed."""
        assert self._held_since is not None
        if self._stopping or not self._flight or time.monotonic() - self._held_since >= HELD_SECONDS:
            return False
        time.sleep(random.uniform(*AGAIN_SECONDS))
        return True

    def _fail(self, reason: str) -> None:
        """Fail what is in flight, and what waits after it."""
        if not self._flight:
            self._report(Unreachable(reason))
            return
        waiting: list[Task | None] = []
        while True:
            try:
                waiting.append(self._tasks.get_nowait())
            except Empty:
                break
        for task in waiting:
            if isinstance(task, Call):
                self._flight.append(task)
            else:
                self._tasks.put(task)
        calls = list(self._flight)
        self._flight.clear()
        self._report(Answered(calls, [Failed(f"the server can't be used: {reason}")] * len(calls)))

    def _in_turn(self, do: Callable[[Attachment, Any], Any], task: Trim | Expire) -> Any:
        """Carry out something that is not held: what it comes to, or why it fails."""
        if self._attachment is None:
            return Failed("the server can't be used")
        try:
            return do(self._attachment, task)
        except (Trouble, StoreError) as trouble:
            self._drop()
            return Failed(str(trouble))

    @understanding()
    def _trim(self, attachment: Attachment, trim: Trim) -> Trimmed | None:
        partition = partition_of(trim.room)
        shelf, folded = self._keys.shelves[partition], trim.room.encode()
        (value,) = attachment.connection.ask([("HGET", shelf.ends, folded)])
        if value is None:
            return None
        ends = ends_of(value)
        log = self._keys.log(partition, folded)
        lasts: list[int] = []

        def dated() -> Iterator[tuple[int, int]]:
            after = b"-"
            while True:
                (entries,) = attachment.connection.ask([("XRANGE", log, after, "+", "COUNT", TRIM_BLOCKS + 1)])
                for block in map(block_at, entries):
                    lasts.append(block.last)
                    yield block.last, block.timestamp
                if len(entries) <= TRIM_BLOCKS:
                    return
                after = b"(" + entries[-1][0]

        old = count_old(dated(), ends.last, trim.keep, trim.before, trim.ahead)
        if not old:
            return Trimmed(ends.first, False)
        where = [shelf.info, shelf.ends, log, shelf.feed]
        upto = lasts[min(old, TRIM_BLOCKS) - 1]
        command = called(scripts.TRIM, where, *attachment.fence(partition), folded, upto)
        ((word, *rest),) = attachment.connection.ask([command])
        if word == b"detached":
            raise Trouble(OTHERWISE)
        if word == b"trimmed":
            self._changes[partition] = self._changes[partition]._replace(logs=rest[1])
        return Trimmed(rest[0], old > TRIM_BLOCKS)

    @understanding()
    def _expire(self, attachment: Attachment, expire: Expire) -> None:
        """Forget some of the producers that have been idle since a time."""
        pairs: list[Pair] = []
        most = EXPIRED_AT_ONCE // PARTITIONS
        found = attachment.connection.ask(
            [
                ("ZRANGE", shelf.producers, "-inf", expire.before, "BYSCORE", "LIMIT", 0, most)
                for shelf in self._keys.shelves
            ]
        )
        for members in found:
            pairs += (Pair(*pair_of(member)) for member in members)
        forgets = [Forget(pair.room, pair.producer, pair.user, expire.before) for pair in pairs]
        commands = [each.command(self._keys, attachment.fence(partition_of(each.room)), "") for each in forgets]
        replies = attachment.connection.ask(commands)
        gone = [pair for pair, reply in zip(pairs, replies, strict=True) if reply == [b"gone"]]
        if gone:
            self._report(Expired(gone))

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self._wake()


def _size(task: Task) -> int:
    return task.request.size if type(task) is Call and type(task.request) is Write else 0


DETACHED = [b"detached"]
"""The reply of a script that goes by another attachment than this broker's."""

OTHERWISE = "the server has begun anew, or takes this broker for ended"

COUNTED = {b"stored", b"marked", b"imposed", b"lifted", b"here", b"went"}
"""The first words of the replies that end with how often something has changed."""
