"""A fleet under load: publishers, readers and a sender of garbage at one broker, and the audit of what they did."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from operator import le
from pathlib import Path
from sqlite3 import connect
from types import TracebackType

import zchat
from tests.promises.faults.audit import Stream, Verdict, audit_log
from tests.promises.faults.processes import Served, Worker
from tests.promises.faults.workers import ROOM, pester, publish, pulse, read
from tests.running import DEADLINE

SIZE = 80
"""Characters of a message."""


class Fleet:
    """Start everything, for as long as a `with` block lasts.

    `url`: where the publishers and readers find the broker, None for its own address; of several addresses each of them
    begins with another. `greet`: whether the sender of garbage begins sessions, which then expire. `rate`: messages a
    second of all publishers together at most, 0 for as many as they can.
    """

    def __init__(
        self,
        broker: Served,
        *,
        publishers: int,
        readers: int,
        url: str | list[str] | None = None,
        seed: int = 0,
        greet: bool = True,
        rate: int = 0,
    ) -> None:
        self.broker = broker
        self._greet = greet
        self._rate = rate
        self._urls = [url or broker.url] if not isinstance(url, list) else url
        self._counts = publishers, readers
        self._seed = seed
        self._stack = ExitStack()
        self.publishers: list[Worker] = []
        self.readers: list[Worker] = []
        self.began = 0.0
        self.seconds = 0.0
        self.garbage = 0

    def __enter__(self) -> Fleet:
        publishers, readers = self._counts
        with self._stack as stack:
            self.readers = [self._worker(read, self._at(number), f"reader {number}") for number in range(readers)]
            self._pest = self._worker(pester, self.broker.url, self._seed, self._greet)
            self._pulse = self._worker(pulse, self._at(0))
            for worker in [*self.readers, self._pest, self._pulse]:
                worker.until("ready")
            share = self._rate // publishers
            self.publishers = [self._worker(publish, self._at(each), each, SIZE, share) for each in range(publishers)]
            self.began = time.monotonic()
            for worker in self.publishers:
                worker.until("ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _at(self, number: int) -> list[str]:
        """Return the addresses for a publisher or reader, in the order in which it tries them."""
        first = number % len(self._urls)
        return self._urls[first:] + self._urls[:first]

    def _worker(self, *target_and_arguments: object) -> Worker:
        target, *arguments = target_and_arguments
        worker = Worker(target, *arguments)  # type: ignore[arg-type]
        self._stack.callback(worker.stop)
        return worker

    def flow(self, messages: int, *readers: Worker, deadline: float = DEADLINE) -> None:
        """Wait until readers (None named: all) have taken as many more messages."""
        dues = [(reader, (reader.latest("at") or 0) + messages) for reader in readers or self.readers]
        for reader, due in dues:
            reader.until("at", partial(le, due), deadline)

    def beat(self, after: float) -> float:
        """Wait until a message that was stored after a moment has come; returns when it came, both since 1970."""
        _, taken = self._pulse.until("resumed", lambda resumed: resumed[0] > after)
        return float(taken)

    def settle(self) -> list[Verdict]:
        """End the load, let every reader come to the log's end, and judge: first the log, then each reader."""
        for worker in self.publishers:
            worker.tell("stop")
        acknowledged: dict[int, int] = {}
        receipts: dict[int, tuple[str, int]] = {}
        for worker in self.publishers:
            publisher, count, kept = worker.until("done")
            acknowledged[publisher] = count
            receipts.update((seq, (text, timestamp)) for seq, text, timestamp in kept)
        self.seconds = time.monotonic() - self.began
        for worker in (self._pulse, self._pest):
            worker.tell("stop")
            worker.until("done")
        self.garbage = self._pest.latest("done")
        with zchat.Client(self.broker.url, user="auditor") as client:
            (end,) = (room.last for room in client.rooms() if room.name == ROOM)
            for reader in self.readers:
                reader.tell("end", end)
            log, verdict = audit_log(client, ROOM, acknowledged, receipts)
        verdicts = [verdict]
        for reader in self.readers:
            stream: Stream = reader.until("done")
            verdict = stream.verdict(acknowledged)
            verdict.changed += stream.digest != log.digest
            verdicts.append(verdict)
        return verdicts


def check_file(path: Path) -> str:
    """Return what SQLite says of a file that no broker has open: `ok`."""
    connection = connect(path)
    try:
        answer: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
        return answer
    finally:
        connection.close()
