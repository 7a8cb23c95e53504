"""Pages of few users that come, go, watch, take part and are put out, while every answer of the broker takes its time.

python -m tests.web.comings --count 1000 --seed 0
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.web.core.harness import Broker, Browser, House, Promise, Room, Task, World, batch_of
from zchat.errors import Banned, DeadlineExceeded, NotAllowed, RoomClosed, ZchatError
from zchat.events import Disconnected, Gap, Reconnected, Removed
from zchat.messages import GapReason, Message, Position
from zchat.web.core import limits
from zchat.web.core.letting_in import Caller

READER = "zchat web"
USERS = ("alice", "eve")
ROOMS = ("General", "Ops")
STEPS = 250
"""What happens in one run, one thing after the other."""


class ChanceWorld(World):
    """A world whose tasks go on in any order; those that have yet to begin do so in theirs."""

    dice: random.Random

    def some(self, most: int) -> None:
        """Carry out so many steps at most."""
        while self.ready and most:
            most -= 1
            fresh = [task for task in self.ready if not task.begun]
            task: Task = self.dice.choice([each for each in self.ready if each.begun] + fresh[:1])
            self.ready.remove(task)
            task.step()
        assert not self.faults, self.faults


class SlowBroker(Broker):
    """A broker each of whose answers may take its time; it knows what each user was there for."""

    dice: random.Random
    slow = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Promise] = []
        self.heard: dict[tuple[str, str], set[int]] = {}
        """The messages that were said while a user was in a room, or that the user was given of its log."""
        self.world: World

    def gate(self, user: str, call: str) -> Promise | None:
        if self.dice.random() >= self.slow:
            return None
        promise = Promise(self.world)
        self.waiting.append(promise)
        return promise

    def answered(self, user: str, room: str, found: list[Message]) -> None:
        self.heard.setdefault((user, room), set()).update(message.seq for message in found)

    def say(self, room: str, user: str, *bodies: Any) -> list[Message]:
        made = super().say(room, user, *bodies)
        for client in self.clients:
            joined = client.joined.get(room.casefold())
            if joined is not None and not joined.out:
                self.heard.setdefault((client.user, room), set()).update(message.seq for message in made)
        return made


class Watched(Browser):
    """A page that knows which of its commands wait for answers, and where it is."""

    def __init__(self, run: Run, user: str) -> None:
        super().__init__(run.house.gateway, run.house.world, Caller("192.0.2.1", False, None))
        self.run = run
        self.user = user
        self.asked: dict[int, dict[str, Any]] = {}
        self.inside: set[str] = set()
        self.part: set[str] = set()
        """Where it takes part, and doesn't only watch."""
        self.got: Counter[str] = Counter()
        self.bodies_of: dict[str, list[Any]] = {room: [] for room in ROOMS}
        self.tell(op="hello", version=1, user=user)

    def tell(self, **command: Any) -> None:
        if self.closed is None:
            self._ids += 1
            self.asked[self._ids] = command
            self.session.receive(json.dumps({"id": self._ids, **command}).encode())

    def write(self, *found: bytes) -> None:
        before = len(self.frames)
        super().write(*found)
        frames, self.frames = self.frames[before:], self.frames[:before]
        for frame in frames:
            self.take_in(frame)

    def take_in(self, frame: dict[str, Any]) -> None:
        """Take a frame, and complain if it may not come now."""
        op, number, room = frame["op"], frame.get("id"), frame.get("room")
        if number is not None:
            command = self.asked.pop(number, None)
            assert command is not None, f"{self.user}: answered, and not asked: {frame}"
            if command["op"] == "join":
                self.outside(command["room"])
                if op == "ok":
                    self.inside.add(command["room"])
                    if not command["watch"]:
                        self.part.add(command["room"])
                    self.got[command["room"]] = 0
                    self.run.check_rows(self.user, command["room"], frame.get("rows", []), asked=True)
            elif command["op"] == "leave":
                self.outside(command["room"])
        elif op == "messages":
            assert room in self.inside, f"{self.user}: {frame} of a room where the page is not"
            self.got[room] += 1
            self.run.check_rows(self.user, room, frame["rows"])
            self.bodies_of[room] += [row[3] for row in frame["rows"]]
        elif op in ("gap", "event"):
            assert room in self.inside, f"{self.user}: {frame} of a room where the page is not"
            self.got[room] += op == "gap"
        elif op == "removed":
            assert room in self.inside, f"{self.user}: {frame} of a room where the page is not"
            self.outside(room)

    def outside(self, room: str) -> None:
        self.inside.discard(room)
        self.part.discard(room)


class Run:
    """One run: what happens is chosen by its seed."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        broker = SlowBroker()
        broker.dice = chance
        broker.slow = 0.0
        self.house = house = House(broker=broker, eager=chance.random() < 0.3, world=ChanceWorld)
        assert isinstance(house.world, ChanceWorld)
        self.world = house.world
        self.world.dice = chance
        self.broker = broker
        broker.world = self.world
        broker.slow = chance.choice((0.2, 0.5, 0.8))
        for room in ROOMS:
            broker.log(room)
        self.pages: list[Watched] = []
        self.begins: dict[Room, int] = {}
        """Where they were put out, or where memberships begin of which the sessions have yet to be told that."""
        self.said = 0
        self.rested = False
        """True if everything has come to its end that ends half a minute later."""

    # -- what is checked ---------------------------------------------------------------------------

    def notified(self, user: str, room: str) -> bool:
        """Return whether nothing is on its way that says that a user was put out of a room, or is cut off."""
        return not any(
            isinstance(event, Disconnected) or (isinstance(event, Removed) and event.room == room)
            for client in self.broker.clients
            if client.user == user
            for event in client.pending
        )

    def check_rows(self, user: str, room: str, rows: list[list[Any]], *, asked: bool = False) -> None:
        """Complain if a page is sent what was said while its user was not there, and may not read.

        `asked`: the user asked the broker for them, and may be coming in again now, because of another page.
        """
        clients = [client for client in self.broker.clients if client.user == user]
        here = any(room.casefold() in client.joined for client in clients)
        if not self.notified(user, room):
            return
        assert here or asked, f"{user} reads {rows} in {room} and isn't there"
        heard = self.broker.heard.get((user, room), set())
        missed = [row[0] for row in rows if row[0] not in heard]
        assert not missed, f"{user} reads {missed} in {room}, said when they weren't there"

    # -- what happens --------------------------------------------------------------------------------

    def happen(self) -> None:
        """Have something happen."""
        chance, broker = self.chance, self.broker
        room, user = chance.choice(ROOMS), chance.choice(USERS)
        self.pages = [page for page in self.pages if page.closed is None]
        page = chance.choice(self.pages) if self.pages else None
        if page is None or (len(self.pages) < 5 and chance.random() < 0.1):
            self.pages.append(Watched(self, user))
            return
        acts: list[tuple[int, Callable[[], object]]] = [
            (30, lambda: self.join(page, room)),
            (15, lambda: page.tell(op="leave", room=room)),
            (8, lambda: self.send(page, room)),
            (20, lambda: self.say(room)),
            (6, lambda: self.put_out(user, room)),
            (3, lambda: self.put_out(READER, room)),
            (6, lambda: self.refuse(chance.choice((*USERS, READER)), room)),
            (8, broker.refusals.clear),
            (4, lambda: self.drop(page)),
            (3, lambda: self.lose(user)),
            (4, lambda: self.pause(page)),
            (6, lambda: self.pass_time(chance.choice((0.3, 1.1, 31, 61)))),
            (4, lambda: self.join_all(room)),
        ]  # fmt: skip
        chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()

    def join(self, page: Watched, room: str) -> None:
        more: dict[str, Any] = self.chance.choice(({}, {"history": 2}, {"after": "start"}))
        page.tell(op="join", room=room, watch=self.chance.random() < 0.4, **more)

    def join_all(self, room: str) -> None:
        for page in self.pages:
            self.join(page, room)

    def send(self, page: Watched, room: str) -> None:
        self.said += 1
        page.tell(op="send", room=room, body=self.said, key=f"k{self.said}")

    def say(self, room: str) -> None:
        self.said += 1
        self.broker.say(room, "bob", self.said)

    def put_out(self, user: str, room: str) -> None:
        """Put a user out, for now or until all refusals end."""
        for client in self.broker.clients:
            if client.user == user and (joined := client.joined.get(room.casefold())) is not None:
                code = "kicked"
                if user == READER or self.chance.random() < 0.5:
                    code = "banned"
                    self.broker.refusals[user, f"join {room}"] = Banned("you are banned")
                joined.end()
                client.put(Removed(room, "calm down", "root", None, code))

    def refuse(self, user: str, room: str) -> None:
        call, error = self.chance.choice(
            (
                ("join", RoomClosed("it is closed")),
                ("enter", NotAllowed("you may only watch")),
                ("join", DeadlineExceeded("no answer came")),
                ("history", NotAllowed("you may not read that")),
                ("history", NotAllowed("you may not read that")),
            )
        )
        self.broker.refusals[user, f"{call} {room}"] = error

    def drop(self, page: Watched) -> None:
        page.session.lost()
        page.closed = (1006, "")

    def lose(self, user: str) -> None:
        """Have a user's session lose its connection, and have another one, in whose rooms it is joined again later.

        At the broker it was in them all the time, or it was put out of some meanwhile and is told nothing of that.
        """
        for client in self.broker.clients:
            if client.user == user:
                away = [room for room in client.joined.values() if room.away or room.began is None]
                if away:
                    for room in away:
                        self.come_back(room)
                    continue
                client.put(Disconnected("lost"))
                client.put(Reconnected())
                for room in client.joined.values():
                    room.away = True
                    room.out = self.chance.random() < 0.5
                    self.begins[room] = len(self.broker.log(room.name))

    def come_back(self, room: Room) -> None:
        """Have a room be joined again; or have the gap come that then says where a membership begins."""
        client, name = room.client, room.name
        log = self.broker.log(name)
        if room.away and room.out:
            room.out = False
            missed = log[self.begins[room] :]
            if (client.user, f"history {name}") in self.broker.refusals:
                before, self.begins[room] = self.begins[room], len(log)
                room.began = None
                if room.reads:  # what it is sent next
                    room.begin_anew()
                    client.put(Gap(name, before, len(log), GapReason.WITHHELD))
            else:
                self.broker.answered(client.user, name, log)  # if it were asked, it would answer
                if room.reads and missed:
                    client.put(batch_of(name, missed, self.broker.epoch))
        elif room.began is None:
            room.began = Position(self.broker.epoch, self.begins[room])
        room.away = False

    def pause(self, page: Watched) -> None:
        page.paused = not page.paused
        if not page.paused and page.closed is None:
            page.session.resumed()

    def pass_time(self, seconds: float) -> None:
        self.world.time += seconds
        self.house.gateway.turn()

    def answer(self) -> None:
        """Have some of the answers come that are on their way."""
        for _ in range(self.chance.randrange(4)):
            if self.broker.waiting:
                self.broker.waiting.pop(self.chance.randrange(len(self.broker.waiting))).keep()
        self.world.some(self.chance.randrange(12))

    def settle(self) -> None:
        """Have everything that is under way come to its end, and maybe what ends half a minute later."""
        slow, self.broker.slow = self.broker.slow, 0.0
        for client in self.broker.clients:
            for joined in client.joined.values():
                while joined.away or joined.began is None:
                    self.come_back(joined)
        for page in self.pages:
            if page.paused:
                self.pause(page)
        self.rested = self.chance.random() < 0.5
        for number in range(24 if self.rested else 12):
            while self.broker.waiting:
                self.broker.waiting.pop().keep()
            self.world.some(10**6)
            self.pass_time(limits.IDLE_USER_SECONDS if number == 12 else 1.1)
        self.world.some(10**6)
        self.broker.slow = slow

    def check(self) -> None:
        """Check that all pages know where they are, as the broker does, and read what is said there alone."""
        self.pages = [page for page in self.pages if page.closed is None]
        for page in self.pages:
            waits = {number: command for number, command in page.asked.items() if command["op"] != "hello"}
            assert not waits, f"{page.user}: never answered: {waits}"
            for room in page.inside:
                assert self.is_in(page.user, room), f"{page.user} has a page in {room}, and isn't there"
                page.session.receive(json.dumps({"op": "ack", "room": room, "taken": page.got[room]}).encode())
        for room in ROOMS:
            self.check_presence(room)
            self.said += 1
            self.broker.say(room, "bob", self.said)
            self.world.some(10**6)
            for page in self.pages:
                got = page.bodies_of[room][-1:] == [self.said]
                assert got is (room in page.inside), f"{page.user}: {got} what was said in {room}, is in {page.inside}"

    def check_presence(self, room: str) -> None:
        """Check that users are there for others, and may send, while pages take part, and half a minute longer."""
        for client in self.broker.clients:
            joined = client.joined.get(room.casefold())
            if client.user == READER or joined is None or joined.reads:
                continue
            part = any(room in page.part for page in self.pages if page.user == client.user)
            assert joined.present or not part, f"{client.user} takes part in {room}, and isn't there"
            assert part or not joined.present or not self.rested, f"{client.user} is in {room}, and all pages watch"

    def is_in(self, user: str, room: str) -> bool:
        return any(client.user == user and room.casefold() in client.joined for client in self.broker.clients)

    def end(self) -> None:
        """Have all pages go, and check that nothing is left once it is time."""
        for page in self.pages:
            if page.closed is None:
                self.drop(page)
        self.world.some(10**6)
        for _ in range(5):
            self.pass_time(limits.SESSION_SECONDS)
            self.world.some(10**6)
        gateway = self.house.gateway
        left = gateway.users, gateway.channels, gateway._openings, gateway.connected, self.house.reader.joined
        assert left == ({}, {}, {}, {}, {}), left
        assert [client.user for client in self.broker.clients] == [READER]
        assert len([task for task in self.world.tasks if not task.done]) == 1, "only the reader's is left"
        assert len(gateway.context.timers) <= limits.WINDOW


def live(seed: int) -> None:
    """Have a seed's things happen, and fail if a page is told what is wrong."""
    run = Run(seed)
    try:
        for number in range(STEPS):
            run.happen()
            run.answer()
            if number % 50 == 49:
                run.settle()
                run.check()
        run.broker.refusals.clear()
        run.settle()
        run.check()
        run.broker.slow = 0.0
        run.end()
    finally:
        for task in run.world.tasks:  # a run that has failed leaves some
            task.work.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for seed in range(given.seed, given.seed + given.count):
        try:
            live(seed)
        except (AssertionError, ZchatError) as error:
            raise SystemExit(f"seed {seed}: {error}") from error
    print(f"{given.count} seeds: nothing was wrong")


if __name__ == "__main__":
    main()
