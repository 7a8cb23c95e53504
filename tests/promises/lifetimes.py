"""Clients and brokers whose start or end is broken off, and what that must not leave: threads, descriptors, sessions.

`python -m tests.promises.interruptions` has them in its long form.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import zchat
from tests.promises.breaking_off import KINDS, Timer, interrupted_at
from zchat.broker import Broker
from zchat.broker.metrics import Metrics

SECONDS = 20.0
"""Seconds that a call may take: far more than any does."""

GONE_SECONDS = 10.0
"""Seconds after which what is still there is left for good: less than a session without a goodbye lasts."""

Call = Callable[[], object]


@contextmanager
def forgetting_unraisable() -> Iterator[None]:
    """Forget what finalizers raise that are interrupted: pytest keeps it, and with it what they finalize."""
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = before


class Left(AssertionError):
    """What an interruption has left, or raised in place of its own exception."""


class Lives:
    """What is started and ended, and what there was before: the process's threads and descriptors, the sessions."""

    def __init__(self, url: str, folder: Path, watcher: zchat.Client) -> None:
        self._url = url
        self._place = f"sqlite:{folder}/z.db"
        self._watcher = watcher
        self._steps: dict[str, Callable[[], AbstractContextManager[Call]]] = {
            "client": self._client,
            "client with a handler": lambda: self._client(on_event=lambda event: None),
            "close": self._close,
            "close with a handler": lambda: self._close(on_event=lambda event: None),
            "leaving a client": self._leave_client,
            "broker": lambda: self._broker("memory:"),
            "broker with a file": lambda: self._broker(self._place),
            "stop": lambda: self._stop("memory:"),
            "stop with a file": lambda: self._stop(self._place),
            "leaving a broker": lambda: self._leave("memory:"),
            "leaving a broker with a file": lambda: self._leave(self._place),
            "metrics": self._metrics,
            "leaving metrics": self._leave_metrics,
        }
        for steps in self._steps.values():  # all is loaded, and made that stays
            with steps() as call:
                call()
        self._threads = set(threading.enumerate())
        self._before = _counts()
        self._sessions = self._count_sessions()

    # -- what is broken off

    @contextmanager
    def _client(self, on_event: Callable[[zchat.Event], object] | None = None) -> Iterator[Call]:
        made: list[zchat.Client] = []
        yield lambda: made.append(zchat.Client(self._url, user="two", timeout=SECONDS, on_event=on_event))
        for client in made:
            client.close(SECONDS)

    @contextmanager
    def _close(self, on_event: Callable[[zchat.Event], object] | None = None) -> Iterator[Call]:
        client = zchat.Client(self._url, user="two", timeout=SECONDS, on_event=on_event)
        yield lambda: client.close(SECONDS)
        client.close(SECONDS)

    @contextmanager
    def _leave_client(self) -> Iterator[Call]:
        client = zchat.Client(self._url, user="two", timeout=SECONDS)
        yield lambda: client.__exit__(None, None, None)

    @contextmanager
    def _broker(self, store: str) -> Iterator[Call]:
        made: list[Broker] = []
        broker = Broker("tcp://127.0.0.1:*", store=store)
        yield lambda: made.append(broker.__enter__())
        for each in made:
            each.stop()

    @contextmanager
    def _stop(self, store: str) -> Iterator[Call]:
        with Broker("tcp://127.0.0.1:*", store=store) as broker:
            yield broker.stop
            broker.stop()
            if not broker.wait(0):
                raise Left("a broker that was stopped runs")

    @contextmanager
    def _leave(self, store: str) -> Iterator[Call]:
        broker = Broker("tcp://127.0.0.1:*", store=store).__enter__()
        yield lambda: broker.__exit__(None, None, None)

    @contextmanager
    def _leave_metrics(self) -> Iterator[Call]:
        with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
            metrics = Metrics(broker, "127.0.0.1:*").__enter__()
            yield lambda: metrics.__exit__(None, None, None)

    @contextmanager
    def _metrics(self) -> Iterator[Call]:
        made: list[Metrics] = []
        with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
            metrics = Metrics(broker, "127.0.0.1:*")
            yield lambda: made.append(metrics.__enter__())
            for each in made:
                each.__exit__(None, None, None)

    # -- breaking it off

    @forgetting_unraisable()
    def sweep(self, name: str, most: int) -> int:
        """Interrupt a call at every opcode of its length, or at `most` that lie evenly over it; returns how often.

        Raises:
            Left: something is left.
        """
        steps = self._steps[name]
        with steps() as call, interrupted_at(sys.maxsize, KeyboardInterrupt) as tracer:
            call()
        step = max(1, tracer.count // most)
        at, done = 1, 0
        while True:
            kind = KINDS[done % len(KINDS)]
            raised = None
            with steps() as call, interrupted_at(at, kind) as tracer:
                try:
                    call()
                except KINDS as error:
                    raised = type(error), error.args
            if not tracer.where:
                return done
            what = f"{kind.__name__} at opcode {at} of {name}, {tracer.where}"
            if raised != (kind, ("interrupted",)) and not tracer.where.endswith("__del__"):  # what Python only shows
                raise Left(f"{what}: {raised} was raised")
            self._audit(what)
            done += 1
            at += step

    @forgetting_unraisable()
    def storm(self, count: int, seed: int) -> int:
        """Have signals interrupt calls at random moments; returns how often one did. The main thread's.

        Raises:
            Left: something is left.
        """
        random = Random(seed)
        done = 0
        with Timer() as timer:
            while done < count:
                name, kind = random.choice(NAMES), random.choice(KINDS)
                seconds = random.choice((0.0005, 0.003, 0.02)) * random.random() + 1e-6
                with self._steps[name]() as call:
                    broken = timer.interrupts(call, seconds, kind)
                if broken:
                    done += 1
                    self._audit(f"{kind.__name__} by a signal after {seconds:.6f} s of {name}, with seed {seed}")
        return done

    def _audit(self, what: str) -> None:
        until = time.monotonic() + GONE_SECONDS
        while left := self._left():
            if time.monotonic() > until:
                raise Left(f"after {what}: {left}")
            time.sleep(0.0005)

    def _left(self) -> str:
        if threads := set(threading.enumerate()) - self._threads:
            return f"threads: {threads}"
        for now, (folder, before) in zip(_counts().values(), self._before.items(), strict=True):
            if now > before:
                return f"{folder}: {now} in place of {before}"
        sessions = self._count_sessions()
        return f"{sessions} sessions" if sessions > self._sessions else ""

    def _count_sessions(self) -> int:
        return self._watcher.stats(timeout=SECONDS).counts["sessions"]


NAMES = (
    *("client", "client with a handler", "close", "close with a handler", "leaving a client"),
    *("broker", "broker with a file", "stop", "stop with a file", "leaving a broker", "leaving a broker with a file"),
    *("metrics", "leaving metrics"),
)
"""What is broken off."""


@contextmanager
def lives(url: str) -> Iterator[Lives]:
    """Give what starts and ends, beside a broker at `url`."""
    with TemporaryDirectory() as folder, zchat.Client(url, user="watcher") as watcher:
        yield Lives(url, Path(folder), watcher)


def _counts() -> dict[str, int]:
    """Return how many threads and descriptors the system counts; none where it doesn't say."""
    folders = [each for each in ("/proc/self/task", "/proc/self/fd") if os.path.isdir(each)]
    return {each: len(os.listdir(each)) for each in folders}
