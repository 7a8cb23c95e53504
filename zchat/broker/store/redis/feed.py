"""The thread that listens to what all brokers change, over a connection of its own that only listens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.attachment import Snapshot, confirm, snapshots_of
from zchat.broker.store.redis.connections.server import Connection, Trouble, understanding
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.hearing import Changes, Hearing
from zchat.broker.store.redis.mirrored_log import CatchUp, CaughtUp
from zchat.broker.store.redis.notices import NEWS, Notice, notice_of
from zchat.broker.store.redis.partitions import PARTITIONS, Keys
from zchat.broker.store.redis.reader import Logs
from zchat.errors import StoreError
from zchat.threads import RealThread, awaited_by_callers, start

PROBE_EVERY = 1.0
"""Seconds between two times that the server is asked what there was to be heard: what was not heard is found after two
of them."""

LISTEN_AGAIN = 0.2
"""Seconds from one attempt to listen to the next."""

NOTICES = 10_000
"""Notices that wait for the loop at most: 2 MB; of what is dropped, the partition is looked at as a whole."""


class Looked(NamedTuple):
    """What partitions have, of which something was missed."""

    snapshots: dict[int, Snapshot]


Heard: TypeAlias = Notice | Looked | CaughtUp


class Feed:
    """The thread that listens, and what it has heard of other brokers than `broker`.

    `seen` is how far each partition was at the opening; `wanted` returns what is to be read at once of a room that has
    grown, which spares the loop a turn and the thread that reads its waking. Each report is followed by a call of
    `wake`, from that thread. `failure` is what ended it before its time.
    """

    def __init__(
        self,
        url: RedisURL,
        keys: Keys,
        broker: bytes,
        seen: list[Changes],
        wanted: Callable[[str], CatchUp | None],
        wake: Callable[[], None],
    ) -> None:
        self.reports: deque[Heard] = deque()
        self.failure: BaseException | None = None
        self.looks = 0
        """Partitions that were looked at as a whole, as something had not been heard. Any thread may read it."""
        self._url = url
        self._keys = keys
        self._broker = broker
        self._wake = wake
        self._hearing = Hearing(seen)
        self._logs = Logs(keys)
        self._wanted_of = wanted
        self._attached = seen[0].epoch
        """The epoch of the first partition that this broker is attached in: a server with another one is another."""
        self._elsewhere = False
        """Whether the server that is listened to was another one when it was last asked."""
        self.reading = False
        """True while a report has blocks that the loop has not taken yet, which sets it to False: until then it is told
        of what has grown, and has that read when it comes to it. So no more blocks wait here than of one read."""
        self._partitions = {shelf.feed: number for number, shelf in enumerate(keys.shelves)}
        self._wanted = [False] * PARTITIONS
        """Which partitions the loop wants to be looked at."""
        self._listening: Connection | None = None
        self._asking: Connection | None = None
        self._stopping = False
        self._thread = RealThread(self._run, "zchat store feed")
        start(self._thread)

    def look(self, partition: int) -> None:
        """Have a partition looked at as a whole, with the next probe. The loop thread."""
        self._wanted[partition] = True

    def move(self, url: RedisURL, epoch: int) -> None:
        """Listen at the server at `url` from now on, whose first partition is in `epoch`. The loop thread."""
        self._attached = epoch
        if url != self._url:
            self._url = url
            self._hang_up()

    def stop(self) -> None:
        """End soon; returns at once. The loop thread."""
        self._stopping = True
        self._hang_up()

    def _hang_up(self) -> None:
        listening = self._listening
        if listening is not None:
            listening.hang_up()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._listen()
                except (Trouble, StoreError):  # which the thread that writes reports
                    self._close()
                    if not self._stopping:
                        time.sleep(LISTEN_AGAIN)
        except BaseException as error:  # the loop, which waits for reports, has to learn that none will come
            self.failure = error
            self._wake()
        finally:
            self._close()

    def _close(self) -> None:
        for connection in (self._listening, self._asking):
            if connection is not None:
                connection.close()
        self._listening = self._asking = None

    @understanding()
    def _listen(self) -> None:
        """Listen for as long as the connections hold; raises Trouble, StoreError."""
        url = self._url
        listening = self._listening = Connection(url)
        asking = self._asking = Connection(url)
        asking.ask([("SCRIPT", "LOAD", scripts.SNAPSHOT.text)])
        listening.subscribe(list(self._partitions))
        self._probe(asking, at_once=True)
        due = time.monotonic() + PROBE_EVERY
        while not self._stopping and url is self._url:
            for channel, packed in listening.told(max(0.0, due - time.monotonic())):
                self._take(notice_of(self._partitions[channel], packed), asking)
            if time.monotonic() >= due:
                self._probe(asking, at_once=False)
                due = time.monotonic() + PROBE_EVERY
            elif self._hearing.missing:
                self._look(asking)

    def _take(self, notice: Notice, asking: Connection) -> None:
        self._hearing.heard(notice)
        if notice.broker == self._broker and notice.kind != b"G":
            return
        if not notice.count and notice.kind not in NEWS:
            return  # a broker has attached, or tells what only later versions know
        if len(self.reports) >= NOTICES:
            self._hearing.missing.add(notice.partition)
            return
        try:
            self.reports.append(self._found(notice, asking) or notice)
        except (Trouble, StoreError):
            self.reports.append(notice)  # it was heard, and nobody would miss it
            raise
        finally:
            self._wake()

    def _found(self, notice: Notice, asking: Connection) -> CaughtUp | None:
        """Return what has grown, if it is to be read at once; raises Trouble, StoreError."""
        if notice.kind != b"L" or self.reading:
            return None
        catch_up = self._wanted_of(notice.fields[0].decode())
        if catch_up is None or catch_up.after >= notice.fields[1]:
            return None
        found = self._logs.catch_up(asking, catch_up)
        self.reading = True
        return found

    def _probe(self, asking: Connection, *, at_once: bool) -> None:
        replies = asking.ask([("HMGET", shelf.info, "epoch", "l", "n") for shelf in self._keys.shelves])
        found = [Changes(*(int(each or 0) for each in reply)) for reply in replies]
        self._hearing.probed(found, at_once=at_once)
        deaf = bool(self._hearing.missing) and not at_once
        for partition, wanted in enumerate(self._wanted):
            if wanted:
                self._wanted[partition] = False
                self._hearing.missing.add(partition)
        if self._hearing.missing:
            self._look(asking)
        if deaf:
            raise Trouble("what was told has not come")
        was_elsewhere, self._elsewhere = self._elsewhere, found[0].epoch != self._attached
        if was_elsewhere and self._elsewhere and not at_once:  # it may go on for long after another has its place
            raise Trouble("another server is attached to than is listened to")

    def _look(self, asking: Connection) -> None:
        """Report what the partitions have of which something is missing."""
        if len(self.reports) >= NOTICES:
            return  # the loop has enough to do: with the next probe
        snapshots = snapshots_of(asking, self._keys, sorted(self._hearing.missing))
        confirm(asking, self._keys)
        for partition, snapshot in snapshots.items():
            self._hearing.looked(partition, snapshot.changes)
        self.looks += len(snapshots)
        self.reports.append(Looked(snapshots))
        self._wake()
