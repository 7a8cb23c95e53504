"""Tasks of one event loop that send, join, read and ask while any of it is cancelled at random, and the audit of it.

`python -m tests.promises.tasks.run --seconds 60` is the long form.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from random import Random
from typing import Any

import zchat
from tests.loop import until
from tests.running import DEADLINE

SENDERS = 8
"""Tasks that send one by one."""

ROOMS = 7
"""Rooms that are joined and left beside the one that is read."""


class Stress:
    """Two clients in one room: alice sends, bob reads, joins and asks. All chance is the seed's."""

    def __init__(self, url: str, seconds: float, seed: int) -> None:
        self._url = url
        self._until = time.monotonic() + seconds
        self._random = Random(seed)
        self.count: Counter[str] = Counter()
        """How often what was done, and how often cancelled."""
        self._acknowledged: dict[int, str] = {}
        self._many: list[zchat.Progress] = []
        self._heard: list[zchat.Message] = []
        self._in: dict[str, zchat.AsyncRoom] = {}

    async def run(self) -> None:
        """Do it all, then audit it.

        Raises:
            AssertionError: a promise is broken.
        """
        async with (
            zchat.AsyncClient(self._url, user="alice", timeout=DEADLINE) as self._alice,
            zchat.AsyncClient(self._url, user="bob", timeout=DEADLINE) as self._bob,
        ):
            self._said = await self._alice.join("General")
            self._read = await self._bob.join("General")
            reading = asyncio.create_task(self._take())
            await asyncio.gather(
                *(self._send(number) for number in range(SENDERS)), self._send_many(), self._join(), self._ask()
            )
            await self._said.send("the end", timeout=DEADLINE)
            await reading
            await self._audit()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    async def _maybe(self, what: str, work: Coroutine[Any, Any, Any], share: float, within: float) -> Any:
        """Return what a task returns, or None if it was cancelled, which a share of them are, after a random time."""
        self.count[what] += 1
        task = asyncio.create_task(work)
        if self._random.random() < share:
            for _ in range(self._random.randrange(4)):
                await asyncio.sleep(0)
            if self._random.random() < 0.5:
                await asyncio.sleep(self._random.random() * within)
            task.cancel()
        outcome: object = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(outcome, asyncio.CancelledError):
            self.count[f"{what} cancelled"] += 1
            return None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _goes_on(self, what: str) -> bool:
        """Return whether there is time left, or something was not done yet."""
        return time.monotonic() < self._until or not self.count[what]

    async def _send(self, sender: int) -> None:
        number = 0
        while self._goes_on("send"):
            number += 1
            body = f"{sender} {number}"
            stored = await self._maybe("send", self._said.send(body, timeout=DEADLINE), 0.4, 0.002)
            if stored is not None:
                self._acknowledged[stored.seq] = body

    async def _send_many(self) -> None:
        while self._goes_on("send_many"):
            progress, count = zchat.Progress(), self._random.randrange(1, 3_000)
            bodies = map(f"many {len(self._many)} {{}}".format, range(count))
            self._many.append(progress)
            sending = self._said.send_many(bodies, timeout=DEADLINE, progress=progress)
            stored = await self._maybe("send_many", sending, 0.5, 0.02)
            assert stored is None or stored == progress.stored == count

    async def _join(self) -> None:
        """Join rooms and leave them; of what is cancelled the room that is held must not be taken away."""
        while self._goes_on("leave"):
            name = f"Room {self._random.randrange(ROOMS)}"
            if name in self._in and self._random.random() < 0.5:
                room = self._in.pop(name)
                await self._maybe("leave", room.leave(), 0.4, 0.001)
                await room.leave()  # of one that was cancelled before it began
            else:
                found = await self._maybe("join", self._bob.join(name, timeout=DEADLINE), 0.5, 0.001)
                assert found is None or self._in.setdefault(name, found) is found
            await asyncio.sleep(0.001)

    async def _ask(self) -> None:
        while self._goes_on("members"):
            asked = self._bob.history("General", limit=50, timeout=DEADLINE)
            history = await self._maybe("history", asked, 0.5, 0.003)
            if history:
                seqs = [message.seq for message in history]
                assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            members = await self._maybe("members", self._bob.members("General", timeout=DEADLINE), 0.3, 0.002)
            assert members is None or {member.user for member in members} == {"alice", "bob"}

    async def _take(self) -> None:
        """Read to the end, in loops that end by a cancelling, a silence, a break; some of it in batches."""
        while not self._heard or self._heard[-1].body != "the end":
            reading = self._loop() if self._random.random() < 0.7 else self._loop_of_batches()
            await self._maybe("loop", reading, 0.6, 0.01)

    async def _loop(self) -> None:
        async for message in self._read.messages(timeout=self._random.random() * 0.02):
            self._heard.append(message)
            if self._random.random() < 0.001:
                break

    async def _loop_of_batches(self) -> None:
        async for batch in self._read.batches(timeout=self._random.random() * 0.02):
            self._heard += batch
            if self._random.random() < 0.05:
                break

    # -- the audit

    async def _audit(self) -> None:
        seqs = [message.seq for message in self._heard]
        assert seqs == list(range(1, len(seqs) + 1)), "lost, twice, or out of order"
        last = (await self._bob.history("General", limit=1))[0]
        assert last.seq == len(seqs) == self._read.position.seq
        bodies = [str(message.body) for message in self._heard]
        assert all(bodies[seq - 1] == body for seq, body in self._acknowledged.items()), "stored elsewhere"
        assert len(set(bodies)) == len(bodies), "something is stored twice"
        numbers: dict[str, list[int]] = defaultdict(list)
        for body in bodies[:-1]:
            source, _, number = body.rpartition(" ")
            numbers[source].append(int(number))
        for call, progress in enumerate(self._many):
            assert await progress.settled(DEADLINE)
            assert numbers[f"many {call}"] == list(range(progress.stored)), "not what the progress says"
        assert all(each == sorted(each) for each in numbers.values()), "one sender's messages are out of order"
        await self._audit_rooms()

    async def _audit_rooms(self) -> None:
        for room in self._in.values():
            await room.send("still in it", timeout=DEADLINE)
        rooms = {"General", *self._in}
        core = self._bob._link.core
        await until(lambda: set(core._memberships.rooms) == rooms, "it is in the rooms that it has")
        await until(lambda: not core._requests.pending, "all questions are answered")
        assert len(self._bob._link.events.inboxes) == len(rooms)
        members = {room.name: room.members for room in await self._bob.rooms()}
        assert all(members.get(f"Room {each}", 0) == (f"Room {each}" in rooms) for each in range(ROOMS)), members
