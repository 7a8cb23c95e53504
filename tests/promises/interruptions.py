"""Exceptions that come between any two steps of a call, as a signal's does, and what they must not cost.

`python -m tests.promises.interruptions --count 10000` is the long form. Two ways to interrupt: at a chosen opcode of
the client's code, by a tracer, reproducibly; and by a timer's signal, whenever it comes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from random import Random

import zchat
from tests.promises import lifetimes
from tests.promises.breaking_off import KINDS, Timer, interrupted_at
from zchat.broker import Broker
from zchat.events import Gap

SECONDS = 20.0
"""Seconds after which a wait has failed: far more than anything takes, so that a hang is seen as one."""

WAYS = ("messages", "events", "batches", "batched events")
"""How the client takes what is said; by batches, a notification that was begun one by one is ended."""

BATCHED = frozenset({"batches", "batched events"})
"""The ways in which an interruption may lose all of a notification that is left."""


class Lost(AssertionError):
    """A promise that an interruption has broken."""


# -- what is done, and what is checked ---------------------------------------------------------------------


class Talk:
    """A client that is interrupted, another one that isn't, and what was said and taken in one room."""

    def __init__(self, url: str, name: str, way: str) -> None:
        self.url = url
        self.name = name
        self.way = way
        self.other = zchat.Client(url, user="other")
        self.said = self.other.join(name)
        self.client = zchat.Client(url, user="one", high_water_mark=4)
        self.room = self.client.join(name, after=zchat.START)
        self.taken: list[int] = []
        self.sent = 0
        self.interruptions = 0

    def say(self, count: int) -> None:
        """Have the other one say something."""
        self.said.send_many([f"said {number}" for number in range(count)], timeout=SECONDS)

    # -- calls, by name

    def calls(self) -> dict[str, Callable[[], object]]:
        """Return every public call."""
        client, room = self.client, self.room
        return {
            self.way: self.read,
            "send": self.send,
            "send_many": self.send_many,
            "history": lambda: client.history(self.name, limit=50, timeout=SECONDS),
            "history_batch": lambda: client.history_batch(self.name, after=0, limit=50, timeout=SECONDS),
            "room.history": lambda: room.history(limit=5, timeout=SECONDS),
            "rooms": lambda: client.rooms(timeout=SECONDS),
            "members": lambda: client.members(self.name, timeout=SECONDS),
            "room.members": lambda: room.members(timeout=SECONDS),
            "stats": lambda: client.stats(timeout=SECONDS),
            "overall_stats": lambda: client.overall_stats(timeout=SECONDS),
            "mark_read": lambda: client.mark_read(self.name, 1, timeout=SECONDS),
            "room.mark_read": room.mark_read,
            "typing": room.typing,
            "position": lambda: room.position,
            "member_count": lambda: (room.member_count, room.name, client.url, client.max_message),
            "wait": lambda: client.wait(0.001),
            "join": lambda: client.join(f"{self.name} 2", timeout=SECONDS),
            "join at": lambda: client.join(f"{self.name} 3", after=zchat.START, timeout=SECONDS),
            "direct": lambda: client.direct("other", timeout=SECONDS),
            "leave": self.leave,
            "progress": self.progress,
            "client": self.another,
        }

    def read(self) -> None:
        """Take what is there; each is written down as soon as it is had."""
        taken = self.taken
        if self.way in ("messages", "batches"):
            for message in self.room.messages(timeout=0):
                taken.append(message.seq)
                if self.way == "batches":
                    break
            if self.way == "batches":
                for batch in self.room.batches(timeout=0):
                    taken.extend(batch.seqs)
        elif self.way == "events":
            for event in self.client.events(timeout=0):
                if isinstance(event, zchat.Message) and event.room == self.name:
                    taken.append(event.seq)
        else:
            for each in self.client.events(timeout=0, batches=True):
                if isinstance(each, zchat.Batch) and each.room == self.name:
                    taken.extend(each.seqs)

    def send(self) -> None:
        """Send one message."""
        self.sent += 1
        self.room.send(f"sent {self.sent}", timeout=SECONDS)

    def send_many(self) -> None:
        """Send a few."""
        self.sent += 3
        self.room.send_many([f"sent {number}" for number in range(self.sent - 2, self.sent + 1)], timeout=SECONDS)

    def leave(self) -> None:
        """Join a room, and leave it."""
        self.client.join(f"{self.name} 4", timeout=SECONDS).leave(timeout=SECONDS)

    def progress(self) -> None:
        """Follow a `send_many`."""
        progress = zchat.Progress()
        self.sent += 1
        self.room.send_many([f"sent {self.sent}"], timeout=SECONDS, progress=progress)
        progress.settle(SECONDS)

    def another(self) -> None:
        """Make a client, use it, close it."""
        with zchat.Client(self.url, user="two", timeout=SECONDS) as client:
            client.join(self.name, timeout=SECONDS)

    # -- checks

    def check(self, what: str, *, all_ways: bool = True) -> None:
        """Check that the client is good, by using it in `all_ways` or in some, and that nothing came twice.

        Raises:
            Lost: a promise is broken.
        """
        began = time.monotonic()
        try:
            if all_ways:
                self._use()
            self._audit()
        except zchat.ZchatError as error:
            raise Lost(f"after {what}: {error!r}") from error
        if time.monotonic() - began > SECONDS:
            raise Lost(f"after {what}: it took {time.monotonic() - began:.1f} s to use the client")

    def _use(self) -> None:
        seq = self.room.send("good", timeout=SECONDS).seq
        if self.room.send_many(["good", "good"], timeout=SECONDS) != 2:
            raise Lost("send_many")
        found = self.client.history(self.name, after=seq - 1, timeout=SECONDS)
        if [message.body for message in found[:3]] != ["good"] * 3:
            raise Lost(f"history: {found[:3]}")
        for number in (2, 3, 4):
            name = f"{self.name} {number}"
            room = self.client.join(name, after=zchat.START if number == 3 else None, timeout=SECONDS)
            room.send("good", timeout=SECONDS)
            room.leave(timeout=SECONDS)
            if name in {each.name for each in self.client.rooms(timeout=SECONDS) if each.members}:
                raise Lost(f"{name} was left, and is not empty")
        self.client.direct("other", timeout=SECONDS)

    def _audit(self) -> None:
        """Read to the end, and compare what was taken with the room's log."""
        self.room.send("good", timeout=SECONDS)
        last = self.said.send("last", timeout=SECONDS).seq
        until = time.monotonic() + SECONDS
        while not self.taken or self.taken[-1] < last:
            if time.monotonic() > until:
                raise Lost(f"the reader is stuck at {self.room.position}, {self.taken[-1:]} of {last}")
            before = len(self.taken)
            self._read_on()
            if len(self.taken) == before:
                time.sleep(0.001)
        if self.taken != sorted(set(self.taken)):
            raise Lost("something came twice, or out of order")
        position = self.room.position
        if position.seq < last:
            raise Lost(f"the position is {position}, and {last} was taken")

    def _read_on(self) -> None:
        if self.way in ("messages", "batches"):
            try:
                self.taken += [message.seq for message in self.room.messages(timeout=0)]
            except zchat.GapError as error:
                raise Lost(f"a gap: {error}") from error
        else:
            for event in self.client.events(timeout=0):
                if isinstance(event, Gap):
                    raise Lost(f"a gap: {event}")
                if isinstance(event, zchat.Message) and event.room == self.name:
                    self.taken.append(event.seq)

    def missing(self) -> int:
        """Return how many messages of the other one were never taken; of batches, how many in a row count as one."""
        taken = set(self.taken)
        log = self.client.history(self.name, after=0, limit=1_000_000, timeout=SECONDS)
        missed = [message.seq not in taken for message in log if message.user != self.client.user]
        if self.way in BATCHED:
            return sum(here and not before for before, here in pairwise([False, *missed]))
        return sum(missed)

    def end(self) -> None:
        """Check what was lost in all, and that closing works."""
        missing = self.missing()
        if missing > self.interruptions:
            raise Lost(f"{missing} messages were lost by {self.interruptions} interruptions")
        self.client.close(SECONDS)
        self.other.close(SECONDS)


# -- the runs ---------------------------------------------------------------------------------------------


def sweep(url: str, way: str, name: str, only: str, most: int, thorough: int = 1) -> int:
    """Interrupt a call at every opcode of its length, or at `most` that lie evenly over it; returns how often.

    Each interruption is followed by reading on and comparing, each `thorough`-th by all the ways to use a client.

    Raises:
        Lost: a promise is broken.
    """
    talk = Talk(url, name, way)
    call = talk.calls()[only]
    talk.say(2)
    with interrupted_at(sys.maxsize, KeyboardInterrupt) as tracer:
        call()
    step = max(1, tracer.count // most)
    at, done = 1, 0
    while True:
        talk.say(2)
        kind = KINDS[done % len(KINDS)]
        with interrupted_at(at, kind) as tracer, suppress(kind):
            call()
        if not tracer.where:
            break
        done += 1
        talk.interruptions += 1
        talk.check(f"{kind.__name__} at opcode {at} of {only}, {tracer.where}", all_ways=done % thorough == 0)
        at += step
    talk.check("the last call")
    talk.end()
    return done


def names(way: str) -> list[str]:
    """Return the names of the calls: of a client that takes batches, those alone that it doesn't share with others."""
    if way in BATCHED:
        return [way]
    rest = (
        "send, send_many, history, history_batch, room.history, rooms, members, room.members, stats, "
        "overall_stats, mark_read, room.mark_read, typing, position, member_count, wait, join, join at, direct, "
        "leave, progress, client"
    )
    return [way, *rest.split(", ")]


def storm(url: str, way: str, name: str, count: int, seed: int) -> int:
    """Have signals interrupt calls at random moments, some hundred microseconds apart; returns how often one did.

    The main thread's. It is checked after each twenty.

    Raises:
        Lost: a promise is broken.
    """
    random = Random(seed)
    talk = Talk(url, name, way)
    calls = list(talk.calls().items())
    with Timer() as timer:
        while talk.interruptions < count:
            talk.say(random.choice((0, 1, 5, 200)))
            what, call = random.choice(calls)
            if timer.interrupts(call, random.uniform(20e-6, 900e-6), random.choice(KINDS)):
                talk.interruptions += 1
            if talk.interruptions % 20 == 0:
                talk.check(f"signals, the last one in {what}")
    talk.check("signals")
    talk.end()
    return talk.interruptions


def main() -> None:
    """Run the long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storm", type=int, default=0, help="only so many interruptions by signals")
    options = parser.parse_args()
    if options.storm:
        with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
            for way in WAYS:
                print(f"{way}: {storm(broker.url, way, f'storm {way}', options.storm, options.seed)} by signals")
            with lifetimes.lives(broker.url) as lives:
                print(f"starts and ends: {lives.storm(options.storm, options.seed)} by signals")
        return
    began = time.monotonic()
    sweeps = sum(len(names(way)) for way in WAYS) + len(lifetimes.NAMES)
    each = options.count * 4 // 5 // sweeps + 1
    swept = stormed = 0
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        for way in WAYS:
            for name in names(way):
                swept += sweep(broker.url, way, f"{way} {name}", name, each)
            print(f"{way}: {swept} at opcodes, {time.monotonic() - began:.0f} s", flush=True)
        with lifetimes.lives(broker.url) as lives:
            for name in lifetimes.NAMES:
                swept += lives.sweep(name, each)
            print(f"starts and ends: {swept} at opcodes, {time.monotonic() - began:.0f} s", flush=True)
        some = max(100, options.count // 10)
        while swept + stormed < options.count or not stormed:
            for way in WAYS:
                room = f"storm {way} {stormed}"
                stormed += storm(broker.url, way, room, some, options.seed + stormed)
            with lifetimes.lives(broker.url) as lives:
                stormed += lives.storm(some, options.seed + stormed)
            print(f"{stormed} by signals, {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"{swept + stormed} interruptions: nothing was lost but what was in hand, nothing came twice, nothing was left"
    )


if __name__ == "__main__":
    main()
