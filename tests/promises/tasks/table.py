"""What every call of a client in an event loop leaves when it is cancelled at any of its waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import zchat
from tests.loop import until
from tests.promises.tasks.cancelling import WAYS, Cancelling
from tests.running import DEADLINE
from zchat.broker import Broker
from zchat.transport import keys

MOST_WAITS = 200
"""Waits of a call of which none has more."""

MANY = 1_200
"""Messages of one `send_many`: others have their turn between them."""
VISITORS = tuple(f"visitor {number}" for number in range(16))
"""Users who come and go in turn: a key may open the door only so often in a short time."""

Case = AsyncGenerator[Coroutine[Any, Any, Any], Any]
"""Yields the call that is cancelled, once what it needs is there, and is sent its result, or what it has raised."""


class Lost(AssertionError):
    """A promise that a cancelling has broken."""


def expect(true: object, what: str) -> None:
    """Raise `Lost` unless something is true."""
    if not true:
        raise Lost(what)


class Door:
    """A broker with keys, where alice is an operator."""

    def __init__(self, folder: Path) -> None:
        keys.make_server(folder / "keys")
        self._keys = {user: keys.make(user) for user in ("alice", "bob", *VISITORS)}
        self._visitors = cycle(VISITORS)
        for user, key in self._keys.items():
            keys.write_pair(folder / "keys" / "users", user, key)
        (folder / "rules.toml").write_text('operators = ["alice"]\n[[rooms]]\nnames = ["*"]\n', encoding="utf-8")
        self._server = folder / "keys" / "server.key"
        self.broker = Broker("tcp://127.0.0.1:*", keys=folder / "keys", rules=folder / "rules.toml")

    def visitor(self) -> zchat.AsyncClient:
        """Return a client of the next of those who come and go, not connected yet."""
        return self.make(next(self._visitors))

    def make(self, user: str) -> zchat.AsyncClient:
        """Return a client of a user's, not connected yet."""
        return zchat.AsyncClient(self.broker.url, key=self._keys[user], server_key=self._server, timeout=DEADLINE)

    @property
    def sessions(self) -> int:
        """How many clients are in."""
        return self.broker.figures.counts["sessions"]


@contextmanager
def door(folder: Path) -> Iterator[Door]:
    """Run such a broker."""
    found = Door(folder)
    with found.broker:
        yield found


class Talk:
    """A client whose calls are cancelled, another one whose calls aren't, and one room of both."""

    def __init__(self, door: Door, name: str) -> None:
        self._door = door
        self._name = name
        self._sent = 0
        self._taken: list[int] = []
        self._heard: list[str] = []
        self._acknowledged: set[str] = set()
        self._never: set[str] = set()  # was cancelled before it began

    async def __aenter__(self) -> Talk:
        self.client, self._other = await self._door.make("alice").connect(), await self._door.make("bob").connect()
        self.room, self._theirs = await self.client.join(self._name), await self._other.join(self._name)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self._other.close()

    def cases(self) -> dict[str, Callable[[], Case]]:
        """Return a case for every public call, and more for some."""
        client, room, name = self.client, self.room, self._name
        asked: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "client.rooms": client.rooms,
            "client.members": lambda: client.members(name),
            "client.stats": client.stats,
            "client.overall_stats": client.overall_stats,
            "client.mark_read": lambda: client.mark_read(name, 1),
            "client.history": lambda: client.history(name, limit=1_000),
            "client.history_batch": lambda: client.history_batch(name),
            "client.ban": lambda: client.ban("eve"),
            "client.unban": lambda: client.unban("eve"),
            "client.sanctions": client.sanctions,
            "client.wait": lambda: client.wait(0.002),
            "room.history": room.history,
            "room.members": room.members,
            "room.kick": lambda: room.kick("eve"),
            "room.ban": lambda: room.ban("eve"),
            "room.unban": lambda: room.unban("eve"),
            "room.mute": lambda: room.mute("eve"),
            "room.unmute": lambda: room.unmute("eve"),
            "room.close_room": room.close_room,
            "room.open_room": room.open_room,
            "room.sanctions": room.sanctions,
        }
        cases: dict[str, Callable[[], Case]] = {
            "client.connect": self._connect,
            "client.close": self._close,
            "client in a block": self._block,
            "client.join": lambda: self._join(lambda: client.join(f"{name} 2")),
            "client.join at": lambda: self._join(lambda: client.join(f"{name} 3", after=zchat.START)),
            "client.join again": self._join_again,
            "client.join together": self._join_together,
            "client.direct": lambda: self._join(lambda: client.direct("eve")),
            "client.leave": lambda: self._leave(client.leave),
            "client.events": self._events,
            "room.leave": lambda: self._leave(zchat.AsyncRoom.leave),
            "room.send": self._send,
            "room.send_many": lambda: self._send_many(list),
            "room.send_many of a source": lambda: self._send_many(slowly),
            "room.messages": lambda: self._read(self._take_messages),
            "room.batches": lambda: self._read(self._take_batches),
            "room.messages at rest": self._at_rest,
            "progress.settled": self._settled,
        }
        return cases | {each: lambda call=call: self._ask(call) for each, call in asked.items()}

    # -- cases

    async def _ask(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Case:
        yield call()
        found = await self.room.history(limit=1)
        expect(all(isinstance(each, zchat.Message) for each in found), f"the answer to another question: {found}")

    async def _connect(self) -> Case:
        client = self._door.visitor()

        async def connect() -> None:
            try:
                await client.connect()
            except BaseException:
                expect_closed(client)
                raise

        if not isinstance((yield connect()), BaseException):
            expect(await client.rooms(), "there are no rooms")
        await client.close()
        await self._are_two()

    async def _close(self) -> Case:
        client = await self._door.visitor().connect()
        room = await client.join(f"{self._name} 5")
        sending = asyncio.create_task(room.send("accepted"))
        await asyncio.sleep(0)

        async def close() -> None:
            try:
                await client.close(DEADLINE)
            finally:
                expect_closed(client)

        yield close()
        await client.close()
        expect_closed(client)
        sent: object = (await asyncio.gather(sending, return_exceptions=True))[0]
        expect(isinstance(sent, zchat.Message | zchat.OutcomeUnknown | zchat.ConnectionLost), repr(sent))
        await self._are_two()

    async def _block(self) -> Case:
        made: list[zchat.AsyncClient] = []

        async def block() -> None:
            made.append(self._door.visitor())
            async with made[0] as client:
                await client.rooms()

        yield block()
        for client in made:
            expect_closed(client)
        await self._are_two()

    async def _join(self, call: Callable[[], Coroutine[Any, Any, zchat.AsyncRoom]]) -> Case:
        found = yield call()
        if isinstance(found, zchat.AsyncRoom):
            await found.send("in it")
            await found.leave()

    async def _join_again(self) -> Case:
        found = yield self.client.join(self._name)
        expect(found is self.room or isinstance(found, asyncio.CancelledError), repr(found))
        await self._send_one()

    async def _join_together(self) -> Case:
        name = f"{self._name} 6"
        joining = [asyncio.create_task(self.client.join(name)), asyncio.create_task(self.client.join(name))]
        found = yield self.client.join(name)
        rooms = await asyncio.gather(*joining)
        expect(rooms[0] is rooms[1], "there is one room")
        expect(found is rooms[0] or isinstance(found, asyncio.CancelledError), repr(found))
        await rooms[0].send("in it")
        await rooms[0].leave()

    async def _leave(self, leave: Callable[[zchat.AsyncRoom], Coroutine[Any, Any, None]]) -> Case:
        room = await self.client.join(f"{self._name} 4")
        begun: list[bool] = []

        async def left() -> None:
            begun.append(True)
            await leave(room)

        yield left()
        if not begun:
            await room.leave()
        try:
            await room.send("x")
            raise Lost("a room that was left can be sent to")
        except zchat.NotAMember:
            pass

    async def _send(self) -> Case:
        body = self._body()
        outcome: object = yield self.room.send(body)
        if isinstance(outcome, zchat.Message):
            self._acknowledged.add(body)

    async def _send_many(self, source: Callable[[list[str]], Any]) -> Case:
        bodies = [self._body() for _ in range(MANY)]
        progress = zchat.Progress()
        gone_out: list[int] = []

        async def send_many() -> None:
            try:
                await self.room.send_many(source(bodies), progress=progress)
            finally:
                gone_out.append(progress.stored + progress.unanswered)

        yield send_many()
        expect(await progress.settled(DEADLINE), "what is on its way is not answered")
        expect([progress.stored] == (gone_out or [0]), f"{progress.stored} are stored, {gone_out} had gone out")
        self._acknowledged.update(bodies[: progress.stored])
        self._never.update(bodies[progress.stored :])

    async def _settled(self) -> Case:
        bodies = [self._body() for _ in range(MANY)]
        progress = zchat.Progress()
        sending = asyncio.create_task(self.room.send_many(bodies, progress=progress))
        while not (progress.unanswered or sending.done()):
            await asyncio.sleep(0)
        yield progress.settled(DEADLINE)
        expect(await sending == MANY, "all are stored")
        self._acknowledged.update(bodies)

    async def _read(self, take: Callable[[int], Coroutine[Any, Any, None]]) -> Case:
        saying = [asyncio.create_task(self._theirs.send("said")) for _ in range(3)]
        yield take(3)
        for each in await asyncio.gather(*saying):
            if not self._taken or self._taken[-1] < each.seq:
                await take(1)
        while self._taken[-1] < each.seq:
            await take(1)

    async def _at_rest(self) -> Case:
        yield anext(self.room.messages(0.005), None)

    async def _take_messages(self, count: int) -> None:
        async for message in self.room.messages(DEADLINE):
            self._taken.append(message.seq)
            count -= 1
            if not count:
                break

    async def _take_batches(self, count: int) -> None:
        async for batch in self.room.batches(DEADLINE):
            self._taken += batch.seqs
            count -= len(batch)
            if count <= 0:
                break

    async def _events(self) -> Case:
        """As `_read`, of a client of its own: one that takes events takes no messages."""
        async with self._door.visitor() as client:
            room = await client.join(f"{self._name} 7")
            mine = await self.client.join(room.name)
            sent = [asyncio.create_task(mine.send(number)) for number in range(3)]
            heard: list[Any] = []

            async def take(most: int) -> None:
                async for event in client.events(DEADLINE):
                    heard.extend([event.body] if isinstance(event, zchat.Message) else [])
                    if len(heard) >= most:
                        break

            yield take(3)
            await asyncio.gather(*sent)
            if len(heard) < 3:
                await take(3)
            expect(heard == [0, 1, 2], f"events were lost: {heard}")
            await mine.leave()

    # -- checks

    async def cancelled(self, name: str, at: int, way: str) -> bool:
        """Cancel a call at a wait, and check what is left; False if it has ended before.

        Raises:
            Lost: a promise is broken.
        """
        case = self.cases()[name]()
        try:
            cancelling = Cancelling(await anext(case), at, way)
            outcome = await cancelling.ended()
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome
            with suppress(StopAsyncIteration):
                _ = await case.asend(outcome)
            await self._good()
        except Exception as error:
            raise Lost(f"{name}, cancelled at wait {at} {way}: {error!r}") from error
        return not cancelling.done

    async def _good(self) -> None:
        """Check that nothing is left of what was cancelled, and that the client works."""
        core = self.client._link.core
        await self._send_one()
        await until(lambda: not core._requests.pending, "all questions are answered")
        await until(lambda: list(core._memberships.rooms) == [self._name], "it is in its own room alone")
        inboxes = self.client._link.events.inboxes
        expect(inboxes == [self.room._inbox], f"inboxes of {len(inboxes)} rooms are left")
        expect(not self.room._inbox.bell.waiting, "something waits for messages")
        expect(not self.client._link.events.bell.waiting, "something waits for events")
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        expect(not tasks, f"tasks are left: {tasks}")

    async def audit(self) -> None:
        """Check the log: nothing twice, nothing out of order, nothing lost, nothing that was never sent."""
        log = await self._other.history(self._name, after=0, limit=1_000_000)
        said = [message.body for message in log if message.user == "alice"]
        expect(said == sorted(set(said), key=int), "something is stored twice, or out of order")
        expect(self._acknowledged <= set(said), "something that was acknowledged is not stored")
        expect(not self._never & set(said), "something is stored that never was sent")
        theirs = [message.seq for message in log if message.user == "bob"]
        expect(not self._taken or self._taken == theirs, f"of {theirs} was taken {self._taken}")
        for number in (2, 3, 4, 6):
            rooms = {room.name: room.members for room in await self._other.rooms()}
            expect(not rooms.get(f"{self._name} {number}"), f"room {number} isn't empty")

    async def _are_two(self) -> None:
        await until(lambda: self._door.sessions == 2, "the session of what was cancelled has ended")

    def _body(self) -> str:
        self._sent += 1
        return str(self._sent)

    async def _send_one(self) -> None:
        body = self._body()
        await self.room.send(body)
        self._acknowledged.add(body)


async def slowly(bodies: list[str]) -> AsyncIterator[str]:
    """Yield bodies, one after the other; some take a turn of the loop."""
    for number, body in enumerate(bodies[:20]):
        if number % 5 == 0:
            await asyncio.sleep(0)
        yield body


def expect_closed(client: zchat.AsyncClient) -> None:
    """Raise `Lost` unless the sockets of a client are closed, and no longer watched."""
    receiver = client._lease.receiver
    if receiver is not None:
        expect(receiver.core.over, "the core goes on")
        expect(receiver._dealer is None, "the sockets are open")
        expect(not receiver._watched, "the sockets are watched")  # type: ignore[attr-defined]


async def sweep(door: Door, name: str, room: str, most: int = MOST_WAITS) -> int:
    """Cancel a call at each of its waits, `most` at most, in all ways; return how often it was.

    Raises:
        Lost: a promise is broken.
    """
    count = 0
    async with Talk(door, room) as talk:
        for at in range(most):
            ways = [await talk.cancelled(name, at, way) for way in (WAYS if at else WAYS[:1])]
            count += sum(ways)
            if not any(ways):
                break
        await talk.audit()
    return count
