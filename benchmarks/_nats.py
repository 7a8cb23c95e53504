"""What `faces.py` compares zchat's clients with: nats-py, over a nats-server, if both are installed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from _contenders import ROOM
from _faces import Footprint, all_of, at_once, clock, idle_for_a_while, named, paced, run
from _run import DEADLINE, Pipe, Worker, free_port, reached

UNLIMITED = -1
"""What nats-py takes for no limit of what waits for a callback."""


@dataclass(frozen=True)
class Nats:
    """nats-py by callback, its fastest way, over a nats-server; acknowledged sends go into a stream in memory."""

    loop: str = "asyncio"

    def __str__(self) -> str:
        return named("nats-py", self.loop, "asyncio")

    @staticmethod
    def missing() -> str:
        """Return what isn't installed, "" if all is."""
        wanted = {"nats-py": find_spec("nats"), "nats-server": shutil.which("nats-server")}
        return " and ".join(name for name, found in wanted.items() if not found)

    @contextmanager
    def served(self, start: Callable[..., Worker]) -> Iterator[str]:
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="zchat-benchmark-") as folder:
            line = ["nats-server", "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", folder]
            process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                reached(port)
                yield f"nats://127.0.0.1:{port}"
            finally:
                process.kill()
                process.wait()

    def read(self, pipe: Pipe, url: str, readers: int, messages: int) -> None:
        async def read() -> None:
            async with AsyncExitStack() as stack:
                ends = [await self._end(stack, url, messages) for _ in range(readers)]
                await all_of([_result(end) for end in ends], pipe)

        run(self.loop, read())

    async def _end(self, stack: AsyncExitStack, url: str, messages: int) -> asyncio.Future[int]:
        """Subscribe, and return when the last message comes."""
        connection = await stack.enter_async_context(_connected(url))
        end = asyncio.get_running_loop().create_future()
        count = 0

        async def take(message: Any) -> None:
            nonlocal count
            count += 1
            if count == messages:
                end.set_result(clock())

        await connection.subscribe(ROOM, cb=take, pending_msgs_limit=UNLIMITED, pending_bytes_limit=UNLIMITED)
        await connection.flush()
        return end

    def publish(self, pipe: Pipe, url: str, text: str, messages: int) -> None:
        async def publish() -> None:
            async with _connected(url) as connection:
                data = text.encode()
                pipe.say()
                pipe.hear()
                began = clock()
                for _ in range(messages):
                    await connection.publish(ROOM, data)
                await connection.flush(DEADLINE)
                pipe.say(began)

        run(self.loop, publish())

    def hear(self, pipe: Pipe, url: str, messages: int) -> None:
        async def hear() -> None:
            delays: list[int] = []
            done = asyncio.Event()

            async def take(message: Any) -> None:
                delays.append(clock() - int(message.data))
                if len(delays) == messages:
                    done.set()

            async with _connected(url) as connection:
                await connection.subscribe(ROOM, cb=take)
                await connection.flush()
                pipe.say()
                await asyncio.wait_for(done.wait(), DEADLINE)
                pipe.say(delays)

        run(self.loop, hear())

    def say(self, pipe: Pipe, url: str, size: int, messages: int) -> None:
        async def say() -> None:
            async with _connected(url) as connection:
                await paced(pipe, lambda text: connection.publish(ROOM, text.encode()), size, messages)

        run(self.loop, say())

    def send(self, pipe: Pipe, url: str, text: str, messages: int, together: int) -> None:
        async def send() -> None:
            async with _connected(url) as connection:
                stream = connection.jetstream()
                await stream.add_stream(name=ROOM, subjects=[ROOM], storage="memory")
                data = text.encode()
                await at_once(pipe, lambda: stream.publish(ROOM, data, timeout=DEADLINE), messages, together)

        run(self.loop, send())

    def idle(self, pipe: Pipe, url: str, clients: int) -> None:
        async def idle() -> None:
            async def take(message: Any) -> None:
                pass

            async with AsyncExitStack() as stack:
                before = Footprint()
                for _ in range(clients):
                    connection = await stack.enter_async_context(_connected(url))
                    await connection.subscribe(ROOM, cb=take)
                    await connection.flush()
                await idle_for_a_while(pipe, before, clients)

        run(self.loop, idle())


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await import_module("nats").connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _result(end: asyncio.Future[int]) -> int:
    return await asyncio.wait_for(end, DEADLINE)
