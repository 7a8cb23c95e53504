"""The store `redis:`: logs in a Redis or Valkey, which numbers and dates them, and knows duplicates."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from zchat import threads
from zchat.broker.store.contract import (
    CLOSE_SECONDS,
    NEVER,
    Append,
    Appended,
    Failed,
    Full,
    Health,
    Imposed,
    Lifted,
    LogPage,
    Marked,
    Places,
    Present,
    RoomLog,
    Sanction,
    Store,
    TooMany,
    Trimmed,
    Watcher,
)
from zchat.broker.store.ledger import MAX_SEQ
from zchat.broker.store.news import Kicked, News, Typed
from zchat.broker.store.redis.attachment import Attachment
from zchat.broker.store.redis.committer import Answered, Attached, Committer, Expired, TrimDone
from zchat.broker.store.redis.connections.sentinel import Watch
from zchat.broker.store.redis.connections.server import Behind, Loading, Replaced, Trouble, check_installed
from zchat.broker.store.redis.connections.url import DISK, RedisURL
from zchat.broker.store.redis.feed import Feed, Looked
from zchat.broker.store.redis.mirror import Mirror
from zchat.broker.store.redis.mirrored_log import CaughtUp
from zchat.broker.store.redis.notices import NEWS, news_of
from zchat.broker.store.redis.partitions import PARTITIONS, Keys
from zchat.broker.store.redis.reader import Read, Reader
from zchat.broker.store.redis.requests import Call, Expire, Impose, Lift, Request, SetReadMark, Tell, Trim, Write
from zchat.errors import StoreError
from zchat.names import fold

QUEUE_BLOCKS = 10_000
"""Appends that wait at most: ten batches' worth; one more is refused with `Full`."""

QUEUE_BYTES = 64 << 20
"""Bytes of blocks that wait at most: a second of a slow server."""

QUEUE_OTHERS = 10_000
"""Read marks and sanctions that wait at most; one more is refused with `Full`."""

QUEUE_NEWS = 1000
"""News that wait to be told at most: a second of a slow server; one more is told to nobody."""

QUEUE_READS = 1000
"""Reads that wait at most: some 100 ms of them; one more is refused with `Full`."""

QUEUE_TRIMS = 1000
"""Trims that wait at most: one a room is enough, and they come back with the next round."""

POLL_NOTICES = 1000
"""Notices handed over in one `poll`: a few milliseconds' worth."""

POLL_PAGES = 8
"""Pages handed over in one `poll`: 8 MiB of the largest at most, a turn's worth."""

OPEN_SECONDS = 10.0
"""Seconds that opening waits for a server that is still loading, or whose replicas don't keep up."""

OPEN_AGAIN = 0.1
"""Seconds between two attempts at that."""

BROKER_BYTES = 8
"""Bytes of the number that tells brokers apart, made by chance at each opening."""

THREADS = 3
"""Threads of a store: one writes, one reads, one listens to what other brokers change; where there are Sentinels, one
more asks them."""

CLOSED = Failed("the store is closed")


class RedisStore(Store):
    """The store that keeps logs in the server that `url` names, which brokers may share.

    `clock` returns the microseconds since 1970 (None: the server's own time counts). The server decides each append and
    mark; the loop's mirror of what it has keeps the order of what is reported.

    Raises:
        UsageError: what it requires is not installed.
    """

    def __init__(self, url: RedisURL, clock: Callable[[], int] | None = None) -> None:
        check_installed()
        self._url = url
        self._clock = clock
        self._keys = Keys(url.prefix)
        if url.sentinels and url.acknowledge == DISK:
            self.caution = (
                f"{url.place}: what is acknowledged is on the master's disk; a failover loses, and reports, what of it "
                "had not reached the replica that takes over"
            )
        self._calls: dict[Call, None] = {}
        """What was asked for and isn't answered yet, in order."""
        self._appending = 0
        self._appending_bytes = 0
        self._others = 0
        """How many read marks and sanctions wait."""
        self._news = 0
        """How many news wait."""
        self._reading: deque[Callable[[LogPage | Full | Failed], None]] = deque()
        self._trimming: deque[Callable[[Trimmed | Failed], None]] = deque()
        self._old_senders: list[str] = []
        self._open = False

    def open(self, wake: Callable[[], None], *, quotas: bool = False) -> list[RoomLog]:
        """See `Store.open`; waits for a server that is loading, for replicas, and for the end of a failover."""
        threads.check_free(THREADS + bool(self._url.sentinels))
        attachment = self._attach()
        try:
            self.new = attachment.new
            self._mirror = Mirror(
                self._ask,
                lambda catch_up: self._reads.put(catch_up),
                lambda partition: self._feed.look(partition),
                lambda: self._commits.doubt(),
                attachment.broker,
                quotas=quotas,
            )
            snapshots = attachment.snapshots(range(PARTITIONS))
            logs = self._mirror.open(snapshots, attachment.producers())
            self._old_senders = attachment.old_senders()
        except Trouble as trouble:
            attachment.release()
            raise self._unusable(trouble) from trouble
        except BaseException:
            attachment.release()
            raise
        self._wake = wake
        self.broker = attachment.broker
        self._commits = commits = Committer(self._url, self._keys, attachment, self._now, wake)
        self._reads = Reader(attachment.url, attachment.run, self._keys, wake, lambda: commits.trouble)
        seen = [snapshot.changes for snapshot in snapshots.values()]
        self._feed = Feed(attachment.url, self._keys, attachment.broker, seen, self._mirror.wanted, wake)
        if present := {partition: snapshot for partition, snapshot in snapshots.items() if snapshot.here}:
            self._feed.reports.append(Looked(present))  # reported in the first turn, as what is heard later
            wake()
        self._watch = Watch(self._url, self._commits) if self._url.sentinels else None
        self._open = True
        return logs

    def _attach(self) -> Attachment:
        deadline = time.monotonic() + OPEN_SECONDS
        broker = os.urandom(BROKER_BYTES)
        while True:
            try:
                return Attachment(self._url, self._keys, broker)
            except Trouble as trouble:
                if not isinstance(trouble, Behind | Loading | Replaced) or time.monotonic() > deadline:
                    raise self._unusable(trouble) from trouble
            time.sleep(OPEN_AGAIN)

    def _unusable(self, trouble: Trouble) -> StoreError:
        return StoreError(f"{self._url.place} can't be used as a store: {trouble}; {trouble.advice}")

    def _now(self) -> str:
        return "" if self._clock is None else str(self._clock())

    def _ask(self, request: Request) -> None:
        self._commits.put(Call(request))

    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        """See `Store.append`; beyond what may wait the answer is `Full` at once."""
        size = len(append.bodies)
        if not self._open:
            done(CLOSED)
        elif self._appending and (self._appending >= QUEUE_BLOCKS or self._appending_bytes + size > QUEUE_BYTES):
            done(Full("too many blocks wait for the server"))
        else:
            room = fold(append.room)
            self._appending += 1
            self._appending_bytes += size
            self._put(Call(Write(room, append, self._mirror.is_crowded(append), bool(self._url.replicas)), done))

    def set_read_mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        """See `Store.set_read_mark`; beyond what may wait the answer is `Full` at once."""
        folded = fold(room)
        self._put_other(SetReadMark(folded, user, seq, self._mirror.is_full_of_marks(folded, user)), done)

    def read_marks(self) -> list[tuple[str, str, int]]:
        """See `Store.read_marks`."""
        return self._mirror.read_marks()

    def impose(
        self, sanction: Sanction, places: Places, done: Callable[[Imposed | TooMany | Full | Failed], None]
    ) -> None:
        """See `Store.impose`; beyond what may wait the answer is `Full` at once."""
        self._put_other(Impose(fold(sanction.room), sanction, places), done)

    def lift(
        self, room: str, user: str, kind: str, done: Callable[[Lifted | Full | Failed], None], number: int = 0
    ) -> None:
        """See `Store.lift`; beyond what may wait the answer is `Full` at once."""
        self._put_other(Lift(fold(room), user, kind, number), done)

    def _put_other(self, request: SetReadMark | Impose | Lift, done: Callable[[Any], None]) -> None:
        if not self._open:
            done(CLOSED)
        elif self._others >= QUEUE_OTHERS:
            done(Full("too many read marks and sanctions wait for the server"))
        else:
            self._others += 1
            self._put(Call(request, done))

    def _put(self, call: Call) -> None:
        self._calls[call] = None
        self._commits.put(call)

    def sanctions(self) -> list[Sanction]:
        """See `Store.sanctions`."""
        return self._mirror.sanctions

    def old_senders(self) -> list[str]:
        """See `Store.old_senders`: those of the store that this is a copy of."""
        return self._old_senders

    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[LogPage | Full | Failed], None]
    ) -> None:
        """See `Store.read`; beyond what may wait the answer is `Full` at once."""
        folded = fold(room)
        if not self._open:
            done(CLOSED)
        elif len(self._reading) >= QUEUE_READS:
            done(Full("too many reads wait for the server"))
        elif folded not in self._mirror.logs or after >= MAX_SEQ:
            done(LogPage([]))
        else:
            self._reading.append(done)
            self._reads.put(Read(folded, after, upto, max_bytes))

    def trim(
        self, room: str, keep: int, before: int, done: Callable[[Trimmed | Failed], None], ahead: int = NEVER
    ) -> None:
        """See `Store.trim`; of brokers that share a store one trims, and the others have nothing to do."""
        folded = fold(room)
        if not self._open:
            done(CLOSED)
        elif len(self._trimming) >= QUEUE_TRIMS:
            done(Failed("too many trims wait for the server"))
        elif (log := self._mirror.logs.get(folded)) is None:
            done(Trimmed(1, False))
        elif not self._commits.tends:
            done(Trimmed(log.first, False))
        else:
            self._trimming.append(done)
            self._commits.put(Trim(folded, keep, before, ahead))

    def forget(self, producer: bytes) -> None:
        """See `Store.forget`; it is forgotten in the rooms in which this broker has met it."""
        if self._open:
            self._mirror.forget(producer)

    def expire(self, before: int, now: int) -> None:
        """See `Store.expire`; of brokers that share a store one does it."""
        if self._open:
            if self._commits.tends:
                self._commits.put(Expire(before))
            else:
                self._mirror.expire(before)

    def follow(self, room: str, wanted: bool) -> None:
        """See `Store.follow`."""
        if self._open:
            self._mirror.follow(fold(room), wanted)

    def locate(self, room: str, done: Callable[[], None]) -> None:
        """See `Store.locate`."""
        if self._open:
            self._mirror.locate(fold(room), done)
        else:
            done()

    def come(self, present: Present) -> None:
        """See `Store.come`."""
        if self._open:
            self._mirror.presence.come(present)

    def go(self, room: str, user: str) -> None:
        """See `Store.go`."""
        if self._open:
            self._mirror.presence.go(fold(room), user)

    def tell(self, news: News) -> None:
        """See `Store.tell`."""
        if self._open and self._news < QUEUE_NEWS:
            self._news += 1
            self._ask(Tell(fold(news.room) if isinstance(news, Typed | Kicked) else "", news))

    def poll(self, watcher: Watcher) -> None:
        """See `Store.poll`.

        Raises:
            StoreError: a thread of the store has failed.
        """
        if not self._open:
            return
        self._deliver(watcher)
        for _ in range(POLL_PAGES):
            page = self._reads.take()
            if page is None:
                break
            if isinstance(page, CaughtUp):
                self._mirror.caught_up(page, watcher)
            else:
                self._reading.popleft()(page)
        else:
            self._wake()  # there may be more, for the next turn
        for _ in range(min(len(self._feed.reports), POLL_NOTICES)):
            heard = self._feed.reports.popleft()
            if isinstance(heard, Looked):
                self._mirror.looked(heard.snapshots, watcher)
            elif isinstance(heard, CaughtUp):
                self._feed.reading = False
                self._mirror.found(heard, watcher)
            elif heard.kind in NEWS:
                watcher.told(news_of(heard), heard.broker)
            else:
                self._mirror.heard(heard, watcher)
        if self._feed.reports:
            self._wake()
        if self._mirror.forgot:
            watcher.forgot(self._mirror.forgot)
            self._mirror.forgot = 0
        failure = self._commits.failure or self._reads.failure or self._feed.failure
        if failure is None and self._watch is not None:
            failure = self._watch.failure
        if failure:
            raise StoreError(f"{self._url.place}: a thread of the store has failed: {failure!r}") from failure

    def _deliver(self, watcher: Watcher) -> None:
        """Report and answer what the thread that writes has done."""
        for _ in range(len(self._commits.reports)):
            report = self._commits.reports.popleft()
            if isinstance(report, Answered):
                if report.commit is not None:
                    watcher.committed(report.commit)
                for call, reply in zip(report.calls, report.replies, strict=True):
                    self._answered(call)
                    if not isinstance(call.request, Tell):
                        self._mirror.replied(call, reply, watcher)
            elif isinstance(report, Attached):
                self._reads.move(report.url, report.run)
                self._feed.move(report.url, report.snapshots[0].changes.epoch)
                self._mirror.attached(report.snapshots, watcher)
            elif isinstance(report, TrimDone):
                answer = report.answer
                if isinstance(answer, Trimmed):
                    self._mirror.trimmed(report.room, answer.first, watcher)
                self._trimming.popleft()(Trimmed(1, False) if answer is None else answer)
            elif isinstance(report, Expired):
                self._mirror.forgotten(report.pairs)
            else:
                watcher.failed(f"the server can't be used: {report.reason}")

    def _answered(self, call: Call) -> None:
        """Note that a call waits no more, if somebody waited for it."""
        request = call.request
        if isinstance(request, Write):
            self._appending -= 1
            self._appending_bytes -= request.size
        elif isinstance(request, Tell):
            self._news -= 1
        elif call.done is not None:
            self._others -= 1
        self._calls.pop(call, None)

    def health(self) -> Health:
        """See `Store.health`."""
        if not self._open:
            return Health()
        commits = self._commits
        return Health(
            commits.place is not None,
            max(0.0, time.monotonic() - commits.answered),
            len(self._calls),
            commits.attachments,
            self._feed.looks,
            commits.tends,
        )

    def close(self, seconds: float = CLOSE_SECONDS) -> str:
        """See `Store.close`; a thread that hangs in the network is abandoned, and the store is free again soon."""
        if self._open:
            deadline = time.monotonic() + seconds
            self._commits.stop()
            self._reads.stop()
            self._feed.stop()
            if self._watch is not None:
                self._watch.stop()
            self._commits.join(seconds)
            self._reads.join(max(0.0, deadline - time.monotonic()))
            self._feed.join(max(0.0, deadline - time.monotonic()))
            if self._watch is not None:
                self._watch.join(max(0.0, deadline - time.monotonic()))
            self._open = False
            self._deliver(_Nobody())
            self._mirror.close(CLOSED)
            for call in self._calls:
                assert call.done is not None
                call.done(Failed("the server did not answer before the store was closed"))
            for read_done in self._reading:
                read_done(CLOSED)
            for trim_done in self._trimming:
                trim_done(CLOSED)
        return ""

    def undo_open(self) -> None:
        """See `Store.undo_open`."""
        if self._open and self.new:
            self._commits.remove()
        self.close()


class _Nobody:
    """A watcher that follows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None
