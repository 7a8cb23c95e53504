"""A broker's core under rules that change, drawn by a seed, and what must hold of it after each step."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random
from typing import Any
from unittest.mock import patch

from tests.broker.driver import Clock, LateStore, Peer, World
from tests.broker.guard.driver import judged, text_of
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.settings import Settings
from zchat.messages import GapReason
from zchat.names import fold
from zchat.wire.notices import END, OK

USERS = ("alice", "bob", "carol", "guest-1a2b3c4d")
ROOMS = ("General", "ops-a", "ops-b", "x")
DIRECT = "@alice\nbob"
STEPS = 80

BOUNDS = {
    "zchat.broker.delivery.pusher.TAIL_BYTES": 300,
    "zchat.broker.delivery.pusher.NOTIFICATION_BYTES": 150,
    "zchat.broker.core.listing.TURN_LISTED": 1,
    "zchat.broker.core.revision.TURN_JUDGED": 2,
}


class Run:
    """Go through one seed's steps; raises AssertionError once something does not hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.value = self._draw()
        self.store = LateStore(Clock())
        names = self.random.choice((2, 200))
        self.world = World(
            Settings(rooms=("General",), names=names),
            self.store,
            gate=Gate(logins=True),
            rules=parse(printed(self.value)),
        )
        self.peers = [Peer(self.world, user, self.random.choice((1, 1, 2, 10))) for user in (*USERS, "alice", "bob")]
        self.joined: dict[Peer, set[str]] = {peer: set() for peer in self.peers}
        self.floors: dict[tuple[Peer, str], int] = {}
        self.makers: dict[str, str] = {}
        self.taken: dict[tuple[Peer, str], int] = {}
        self.gaps: dict[tuple[Peer, str], int] = {}
        self.ends = dict.fromkeys(self.peers, 0)

    def run(self) -> None:
        """Go through all steps."""
        steps = (self.join, self.join, self.join, *[self.send] * 6, self.leave, self.reconnect, self.revise)
        steps += (self.revise_amid_reads, self.ask, self.ask, self.credit)
        with ExitStack() as stack:
            for name, value in BOUNDS.items():
                stack.enter_context(patch(name, value))
            for _ in range(STEPS):
                self.random.choice(steps)(self.random.choice(self.peers))
                self._check()
                if self.random.random() < 0.2:
                    self.world.pass_time(0.5)

    # -- rules ---------------------------------------------------------------------------------------

    def _draw(self) -> dict[str, Any]:
        random = self.random
        value: dict[str, Any] = {"groups": {}, "rooms": [], "makers_own": random.random() < 0.5}
        if random.random() < 0.3:
            value["operators"] = [random.choice(USERS[:3])]
        if random.random() < 0.5:
            value["stats"] = random.choice((["everybody"], ["bob"]))
        mild = random.random() < 0.6  # most stay where they are
        for names in random.sample((["ops-a"], ["ops-*", "x"], ["General"], ["ops-b"]), random.randint(1, 3)):
            table: dict[str, Any] = {"names": names}
            for right in ("see", "join", "read", "send", "members", "create"):
                if random.random() < (0.05 if mild and right in ("see", "join", "send") else 0.4):
                    table[right] = random.choice((["everybody"], ["nobody"], random.sample(USERS[:3], 2), ["bob"]))
            if random.random() < 0.5:
                table["guests"] = random.choice((["see", "join"], ["see", "join", "read", "send", "members"]))
            if not any(set(names) <= set(other["names"]) or other["names"][0] == "ops-*" for other in value["rooms"]):
                value["rooms"].append(table)
        return value

    def rights(self, user: str, room: str) -> set[str]:
        """Return what a user may in a room, by the letter of the page."""
        if room == DIRECT:
            return {"see", "join", "read", "send", "members", "create"} if user in ("alice", "bob") else set()
        return judged(self.value, user, room, made=self.makers.get(room) == user)

    def revise(self, _: Peer) -> None:
        self._revise()

    def _revise(self) -> None:
        self.value = self._draw()
        self.world.core.revise(parse(printed(self.value)))
        self.world.run()
        for peer, room in list(self.floors):
            there = fold(room) in self.world.rooms and "join" in self.rights(peer.user, room)
            if room not in self.joined[peer] and not there:
                del self.floors[peer, room]

    def revise_amid_reads(self, _: Peer) -> None:
        """Change the rules while the store is asked for what members are to be sent."""
        self.store.holding = True
        for peer in self.peers:
            self.credit(peer)
        self.world.run()
        self._check_all_sent()
        self._revise()
        self.store.holding = False
        self.world.run()

    # -- what users do -------------------------------------------------------------------------------

    def join(self, peer: Peer) -> None:
        room, create = self._room(), self.random.random() < 0.7
        there = fold(room) in self.world.rooms
        rights = self.rights(peer.user, room)
        position = self.random.choice((None, (0, 0), (0, 0)))
        made = not there and create
        expected = self._expected(rights, "create" if made else "join")
        if made and expected == OK and room != DIRECT:
            self.makers[room] = peer.user
            expected = self._expected(self.rights(peer.user, room), "join")
        elif not there and not create:
            expected = "no_such_room"
        code = answer(peer.join(room, position, create=create))
        assert code == expected, ("join", peer.user, room, code, expected)
        if code == OK:
            self.joined[peer].add(room)
            self.floors.setdefault((peer, room), self.world.rooms[fold(room)].last)

    def leave(self, peer: Peer) -> None:
        if self.joined[peer]:
            room = self.random.choice(sorted(self.joined[peer]))
            assert answer(peer.leave(room)) == OK
            self.joined[peer].remove(room)
            del self.floors[peer, room]

    def send(self, peer: Peer) -> None:
        if self.joined[peer]:
            room = self.random.choice(sorted(self.joined[peer]))
            expected = self._expected(self.rights(peer.user, room), "send")
            number = peer.numbers.get(room, 0) + 1
            code = answer(peer.send(room, f"{room} {'x' * 60}", number=number))
            assert code == expected, ("send", peer.user, room, code, expected)
            if code == OK:
                peer.numbers[room] = number

    def reconnect(self, peer: Peer) -> None:
        peer.reconnect()
        self.joined[peer].clear()

    def credit(self, peer: Peer) -> None:
        for room in sorted(self.joined[peer]):
            peer.tell("credit", room, peer.joins[room], peer.notified[room])

    def ask(self, peer: Peer) -> None:
        """Ask about a room without being in it."""
        room = self._room()
        word, right, fields = self.random.choice(
            (("history", "read", (None, None, 10)), ("mark", "read", (1,)), ("members", "members", (None, 10)))
        )
        expected = self._expected(self.rights(peer.user, room), right)
        if fold(room) not in self.world.rooms:
            expected = "no_such_room"
        code = answer(peer.do(word, room, *fields))
        assert code == expected, (word, peer.user, room, code, expected)
        stats = answer(peer.do("stats"))
        operators, listed = self.value.get("operators", []), self.value.get("stats", [])
        may = peer.user in operators or peer.user in listed
        may = may or (listed == ["everybody"] and not peer.user.startswith("guest-"))
        assert stats == (OK if may else "not_allowed")

    def _room(self) -> str:
        return self.random.choice((*ROOMS, DIRECT, *["ops-a"] * 4))

    @staticmethod
    def _expected(rights: set[str], right: str) -> str:
        if right in rights:
            return OK
        return "not_allowed" if "see" in rights else "no_such_room"

    # -- what must hold ------------------------------------------------------------------------------

    def _check(self) -> None:
        world = self.world
        for room in list(self.makers):
            if fold(room) not in world.rooms:
                del self.makers[room]
        for peer in self.peers:
            peer.read()
            ends = [notice for notice in peer.other if notice[0] == END and notice[1] != "superseded"]
            if len(ends) > self.ends[peer]:
                self._ended(peer, ends[-1])
                self.ends[peer] = len(ends)
        self._check_all_sent()
        for peer in self.peers:
            self._check_list(peer)
        for name, there in world.rooms.items():
            for member in there.members:
                user = member.session.peer.user
                assert "join" in self.rights(user, there.name), f"{user} is in {name}"
            for user in there.roster.people if there.roster is not None else ():
                assert "join" in self.rights(user, there.name), f"{user} is shown in {name}"
        world.check()

    def _ended(self, peer: Peer, end: list[Any]) -> None:
        assert end[1] == "not_allowed"
        assert end[3] is True
        lost = [room for room in self.joined[peer] if "join" not in self.rights(peer.user, room)]
        assert lost, f"{peer.user} was ended and has lost nothing"
        for room in (*ROOMS, DIRECT):
            self.floors.pop((peer, room), None)
        self.joined[peer].clear()
        peer.reconnect()

    def _check_all_sent(self) -> None:
        for peer in self.peers:
            for room in (*ROOMS, DIRECT):
                self._check_sent(peer, room)

    def _check_sent(self, peer: Peer, room: str) -> None:
        """Check that what has come since the last time was for the user to read."""
        gaps = peer.gaps.get(room, [])
        for gap in gaps[self.gaps.get((peer, room), 0) :]:
            assert gap[5] == GapReason.WITHHELD
            assert gap[4] == self.floors.get((peer, room)), f"{peer.user}: {gap}, and came after {self.floors}"
        self.gaps[peer, room] = len(gaps)
        got = peer.got.get(room, [])
        begin = self.taken.get((peer, room), 0)
        self.taken[peer, room] = len(got)
        if "read" in self.rights(peer.user, room):
            return
        for message in got[begin:]:
            floor = self.floors.get((peer, room))
            assert floor is not None, f"{peer.user} is sent {message.seq} of {room}, and is not there"
            assert message.seq > floor, f"{peer.user} is sent {message.seq} of {room}, and came after {floor}"

    def _check_list(self, peer: Peer) -> None:
        found = {row[0] for row in peer.do("rooms", None, 100)[2]}
        there = {room for room in (*ROOMS, DIRECT) if fold(room) in self.world.rooms}
        assert found == {room for room in there if "see" in self.rights(peer.user, room)}
        figures = self.world.core.context.figures.read(self.world.now, peer.user)
        named = {each.room for each in (*figures.lagging, *figures.busiest)}
        assert named <= found, f"{peer.user} receives names of {named - found}"

    def finish(self) -> None:
        """Give everybody every right, and check that all who are in a room get to its end without a hole."""
        self.value = {"groups": {}, "rooms": [{"names": ["*"], "guests": ["see", "join", "read", "send", "members"]}]}
        self.world.core.revise(parse(printed(self.value)))
        self.world.run()
        joined = {room for rooms in self.joined.values() for room in rooms} - {DIRECT}
        zoe = Peer(self.world, "zoe", 10)
        for room in sorted(joined):  # the end of a log with one's own messages alone is never reported
            assert answer(zoe.join(room, create=False)) == OK
            assert answer(zoe.send(room, "the end")) == OK
        for _ in range(200):
            for peer in self.peers:
                self.credit(peer)
            self.world.run()
        for peer in self.peers:
            for room in self.joined[peer] - {DIRECT}:
                assert peer.covered[room] == self.world.rooms[fold(room)].last, f"{peer.user} is stuck in {room}"


def answer(notice: list[Any]) -> str:
    code: str = OK if notice[0] == OK else notice[2]
    return code


def printed(value: dict[str, Any]) -> str:
    """Return rules as text."""
    lines = [f"{key} = {text_of(each)}" for key, each in value.items() if key not in ("rooms", "groups")]
    for table in value["rooms"]:
        lines += ["[[rooms]]", *(f"{key} = {text_of(each)}" for key, each in table.items())]
    return "\n".join(lines)


def complaint(seed: int) -> str | None:
    """Return what a seed finds wrong, None if all is well."""
    try:
        run = Run(seed)
        run.run()
        run.finish()
    except Exception as error:  # a promise broken, or a core that fell over
        return f"{type(error).__name__}: {error}"
    return None
