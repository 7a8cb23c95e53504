"""Calls that begin in the middle of others: in the handlers of signals, and in finalizers, which may run anywhere.

`python -m tests.promises.nested` is the long form: every public call in every other one.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from types import FrameType

import zchat
from tests.mortal import Mortal
from tests.promises.breaking_off import Tracer
from tests.promises.interruptions import SECONDS, WAYS, Lost, Talk, names
from zchat.broker import Broker

AT_ONCE = 10.0
"""Seconds within which a nested call has done its work or is refused, on a machine that does much else."""

OUTER = ("read", "send", "send_many", "history", "room.mark_read", "join at", "leave", "client")
"""The calls within which others begin, in the tests; the long form has all."""

NEVER_WAITING = ("read", "room.mark_read", "typing", "position", "member_count")
"""The calls that work in the receive thread, too: they don't wait for it."""


class Nested(Tracer):
    """A tracer that calls `act` at the `at`-th opcode of the client's code since it was armed; then it counts on."""

    def __init__(self) -> None:
        super().__init__()
        self.at = sys.maxsize
        self.act: Callable[[], object] = lambda: None
        self.failed: BaseException | None = None
        self.refused = False
        self.acting = False
        self.done = threading.Event()

    def arm(self, at: int, act: Callable[[], object]) -> None:
        """Have it call `act` at the `at`-th opcode from now."""
        self.done.clear()
        self.act, self.failed, self.refused, self.where = act, None, False, ""
        self.count, self.at = 0, at

    def opcode(self, frame: FrameType) -> None:
        """See `Tracer`."""
        if self.acting:
            return
        self.count += 1
        if self.count < self.at:
            return
        self.at = sys.maxsize
        self.note(frame)
        self.acting = True
        began = time.monotonic()
        try:
            self.act()
        except zchat.UsageError:
            self.refused = True
        except BaseException as error:
            self.failed = error
        finally:
            self.acting = False
            if time.monotonic() - began > AT_ONCE:
                self.failed = Lost(f"it took {time.monotonic() - began:.1f} s")
            self.done.set()

    def check(self, what: str, *, refused: bool = False) -> None:
        """Raise Lost if what was called has failed; `refused`: it is a UsageError that is expected."""
        if self.refused != refused:
            raise Lost(f"{what} at {self.where}: {'it was refused' if self.refused else 'it was not refused'}")
        if self.failed is not None:
            raise Lost(f"{what} at {self.where}: {self.failed!r}") from self.failed


@contextmanager
def traced(tracer: Nested) -> Iterator[None]:
    """Trace this thread in the block."""
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


class NestedTalk(Talk):
    """A talk in which a message may be taken while another one is in hand: what came is known, not the order."""

    def check(self, what: str, *, all_ways: bool = True) -> None:
        """Check that the client is good, and that everything came once."""
        self.taken.sort()
        super().check(what, all_ways=all_ways)
        if missing := self.missing():
            raise Lost(f"after {what}: {missing} messages are missing")


def calls_of(talk: Talk) -> dict[str, Callable[[], object]]:
    """Return every public call by its name, with "read" for the client's way to read."""
    calls = talk.calls()
    calls["read"] = talk.read
    for name in WAYS:
        calls.pop(name, None)
    calls["send with a timeout"] = lambda: sent_in_time(talk)
    return calls


def sent_in_time(talk: Talk) -> None:
    """Send with a timeout of one second, which a call in the middle of another one may not need."""
    talk.room.send("sent in time", timeout=1)


def inner_names() -> list[str]:
    """Return the names of the calls that begin within others."""
    return ["read", *names(WAYS[0])[1:], "send with a timeout"]


def nest(url: str, way: str, name: str, outer: str, inner: str, most: int) -> int:
    """Begin `inner` at `most` places of `outer`, as the handler of a signal does; returns how often.

    Raises:
        Lost: one of them hung, failed, or has broken a promise.
    """
    talk = NestedTalk(url, name, way)
    calls = calls_of(talk)
    tracer = Nested()
    talk.say(2)
    with traced(tracer):
        tracer.arm(sys.maxsize, calls[inner])
        calls[outer]()
        step = max(1, tracer.count // most)
    at = done = 0
    while True:
        at += step
        talk.say(2)
        tracer.arm(at, calls[inner])
        with traced(tracer):
            calls[outer]()
        if not tracer.where:
            break
        done += 1
        tracer.check(f"{inner} in {outer}")
        talk.check(f"{inner} in {outer} at {tracer.where}", all_ways=done % 10 == 0)
    talk.check(f"{inner} in {outer}")
    talk.end()
    return done


def nest_in_receive_thread(url: str, way: str, name: str, inner: str, count: int) -> int:
    """Begin `inner` at `count` places in the receive thread, as a finalizer may; returns how often.

    Raises:
        Lost: one of them hung, failed, or has broken a promise.
    """
    tracer = Nested()
    threading.settrace(tracer)
    try:
        talk = NestedTalk(url, name, way)
    finally:
        threading.settrace(None)
    calls = calls_of(talk)
    for number in range(count):
        tracer.arm(1 + number * 7, calls[inner])
        talk.say(2)
        talk.room.send_many(["sent"] * 3, timeout=SECONDS)
        talk.read()
        talk.room.typing(number % 2 == 0)
        talk.client.join(f"{talk.name} of {number}").leave()
        while not tracer.done.wait(0.01):
            talk.client.stats(timeout=SECONDS)
        tracer.check(f"{inner} in the receive thread", refused=inner not in NEVER_WAITING)
        talk.check(f"{inner} in the receive thread at {tracer.where}", all_ways=number % 10 == 9)
    talk.end()
    return count


# -- while a call waits -------------------------------------------------------------------------------------


def waiting_calls(talk: Talk, broker: Mortal) -> dict[str, Callable[[], object]]:
    """Return calls that wait for a while; for some of them the broker stands still."""

    def frozen(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            broker.freeze()
            thaw = threading.Timer(0.1, broker.thaw)
            thaw.start()
            try:
                call()
            finally:
                thaw.join()

        return run

    calls = talk.calls()
    return {
        "messages": lambda: talk.taken.extend(each.seq for each in talk.room.messages(timeout=0.1)),
        "wait": lambda: talk.client.wait(0.1),
        **{name: frozen(calls[name]) for name in ("send", "send_many", "history", "join at", "leave", "client")},
    }


def signalled(kinds: Sequence[str]) -> int:
    """Have the handler of a signal begin calls while others wait; returns how many.

    The main thread's.

    Raises:
        Lost: one of them hung, failed, or has broken a promise.
    """
    done = 0
    with Mortal() as broker:
        talk = NestedTalk(broker.url, "signalled", "messages")
        inner = calls_of(talk)
        failed: list[str] = []

        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal done
            began = time.monotonic()
            try:
                inner[kind]()
                done += 1
            except BaseException as error:
                failed.append(f"{kind} in {name}: {error!r}")
            if time.monotonic() - began > AT_ONCE:
                failed.append(f"{kind} in {name} took {time.monotonic() - began:.1f} s")

        before = signal.signal(signal.SIGALRM, handle)
        try:
            for name, call in waiting_calls(talk, broker).items():
                for kind in kinds:  # noqa: B007 the handler has it
                    talk.say(2)
                    signal.setitimer(signal.ITIMER_REAL, 0.05)
                    call()
                    if failed:
                        raise Lost(failed[0])
                talk.check(f"signals in {name}")
        finally:
            signal.signal(signal.SIGALRM, before)
        talk.end()
    return done


def closed(way: str, outer: str, most: int) -> int:
    """Close the client at `most` places of a call of its own; returns how often.

    Raises:
        Lost: one of the two hung, or the call failed with what is no ZchatError.
    """
    done = 0
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        count = 0
        for number in range(most + 1):
            talk = NestedTalk(broker.url, f"closed {number}", way)
            talk.say(2)
            tracer = Nested()
            tracer.arm(count * number // most if number else sys.maxsize, talk.client.close)
            began = time.monotonic()
            with traced(tracer), suppress(zchat.ZchatError):
                calls_of(talk)[outer]()
            count = count or tracer.count
            if tracer.where:
                done += 1
                tracer.check(f"close in {outer}")
            if time.monotonic() - began > AT_ONCE:
                raise Lost(f"{outer} took {time.monotonic() - began:.1f} s, closed at {tracer.where}")
            talk.client.close()
            talk.other.close()
    return done


# -- finalizers ---------------------------------------------------------------------------------------------


class Litter:
    """What the collector finds, in whichever thread it runs: it makes a call, and the next of its kind."""

    def __init__(self, calls: Litterer) -> None:
        self._calls = calls
        self._itself = self

    def __del__(self) -> None:
        self._calls.act()


class Litterer:
    """Calls that finalizers make, and what came of them."""

    def __init__(self, talk: Talk, seed: int) -> None:
        self.random = Random(seed)
        self.calls = list(calls_of(talk).items())
        self.on = True
        self.count = self.refused = 0
        self.threads: set[str] = set()
        self.failed: list[str] = []

    def act(self) -> None:
        """Make a call. A finalizer's, in any thread."""
        if not self.on:
            return
        Litter(self)
        what, call = self.random.choice(self.calls)
        thread = threading.current_thread().name.split()[0]
        began = time.monotonic()
        try:
            call()
        except zchat.UsageError as error:
            self.refused += 1
            if not thread.startswith(("zchat", "Dummy")):  # the latter is one that begins or ends
                self.failed.append(f"{what} in {thread}: {error!r}")
        except BaseException as error:
            self.failed.append(f"{what} in {thread}: {error!r}")
        self.count += 1
        self.threads.add(thread)
        if time.monotonic() - began > AT_ONCE:
            self.failed.append(f"{what} in {thread} took {time.monotonic() - began:.1f} s")


def finalized(count: int, store: str, seed: int = 1) -> Litterer:
    """Have finalizers make `count` calls, wherever the collector runs them.

    Raises:
        Lost: one of them hung, failed, or has broken a promise.
    """
    before = gc.get_threshold()
    with Broker("tcp://127.0.0.1:*", store=store) as broker:
        talk = NestedTalk(broker.url, "finalized", "messages")
        calls = list(calls_of(talk).values())
        litterer = Litterer(talk, seed)
        random = Random(seed)
        try:
            gc.set_threshold(30, 2, 2)
            Litter(litterer)
            while litterer.count < count and not litterer.failed:
                talk.say(2)
                random.choice(calls)()
        finally:
            litterer.on = False
            gc.set_threshold(*before)
        if litterer.failed:
            raise Lost(litterer.failed[0])
        talk.check("finalizers")
        talk.end()
    return litterer


def main() -> None:
    """Run the long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=8)
    parser.add_argument("--signals", action="store_true", help="only those in the handlers of signals")
    parser.add_argument("--finalizers", type=int, default=0, help="only so many in finalizers")
    parser.add_argument("--store", default="memory:", help="the store of the broker for these")
    options = parser.parse_args()
    if options.signals:
        print(signalled(inner_names()), "in handlers")
        return
    if options.finalizers:
        litterer = finalized(options.finalizers, options.store)
        print(litterer.count, "in finalizers, refused:", litterer.refused, "threads:", *sorted(litterer.threads))
        return
    done = 0
    began = time.monotonic()
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        for way in WAYS:
            for inner in inner_names():
                for outer in inner_names():
                    done += nest(broker.url, way, f"{way} {inner} {outer}", outer, inner, options.most)
                done += nest_in_receive_thread(broker.url, way, f"{way} {inner}", inner, 20 * options.most)
                print(f"{way}, {inner}: {done} calls in others, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
