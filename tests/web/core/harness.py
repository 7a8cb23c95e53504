"""A world for the gateway's core: a clock that a test moves, tasks that run at once, a broker in a dictionary."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

from zchat.errors import DeadlineExceeded, NoSuchRoom, UsageError, ZchatError
from zchat.events import Event, Gap, Removed
from zchat.messages import Batch, Member, Message, Position, RoomInfo
from zchat.names import fold
from zchat.web.core import frames
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller, LettingIn
from zchat.web.core.session import Session

EPOCH = 5
TIME = 1_700_000_000_000_000


class Promise:
    """Something that a task waits for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept = False
        self._tasks: list[Task] = []

    def __await__(self) -> Generator[Promise, None, None]:
        while not self._kept:
            assert self._world.running is not None
            self._tasks.append(self._world.running)
            yield self

    def keep(self) -> None:
        self._kept = True
        tasks, self._tasks = self._tasks, []
        self._world.ready.extend(tasks)


class Task:
    """A coroutine that is carried out."""

    def __init__(self, world: World, work: Coroutine[Any, Any, None]) -> None:
        self._world = world
        self.work = work
        self.begun = self.cancelled = self.done = False

    def cancel(self) -> None:
        if not self.done:
            self.cancelled = True
            self._world.ready.append(self)

    def step(self) -> None:
        if self.done:
            return
        self.begun = True
        before, self._world.running = self._world.running, self
        try:
            if self.cancelled:
                self.cancelled = False
                self.work.throw(CancelledError())
            else:
                self.work.send(None)
        except (StopIteration, CancelledError):
            self.done = True
        except ZchatError:
            self.done = True
        finally:
            self._world.running = before


class World:
    """See `zchat.web.core.port.World`. `eager`: a task runs up to its first wait before `spawn` returns."""

    def __init__(self, broker: Broker, *, eager: bool = False) -> None:
        self.eager = eager
        self.time = 1000.0
        self.wall_at_zero = 1_700_000_000.0
        """The wall clock when `time` was 0, as it is set now."""
        self.ready: deque[Task] = deque()
        self.tasks: list[Task] = []
        self.running: Task | None = None
        self.faults: list[BaseException] = []
        self.broker = broker
        self._numbers = 0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.wall_at_zero + self.time

    def chance(self) -> str:
        self._numbers += 1
        return f"chance-{self._numbers}"

    def fraction(self) -> float:
        return 0.5

    def spawn(self, work: Coroutine[Any, Any, None]) -> Task:
        task = Task(self, work)
        self.tasks.append(task)
        if self.eager:
            task.step()
        else:
            self.ready.append(task)
        return task

    def promise(self) -> Promise:
        return Promise(self)

    def client(self, user: str) -> Client:
        return Client(self, user)

    def failed(self, what: str, error: BaseException) -> None:
        self.faults.append(error)

    def run(self) -> None:
        """Carry out all that can be."""
        while self.ready:
            self.ready.popleft().step()
        assert not self.faults, self.faults


class Broker:
    """Rooms, and who is in them."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Message]] = {}
        self.first: dict[str, int] = {}
        self.epoch = EPOCH
        self.clients: list[Client] = []
        self.refusals: dict[tuple[str, str], ZchatError] = {}
        """What is refused to whom: by the client's user and a call, `join General` for example, or `enter General` for
        to be there and not only to watch."""
        self.gates: dict[tuple[str, str], Promise] = {}
        """What a call waits for before it has an effect, or (`joined General`, `left General`) after it."""
        self.away = False
        self.door: Promise | None = None
        """What one who connects waits for."""
        self.asked: list[str] = []

    def gate(self, user: str, call: str) -> Promise | None:
        """Return what a call waits for now."""
        return self.gates.get((user, call))

    def answered(self, user: str, room: str, found: list[Message]) -> None:
        """Take it that a user has been given messages of a log."""

    def log(self, room: str) -> list[Message]:
        return self.logs.setdefault(room, [])

    def say(self, room: str, user: str, *bodies: Any) -> list[Message]:
        """Store messages as one block, and give them to those who read the room."""
        log = self.log(room)
        made = [
            Message(room, len(log) + 1 + index, TIME + len(log) + index, user, each)
            for index, each in enumerate(bodies)
        ]
        log += made
        for client in self.clients:
            client.hear(room, made)
        return made


class Room:
    """See `zchat.web.core.port.Room`."""

    def __init__(self, client: Client, name: str, *, reads: bool, echo: bool, present: bool) -> None:
        self.client, self.name, self.reads, self.echo, self.present = client, name, reads, echo, present
        self.wire = client.wire(name)
        log = client.broker.log(self.wire)
        self.position = Position(client.broker.epoch if log else 0, len(log))
        self.began: Position | None = self.position
        self.left = False
        self.typed: list[bool] = []
        self.marked: list[int] = []
        self.waiting: list[Promise] = []
        self.member_count = 1
        self.crowded = False
        self.away = False
        self.out = False
        """True while the user is in it no more, and the session, which is away, has yet to learn so."""

    @property
    def joined(self) -> bool:
        return not self.away and not self.left

    async def send(self, body: Any, *, timeout: float | None) -> Message:
        broker = self.client.broker
        while broker.away:
            promise = Promise(self.client.world)
            self.waiting.append(promise)
            await promise
        if error := broker.refusals.get((self.client.user, f"send {self.name}")):
            raise error
        return broker.say(self.wire, self.client.user, body)[0]

    def begin_anew(self) -> None:
        """Have another membership follow this one, as for who may not read what was said before it."""
        log = self.client.broker.log(self.wire)
        self.began = Position(self.client.broker.epoch if log else 0, len(log))

    def typing(self, active: bool) -> None:
        self.typed.append(active)

    def mark_read(self, seq: int) -> None:
        self.marked.append(seq)

    async def leave(self, *, timeout: float | None) -> None:
        self.end()
        self.client.forget(self.name)
        await self.client.gate(f"left {self.name}")

    def end(self) -> None:
        """End the membership, from either side."""
        self.left = True
        if self.client.joined.get(fold(self.name)) is self:
            del self.client.joined[fold(self.name)]


class Client:
    """See `zchat.web.core.port.Client`."""

    max_message = 1 << 20

    def __init__(self, world: World, user: str) -> None:
        self.world, self.broker, self.user = world, world.broker, user
        self.joined: dict[str, Room] = {}
        self.closed = self.stalled = False
        self.pending: deque[Event | Batch | ZchatError | None] = deque()
        self._bell: Promise | None = None

    async def connect(self) -> Client:
        if error := self.broker.refusals.get((self.user, "connect")):
            raise error
        if self.broker.away:
            raise DeadlineExceeded("no broker answered")
        if self.broker.door is not None:
            await self.broker.door
        if self.closed:
            raise UsageError("this client is closed")
        self.broker.clients.append(self)
        return self

    async def close(self, timeout: float) -> None:
        self.closed = True
        if self in self.broker.clients:
            self.broker.clients.remove(self)
        self.put(None)

    def wire(self, name: str) -> str:
        return "@" + ",".join(sorted((self.user, name[1:]))) if name.startswith("@") else name

    async def join(self, name: str, *, create: bool, echo: bool, reads: bool, present: bool) -> Room:
        self.broker.asked.append(f"{self.user} join {name}")
        await self._check(f"join {name}")
        key = fold(name)
        if not create and self.wire(name) not in self.broker.logs:
            raise NoSuchRoom(f"there is no room {name}")
        if key not in self.joined:
            if present:
                await self._check(f"enter {name}")
            self.forget(name)
            self.joined[key] = Room(self, name, reads=reads, echo=echo, present=present)
        room = self.joined[key]
        assert (room.reads, room.present) == (reads, present), "it is joined otherwise"
        try:
            await self.gate(f"joined {name}")
        except CancelledError:
            room.end()
            raise
        return room

    async def rooms(self, *, after: str | None, limit: int) -> list[RoomInfo]:
        self.broker.asked.append(f"{self.user} rooms {after}")
        await self._check("rooms")
        names = sorted(name for name in self.broker.logs if after is None or fold(name) > fold(after))
        return [RoomInfo(name, 1, 1, len(self.broker.logs[name]), None) for name in names[:limit]]

    async def members(self, name: str, *, after: str | None, limit: int) -> list[Member]:
        await self._check(f"members {name}")
        users = sorted(client.user for client in self.broker.clients if fold(name) in client.joined)
        return [Member(user, TIME, 0, False) for user in users if after is None or fold(user) > fold(after)][:limit]

    async def history_batch(
        self, name: str, *, after: int | None = None, before: int | None = None, limit: int
    ) -> Batch | None:
        self.broker.asked.append(f"{self.user} history {name}")
        await self._check(f"history {name}")
        wire = self.wire(name)
        first = self.broker.first.get(wire, 1)
        found = [m for m in self.broker.log(wire) if m.seq >= first and (before is None or m.seq < before)]
        found = [m for m in found if after is None or m.seq > after]
        found = found[:limit] if after is not None else found[max(0, len(found) - limit) :]
        self.broker.answered(self.user, name, found)
        return batch_of(name, found, self.broker.epoch) if found else None

    async def events(self, *, batches: bool) -> AsyncIterator[Event | Batch]:
        while True:
            while not self.pending or self.stalled:
                self._bell = Promise(self.world)
                await self._bell
            event = self.pending.popleft()
            if event is None:
                return
            if isinstance(event, ZchatError):
                raise event
            if isinstance(event, Gap | Batch) and (joined := self.joined.get(fold(event.room))) is not None:
                upto = event.upto if isinstance(event, Gap) else event.last
                joined.position = Position(self.broker.epoch, upto)
            yield event

    def put(self, *events: Event | Batch | ZchatError | None) -> None:
        """Have the application take events, and those that have come before."""
        self.pending += events
        if self._bell is not None:
            self._bell.keep()

    def forget(self, room: str) -> None:
        """Drop what has come in a room: nobody takes anything of a membership that another one follows."""
        self.pending = deque(each for each in self.pending if fold(getattr(each, "room", "")) != fold(room))

    def hear(self, wire: str, made: list[Message]) -> None:
        for room in self.joined.values():
            if room.wire == wire and room.reads and not room.out and (room.echo or made[0].user != self.user):
                self.put(batch_of(room.name, made, self.broker.epoch))

    async def gate(self, call: str) -> None:
        """Wait as long as the broker takes for a call."""
        promise = self.broker.gate(self.user, call)
        if promise is not None:
            await promise

    async def _check(self, call: str) -> None:
        await self.gate(call)
        if error := self.broker.refusals.get((self.user, call)):
            raise error
        if self.broker.away:
            raise DeadlineExceeded("no answer came")


def batch_of(name: str, found: list[Message], epoch: int) -> Batch:
    columns = zip(*((m.seq, m.timestamp, m.user, m.body) for m in found), strict=True)
    seqs, times, users, bodies = (list(column) for column in columns)
    return Batch(name, Position(epoch, seqs[-1]), seqs, times, users, bodies)


class Browser:
    """A page: what it is sent, as objects; see `zchat.web.core.port.Connection`."""

    def __init__(self, gateway: Gateway, world: World, caller: Caller) -> None:
        self.world = world
        self.paused = self.held = False
        self.closed: tuple[int, str] | None = None
        self.frames: list[dict[str, Any]] = []
        self.session = Session(gateway, self, caller)
        self._ids = 0

    def write(self, *found: bytes) -> None:
        assert self.closed is None
        self.frames += [json.loads(frames.text_of(frame)) for frame in found]

    def hold(self, held: bool) -> None:
        self.held = held

    def close(self, code: int, text: str) -> None:
        self.closed = (code, text)

    def drop(self) -> None:
        """Lose the connection."""
        self.session.lost()
        self.closed = (1006, "")
        self.world.run()

    def say(self, **command: Any) -> None:
        """Send a command, and let everything go on."""
        self.receive(json.dumps(command).encode())

    def receive(self, data: bytes) -> None:
        """Send what may be no command, and let everything go on."""
        self.session.receive(data)
        self.world.run()

    def begin(self, op: str, **fields: Any) -> int:
        """Send a command that may take its time, and return its number."""
        self._ids += 1
        self.say(op=op, id=self._ids, **fields)
        return self._ids

    def answer(self, number: int) -> dict[str, Any] | None:
        """Return the answer to a command, None while there is none."""
        found = [each for each in self.frames if each.get("id") == number]
        assert len(found) <= 1, found
        self.frames = [each for each in self.frames if each not in found]
        return found[0] if found else None

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        found = self.answer(self.begin(op, **fields))
        assert found is not None, self.frames
        return found

    def hello(self, user: str | None = None, **fields: Any) -> dict[str, Any]:
        return self.ask("hello", version=1, **({} if user is None else {"user": user}), **fields)

    def take(self, op: str) -> list[dict[str, Any]]:
        """Return the frames of a kind that have come since the last time."""
        found = [each for each in self.frames if each["op"] == op]
        self.frames = [each for each in self.frames if each["op"] != op]
        return found

    def bodies(self) -> list[Any]:
        return [row[3] for each in self.take("messages") for row in each["rows"]]


class House:
    """A broker, a gateway, and the pages that connect to it."""

    def __init__(self, letting_in: LettingIn | None = None, **options: Any) -> None:
        self.broker = options.pop("broker", None) or Broker()
        self.world: World = options.pop("world", World)(self.broker, eager=options.pop("eager", False))
        self.reader = Client(self.world, "zchat web")
        self.broker.clients.append(self.reader)
        self.gateway = Gateway(self.world, self.reader, letting_in or LettingIn(open_to_all=True), **options)
        self.world.spawn(self.gateway.read())
        self.world.run()

    def browser(self, caller: Caller | None = None) -> Browser:
        return Browser(self.gateway, self.world, caller or Caller("192.0.2.1", False, None))

    def page(self, user: str, *rooms: str, **join: Any) -> Browser:
        """Return the page of a user who has come in, and joined these rooms."""
        browser = self.browser()
        assert browser.hello(user)["op"] == "ok"
        for room in rooms:
            assert browser.ask("join", room=room, **join)["op"] == "ok"
        browser.frames.clear()
        return browser

    def client(self, user: str) -> Client:
        (found,) = [client for client in self.broker.clients if client.user == user]
        return found

    def say(self, room: str, user: str, *bodies: Any) -> None:
        self.broker.say(room, user, *bodies)
        self.world.run()

    def tell(self, user: str, event: Event | ZchatError) -> None:
        """Have a user's session, or the reader, receive an event, and what is to be shown be shown."""
        self.client(user).put(event)
        self.world.run()
        self.passes(0)

    def stall(self, user: str) -> Client:
        """Have a user's session, or the reader, take nothing of what comes until `catch_up`."""
        client = self.client(user)
        client.stalled = True
        return client

    def catch_up(self, client: Client) -> None:
        """Have a session take what has come, all messages at once."""
        client.stalled = False
        batches = [each for each in client.pending if isinstance(each, Batch)]
        if batches:
            found = [message for batch in batches for message in batch]
            client.pending = deque([batch_of(batches[0].room, found, self.broker.epoch)])
        client.put()
        self.world.run()

    def shut(self, user: str, call: str) -> Promise:
        """Have a call of a user's session take until what is returned is kept."""
        promise = self.broker.gates[user, call] = Promise(self.world)
        return promise

    def open(self, user: str, call: str) -> None:
        """Have a call of a user's session go on, and all later ones."""
        self.broker.gates.pop((user, call)).keep()
        self.world.run()

    def put_out(self, user: str, room: str, code: str = "kicked") -> None:
        """Put a user, or the reader, out of a room."""
        self.client(user).joined[fold(room)].end()
        self.tell(user, Removed(room, "calm down", "root", None, code))

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.world.time += seconds
        self.gateway.context.timers.turn(self.world.time)
        self.world.run()
