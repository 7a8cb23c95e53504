"""Pages of zchat.js whose connections are cut at any byte, while the gateway and the broker are killed: what they sent
is stored once, in order, and nothing that was acknowledged is lost; each receives the whole log, once and in order.

python -m tests.web.cuts --runs 1000 --seed 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import zchat
from tests.mortal import Mortal
from tests.running import OWN_HOST, ROOT

LANES = 8
"""Runs at once, each with a proxy of its own before the gateway that they share."""

PAGES = ("alice", "bob", "carol")
"""What the names of a run's users begin with."""

MOST_CUTS = 6
"""Connections that are cut in a run; later ones stay."""

PATIENCE = 120.0
"""Seconds that a run may take."""


class Cuts:
    """A proxy before the gateway that ends each connection once so many bytes have gone through it."""

    def __init__(self, port: int, counts: Counter[str]) -> None:
        self.port = port
        self.counts = counts
        self.budgets: list[int] = []
        """Of the next connections; one without is carried to its end."""
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Cuts]:
        """Serve for as long as the block lasts."""
        server = await asyncio.start_server(self._carry_both, OWN_HOST, 0)
        self.url = f"ws://{OWN_HOST}:{server.sockets[0].getsockname()[1]}/ws"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        left = [self.budgets.pop() if self.budgets else sys.maxsize]
        try:
            there, to = await asyncio.open_connection(OWN_HOST, self.port)
        except OSError:
            writer.transport.abort()
            return
        try:
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(self._carry(reader, to, left), self._carry(there, writer, left))
        finally:
            writer.transport.abort()
            to.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, left: list[int]) -> None:
        while left[0] > 0 and (data := await source.read(1 << 16)):
            target.write(data[: left[0]])
            with suppress(ConnectionError):
                await target.drain()
            left[0] -= len(data)
        self.counts["cut"] += left[0] <= 0
        raise ConnectionAbortedError  # ends the other way, too


class Site:
    """A broker and a gateway before it, which die and come back where they were."""

    def __init__(self, store: str, counts: Counter[str]) -> None:
        self.counts = counts
        self.broker = Mortal(store)
        with socket.create_server((OWN_HOST, 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self._gateway: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start_gateway(self) -> None:
        """Start the gateway, once the broker lets it."""
        line = ["web", "--open", "--broker", self.broker.url, "--listen", f"{OWN_HOST}:{self.port}", "--host", OWN_HOST]
        while True:
            self._gateway = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zchat", *line, "--no-page", cwd=ROOT, stdout=asyncio.subprocess.PIPE
            )
            assert self._gateway.stdout is not None
            if await self._gateway.stdout.readline():
                return
            await self._gateway.wait()

    async def end_gateway(self, number: signal.Signals) -> None:
        """End the gateway by a signal, and start it again."""
        async with self._one_at_a_time:
            assert self._gateway is not None
            self._gateway.send_signal(number)
            await self._gateway.wait()
            await self.start_gateway()
            self.counts[f"gateway ended by {number.name}"] += 1

    async def kill_broker(self) -> None:
        """Kill the broker, and start it again."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self.broker.kill)
            await asyncio.to_thread(self.broker.start)
            self.counts["broker killed"] += 1

    async def close(self) -> None:
        """End both."""
        if self._gateway is not None and self._gateway.returncode is None:
            self._gateway.kill()
            await self._gateway.wait()
        self.broker.kill()


class Pages:
    """The program of `script/cuts.mjs`, which has the pages."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def ask(self, run: int, op: str, **fields: Any) -> Any:
        """Have something done for a run, and return what came of it."""
        found = self._asked[run] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, "run": run, **fields}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            return await found

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            found = self._asked.pop(said["run"])
            if found.done():
                continue  # it took too long
            if "failed" in said:
                found.set_exception(AssertionError(said["failed"]))
            else:
                found.set_result(said["found"])
        for found in self._asked.values():
            if not found.done():
                found.set_exception(AssertionError("the program with the pages has ended"))

    async def close(self) -> None:
        """End the program."""
        self._process.kill()
        await self._process.wait()
        await self._reading


async def one(number: int, seed: int, site: Site, pages: Pages, lane: Cuts, client: zchat.AsyncClient) -> None:
    """Have pages talk in a room of their own while what is between them and the log breaks; audit it."""
    chance = random.Random(f"{seed} {number}")
    room, users = f"run {number}", [f"{name} {number}" for name in PAGES]
    lane.budgets = [int(2 ** chance.uniform(4, 14)) for _ in range(chance.randint(1, MOST_CUTS))]
    count, together = chance.randint(5, 15), chance.choice([1, 3, 20])
    breaking = asyncio.create_task(disaster(chance, site))
    job = {"url": lane.url, "room": room, "users": users, "count": count, "together": together}
    outcomes = await pages.ask(number, "begin", **job)
    await breaking
    lane.budgets.clear()
    log = [(each.seq, each.user, each.body) for each in await client.history(room, after=0, limit=10_000, timeout=60)]
    read = await pages.ask(number, "end", upto=len(log))
    audit(users, outcomes, log, read, site.counts)


async def disaster(chance: random.Random, site: Site) -> None:
    """Let the gateway or the broker die, in some of the runs."""
    kind = chance.random()
    await asyncio.sleep(chance.uniform(0, 0.3))
    if kind < 0.08:
        await site.end_gateway(signal.SIGKILL)
    elif kind < 0.12:
        await site.end_gateway(signal.SIGTERM)
    elif kind < 0.24:
        await site.kill_broker()


def audit(users: list[str], outcomes: list[Any], log: list[Any], read: list[Any], counts: Counter[str]) -> None:
    """Fail if something is lost, doubled or out of order."""
    assert [seq for seq, _, _ in log] == [*range(1, len(log) + 1)], f"the log has holes: {log}"
    bodies = [body for _, _, body in log]
    assert len(set(bodies)) == len(bodies), f"stored twice: {[each for each in bodies if bodies.count(each) > 1]}"
    for user, found in zip(users, outcomes, strict=True):
        stored = {number: seq for number, seq in enumerate(found) if isinstance(seq, int)}
        for number, seq in stored.items():
            assert log[seq - 1] == (seq, user, f"{user} {number}"), f"{user} {number} is not at {seq}: {log[seq - 1]}"
        assert [*stored.values()] == sorted(stored.values()), f"{user}: out of order: {found}"
        unknown = [each for each in found if not isinstance(each, int)]
        assert {*unknown} <= {"outcome_unknown"}, f"{user}: {unknown}"
        counts["acknowledged"] += len(stored)
        counts["unknown"] += len(unknown)
    for user, page in zip(users, read, strict=True):
        assert not page["trouble"], f"{user}: {page['trouble']}"
        received = [tuple(each) for each in page["received"]]
        missing, more = [each for each in log if each not in received], [each for each in received if each not in log]
        assert received == log, f"{user} did not receive {missing}, but {more}: {received}"
        counts["received"] += len(log)


async def live(runs: int, seed: int) -> Counter[str]:
    """Have so many runs; return what was counted."""
    counts: Counter[str] = Counter()
    numbers = iter(range(runs))
    async with AsyncExitStack() as stack:
        site = Site(f"sqlite:{stack.enter_context(tempfile.TemporaryDirectory())}/log", counts)
        stack.push_async_callback(site.close)
        await site.start_gateway()
        program = ["node", "--experimental-websocket", "--no-warnings", str(ROOT / "tests/web/script/cuts.mjs")]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe, limit=1 << 24)
        pages = Pages(process)
        stack.push_async_callback(pages.close)
        client = await stack.enter_async_context(zchat.AsyncClient(site.broker.url, user="auditor"))

        async def have_runs() -> None:
            async with Cuts(site.port, counts).serving() as lane:
                for number in numbers:
                    try:
                        await one(number, seed, site, pages, lane, client)
                    except BaseException as error:
                        error.add_note(f"in run {number} of seed {seed}")
                        raise
                    counts["runs"] += 1
                    if not counts["runs"] % 50:
                        print(dict(counts), flush=True)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(have_runs())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    print(dict(asyncio.run(live(given.runs, given.seed))))


if __name__ == "__main__":
    main()
