"""What a signal's handler raises within an event loop, at any step of a client's turns and of its calls.

`python -m tests.promises.tasks.broken_turns --count 2000` is the long form. A turn that was broken off ends the client:
what must hold is that every call ends, and knows what became of its message.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable
from random import Random
from types import FrameType
from typing import Any

import zchat
from tests.promises.breaking_off import Opcodes
from tests.promises.interruptions import Lost
from zchat.broker import Broker

SECONDS = 20.0
"""Seconds after which a call that has no limit of its own counts as stuck."""

HEALED = 8.0
"""Seconds that any of them may take: a turn that was asked for and never had is made up for by the next ping's."""


class Handled(Exception):
    """What a signal's handler raises, an ordinary exception, of no kind that zchat knows."""


class Breaker(Opcodes):
    """A tracer that raises once, or again after so many further opcodes, each time where a signal may land."""

    def __init__(self, at: int, again: list[int]) -> None:
        super().__init__(at, Handled)
        self.places: list[str] = []
        self._again = again

    def opcode(self, frame: FrameType) -> None:
        """See `Tracer`."""
        try:
            super().opcode(frame)
        except Handled:
            self.places.append(self.where)
            if self._again:
                self.at, self.where = self.count + self._again.pop(0), ""
            raise


class Talk:
    """What one program says and asks in a loop that is broken in upon, and what came of each call."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self.sent: dict[str, bool | None] = {}
        """Of each message whether it is stored, None where nobody knows."""
        self.errors: list[BaseException] = []
        self.slowest = 0.0

    async def run(self) -> None:
        """Do all of it; what a call raises is kept, and the next one is made."""
        try:
            client = zchat.AsyncClient(self._url, user="one", timeout=SECONDS)
        except Handled as error:
            self.errors.append(error)
            return
        if not await self._done(client.connect()):
            return
        reader: asyncio.Task[None] | None = None
        try:
            joined: list[zchat.AsyncRoom] = []

            async def join() -> None:
                joined.append(await client.join(self._name, echo=True, timeout=None))

            if await self._done(join()):
                room = joined[0]
                reader = asyncio.create_task(self._read(room))
                for number in range(3):
                    await self._send(room, f"alone {number}")
                await asyncio.gather(*(self._send(room, f"together {number}") for number in range(5)))
                await self._send_many(room)
                await self._done(room.history(timeout=None))
                await self._done(client.rooms(timeout=None))
        finally:
            while not await self._done(client.close(timeout=SECONDS)) and isinstance(self.errors[-1], Handled):
                pass  # that came before anything was closed
            if reader is not None:
                await self._done(reader)

    async def _read(self, room: zchat.AsyncRoom) -> None:
        async for _ in room.messages():
            pass

    async def _send(self, room: zchat.AsyncRoom, text: str) -> None:
        self.sent[text] = None
        if await self._done(room.send(text, timeout=None)):
            self.sent[text] = True
        elif isinstance(self.errors[-1], zchat.ConnectionLost | zchat.UsageError):
            self.sent[text] = False

    async def _send_many(self, room: zchat.AsyncRoom) -> None:
        texts = [f"many {number}" for number in range(40)]
        stored = 0

        async def send() -> None:
            nonlocal stored
            try:
                stored = await room.send_many(texts, timeout=None)
            except zchat.ZchatError as error:
                stored = error.stored or 0
                raise

        self.sent |= dict.fromkeys(texts)
        whole = await self._done(send())
        self.sent |= dict.fromkeys(texts[:stored], True)
        if not whole and isinstance(self.errors[-1], zchat.ConnectionLost | zchat.UsageError):
            self.sent |= dict.fromkeys(texts[stored:], False)

    async def _done(self, call: Awaitable[Any]) -> bool:
        """Return whether a call did what it should; each ends, and what it raises is zchat's or the handler's."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(SECONDS):
                await call
        except (zchat.ZchatError, Handled) as error:
            self.errors.append(error)
            return False
        except TimeoutError:
            raise Lost("a call did not end") from None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return True


def broken(url: str, name: str, at: int, again: list[int]) -> list[str]:
    """Break in upon a talk at an opcode, and again after so many further ones; return where, [] once it was over.

    Raises:
        Lost: a promise is broken.
    """
    talk = Talk(url, name)
    tracer = Breaker(at, list(again))
    before = sys.gettrace()
    with asyncio.Runner() as runner:
        unexpected: list[dict[str, Any]] = []
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: unexpected.append(context))
        sys.settrace(tracer)
        try:
            runner.run(talk.run())
        except Lost as error:
            raise Lost(f"at {tracer.places}: {error}") from None
        finally:
            sys.settrace(before)
    for context in unexpected:
        if not isinstance(context.get("exception"), Handled):
            raise Lost(f"at {tracer.places}: {context}")
    _check(url, name, talk, tracer.places)
    return tracer.places


def _check(url: str, name: str, talk: Talk, places: list[str]) -> None:
    for error in talk.errors:
        chain = []
        cause: BaseException | None = error
        while cause is not None:
            chain.append(cause)
            cause = cause.__cause__
        if not isinstance(error, zchat.UsageError) and not isinstance(chain[-1], Handled):
            raise Lost(f"at {places}: {error!r} without its cause")
    if talk.slowest > HEALED:
        raise Lost(f"at {places}: a call took {talk.slowest:.1f} s")
    try:
        with zchat.Client(url, user="judge") as judge:
            judge.join(name)
            stored = [message.body for message in judge.history(name, limit=1000)]
    except zchat.ZchatError as error:
        raise Lost(f"at {places}: later another client failed: {error}") from error
    if len(stored) != len(set(stored)):
        raise Lost(f"at {places}: stored twice")
    for text, known in talk.sent.items():
        if known is not None and known != (text in stored):
            raise Lost(f"at {places}: {text!r} is {'not ' * known}stored, and was said to be{' not' * (not known)}")


def opcodes(url: str, name: str) -> int:
    """Return how many opcodes a talk has that nothing breaks in upon."""
    tracer = Breaker(1 << 60, [])
    before = sys.gettrace()
    with asyncio.Runner() as runner:
        talk = Talk(url, name)
        sys.settrace(tracer)
        try:
            runner.run(talk.run())
        finally:
            sys.settrace(before)
    if talk.errors or not all(talk.sent.values()):
        raise Lost(f"undisturbed: {talk.errors}, {talk.sent}")
    return tracer.count


def sweep(count: int, seed: int) -> int:
    """Break in upon so many talks, each at a place of its own, half of them again soon after; return how many were."""
    random = Random(seed)
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        length = opcodes(broker.url, "undisturbed")
        reached = 0
        for number in range(count):
            at = 1 + (length * number + random.randrange(length)) // count
            again = [random.randint(1, 400) for _ in range(random.choice((0, 0, 1, 3)))]
            reached += bool(broken(broker.url, f"broken {number}", at, again))
    return reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{sweep(options.count, options.seed)} of {options.count} talks were broken in upon")
