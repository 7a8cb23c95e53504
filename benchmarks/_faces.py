"""The kinds of clients that `faces.py` compares: zchat's two, with threads and with tasks. `_nats.py` has the third.

What a kind does runs in a process of its own. Readers are one client each: a thread each, or tasks of one loop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from importlib import import_module
from threading import Thread
from typing import Any, Protocol

import zchat
from _contenders import ROOM, Zchat, served
from _run import DEADLINE, Failed, Pipe, Worker

PACE = 1_000_000
"""Nanoseconds from one message to the next where latency is measured."""

SILENCE = 20.0
"""Seconds without a message after which a reader gives up."""

IDLE_SECONDS = 2.0
"""Seconds until clients that have joined are idle, and then for which their CPU time is taken."""

WAYS = ("messages", "batches", "bodies")
"""How a reader takes what is said: one by one; a `Message` each, out of batches; the batches' bodies alone."""

clock = time.perf_counter_ns


class Kind(Protocol):
    """What is compared: each method is called in a process, and reports through the pipe."""

    def served(self, start: Callable[..., Worker]) -> AbstractContextManager[str]:
        """Give the address of a server of its own, in a process of its own."""

    def read(self, pipe: Pipe, url: str, readers: int, messages: int) -> None:
        """Have so many readers take all messages; say that they are ready, then when the last had its last, and the CPU
        time since, both in nanoseconds."""

    def publish(self, pipe: Pipe, url: str, text: str, messages: int) -> None:
        """Send all messages once it hears a word, as fast as can be, and say when the first was sent."""

    def hear(self, pipe: Pipe, url: str, messages: int) -> None:
        """Take all messages; say that it is ready, then how many nanoseconds each was under way."""

    def say(self, pipe: Pipe, url: str, size: int, messages: int) -> None:
        """Send a message a millisecond once it hears a word; say how much longer that took than planned, and how many
        nanoseconds each call took."""

    def send(self, pipe: Pipe, url: str, text: str, messages: int, together: int) -> None:
        """Send messages that are acknowledged, so many calls at a time; say how many nanoseconds it took."""

    def idle(self, pipe: Pipe, url: str, clients: int) -> None:
        """Connect so many clients that do nothing, and say what each costs: see `footprint`."""


def call(pipe: Pipe, kind: Kind, method: str, *arguments: Any) -> None:
    """Run a method of a kind in this process, until the one that has started it is gone."""
    getattr(kind, method)(pipe, *arguments)
    pipe.wait_for_the_end()


# -- what all use ------------------------------------------------------------------------------------------


class Footprint:
    """What this process uses at a moment: memory in bytes, files, threads, seconds, CPU seconds."""

    def __init__(self) -> None:
        with open("/proc/self/statm", encoding="ascii") as file:
            self.memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.files = len(os.listdir("/proc/self/fd"))
        self.threads = len(os.listdir("/proc/self/task"))
        self.at = time.monotonic()
        self.cpu = time.process_time()

    def since(self, before: Footprint, clients: int) -> dict[str, float]:
        """Return what each client has cost since `before`."""
        return {
            "KiB": (self.memory - before.memory) / clients / 1024,
            "files": (self.files - before.files) / clients,
            "threads": (self.threads - before.threads) / clients,
            "ms to join": (self.at - before.at) / clients * 1000,
        }

    def idle(self, later: Footprint) -> dict[str, float]:
        """Return what all cost from this moment until `later`."""
        return {"idle CPU % of all": (later.cpu - self.cpu) / (later.at - self.at) * 100}


def named(what: str, detail: str, usual: str = "messages") -> str:
    """Return the name of a kind, with its detail if that isn't the usual one."""
    return what if detail == usual else f"{what}, {detail}"


def check(count: int, seen: int, messages: int) -> None:
    """Raise Failed unless the messages 1 to `messages` were taken, once each; `seen` is the sum of their seqs."""
    if (count, seen) != (messages, messages * (messages + 1) // 2):
        raise Failed(f"{messages:,} messages were sent, {count:,} came")


# -- zchat with threads ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Threads:
    """`zchat.Client`: a thread takes what a reader is sent."""

    way: str = "messages"
    store: str = "memory:"

    def __str__(self) -> str:
        return named("threads", self.way)

    def served(self, start: Callable[..., Worker]) -> AbstractContextManager[str]:
        return served(Zchat(self.store), start)

    def read(self, pipe: Pipe, url: str, readers: int, messages: int) -> None:
        ends: list[int] = []
        with ExitStack() as stack:
            rooms = [stack.enter_context(_client(url, f"reader {number}")).join(ROOM) for number in range(readers)]
            takers = [Thread(target=self._take, args=(room, messages, ends), daemon=True) for room in rooms]
            in_all(takers, pipe, ends)

    def _take(self, room: zchat.Room, messages: int, ends: list[int]) -> None:
        count = seen = 0
        if self.way == "messages":
            for message in room.messages(SILENCE):
                count += 1
                seen += message[1]
                if count == messages:
                    break
        else:
            for batch in room.batches(SILENCE):
                if self.way == "bodies":
                    count += len(batch.bodies)
                    seen += (batch.first + batch.last) * len(batch) // 2
                else:
                    for message in batch:
                        count += 1
                        seen += message[1]
                if count == messages:
                    break
        check(count, seen, messages)
        ends.append(clock())

    def publish(self, pipe: Pipe, url: str, text: str, messages: int) -> None:
        with _client(url, "writer") as client:
            room = client.join(ROOM)
            pipe.say()
            pipe.hear()
            began = clock()
            room.send_many((text for _ in range(messages)), timeout=DEADLINE)
            pipe.say(began)

    def hear(self, pipe: Pipe, url: str, messages: int) -> None:
        delays: list[int] = []
        with _client(url, "reader") as client:
            room = client.join(ROOM)
            pipe.say()
            for message in room.messages(SILENCE):
                delays.append(clock() - int(message[4]))
                if len(delays) == messages:
                    break
            pipe.say(delays)

    def say(self, pipe: Pipe, url: str, size: int, messages: int) -> None:
        took: list[int] = []
        with _client(url, "writer") as client:
            room = client.join(ROOM)
            pipe.say()
            pipe.hear()
            start = due = clock()
            for _ in range(messages):
                while (early := due - clock()) > 0:
                    time.sleep(early / 1e9)
                began = clock()
                room.send(f"{began:0{size}}")
                took.append(clock() - began)
                due = max(due + PACE, clock())
            pipe.say(((clock() - start) / (messages * PACE), took))

    def send(self, pipe: Pipe, url: str, text: str, messages: int, together: int) -> None:
        with _client(url, "writer") as client:
            room = client.join(ROOM)

            def share() -> None:
                for _ in range(messages // together):
                    room.send(text, timeout=DEADLINE)

            senders = [Thread(target=share, daemon=True) for _ in range(together)]
            began = clock()
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join(DEADLINE)
            pipe.say(clock() - began)

    def idle(self, pipe: Pipe, url: str, clients: int) -> None:
        with ExitStack() as stack:
            before = Footprint()
            for number in range(clients):
                stack.enter_context(_client(url, f"idle {number}")).join(ROOM)
            joined = Footprint()
            time.sleep(IDLE_SECONDS)
            settled = Footprint()
            time.sleep(IDLE_SECONDS)
            pipe.say(joined.since(before, clients) | settled.idle(Footprint()))


def _client(url: str, user: str) -> zchat.Client:
    return zchat.Client(url, user=user, timeout=DEADLINE)


def in_all(takers: list[Thread], pipe: Pipe, ends: list[int]) -> None:
    """Run the threads of all readers, and say when the last of them had its last message."""
    for taker in takers:
        taker.start()
    used = time.process_time_ns()
    pipe.say()
    for taker in takers:
        taker.join(DEADLINE)
    if len(ends) != len(takers):
        raise Failed(f"{len(takers) - len(ends)} of {len(takers)} readers lost messages")
    pipe.say((max(ends), time.process_time_ns() - used))


# -- with tasks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tasks:
    """`zchat.AsyncClient`: the loop drives all clients, and a task takes what a reader is sent."""

    way: str = "messages"
    loop: str = "asyncio"
    store: str = "memory:"

    def __str__(self) -> str:
        return named(self.loop, self.way)

    def served(self, start: Callable[..., Worker]) -> AbstractContextManager[str]:
        return served(Zchat(self.store), start)

    def read(self, pipe: Pipe, url: str, readers: int, messages: int) -> None:
        async def read() -> None:
            async with AsyncExitStack() as stack:
                rooms = [await _room(stack, url, f"reader {number}") for number in range(readers)]
                await all_of([self._take(room, messages) for room in rooms], pipe)

        run(self.loop, read())

    async def _take(self, room: zchat.AsyncRoom, messages: int) -> int:
        count = seen = 0
        if self.way == "messages":
            async for message in room.messages(SILENCE):
                count += 1
                seen += message[1]
                if count == messages:
                    break
        else:
            async for batch in room.batches(SILENCE):
                if self.way == "bodies":
                    count += len(batch.bodies)
                    seen += (batch.first + batch.last) * len(batch) // 2
                else:
                    for message in batch:
                        count += 1
                        seen += message[1]
                if count == messages:
                    break
        check(count, seen, messages)
        return clock()

    def publish(self, pipe: Pipe, url: str, text: str, messages: int) -> None:
        Threads().publish(pipe, url, text, messages)  # the same for all: readers are compared

    def hear(self, pipe: Pipe, url: str, messages: int) -> None:
        async def hear() -> None:
            delays: list[int] = []
            async with AsyncExitStack() as stack:
                room = await _room(stack, url, "reader")
                pipe.say()
                async for message in room.messages(SILENCE):
                    delays.append(clock() - int(message[4]))
                    if len(delays) == messages:
                        break
                pipe.say(delays)

        run(self.loop, hear())

    def say(self, pipe: Pipe, url: str, size: int, messages: int) -> None:
        async def say() -> None:
            async with AsyncExitStack() as stack:
                room = await _room(stack, url, "writer")
                await paced(pipe, room.send, size, messages)

        run(self.loop, say())

    def send(self, pipe: Pipe, url: str, text: str, messages: int, together: int) -> None:
        async def send() -> None:
            async with AsyncExitStack() as stack:
                room = await _room(stack, url, "writer")
                await at_once(pipe, lambda: room.send(text, timeout=DEADLINE), messages, together)

        run(self.loop, send())

    def idle(self, pipe: Pipe, url: str, clients: int) -> None:
        async def idle() -> None:
            async with AsyncExitStack() as stack:
                before = Footprint()
                for number in range(clients):
                    await _room(stack, url, f"idle {number}")
                await idle_for_a_while(pipe, before, clients)

        run(self.loop, idle())


async def _room(stack: AsyncExitStack, url: str, user: str) -> zchat.AsyncRoom:
    client = await stack.enter_async_context(zchat.AsyncClient(url, user=user, timeout=DEADLINE))
    return await client.join(ROOM)


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop of that kind."""
    import_module(loop).run(work)


async def all_of(readers: list[Coroutine[Any, Any, int]], pipe: Pipe) -> None:
    """Run all readers, and say when the last of them had its last message."""
    tasks = [asyncio.create_task(reader) for reader in readers]
    await asyncio.sleep(0)
    used = time.process_time_ns()
    pipe.say()
    ends = await asyncio.gather(*tasks)
    pipe.say((max(ends), time.process_time_ns() - used))


async def paced(pipe: Pipe, send: Callable[[str], Coroutine[Any, Any, object]], size: int, messages: int) -> None:
    """Send a message a millisecond, as `Kind.say` says."""
    took: list[int] = []
    pipe.say()
    pipe.hear()
    start = due = clock()
    for _ in range(messages):
        while (early := due - clock()) > 0:
            await asyncio.sleep(early / 1e9)
        began = clock()
        await send(f"{began:0{size}}")
        took.append(clock() - began)
        due = max(due + PACE, clock())
    pipe.say(((clock() - start) / (messages * PACE), took))


async def at_once(pipe: Pipe, send: Callable[[], Coroutine[Any, Any, object]], messages: int, together: int) -> None:
    """Send by so many tasks at a time, as `Kind.send` says."""

    async def share() -> None:
        for _ in range(messages // together):
            await send()

    began = clock()
    await asyncio.gather(*(share() for _ in range(together)))
    pipe.say(clock() - began)


async def idle_for_a_while(pipe: Pipe, before: Footprint, clients: int) -> None:
    """Say what clients that have all joined cost, as `Kind.idle` says."""
    joined = Footprint()
    await asyncio.sleep(IDLE_SECONDS)
    settled = Footprint()
    await asyncio.sleep(IDLE_SECONDS)
    pipe.say(joined.since(before, clients) | settled.idle(Footprint()))
