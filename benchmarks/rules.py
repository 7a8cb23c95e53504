"""What a change of rules takes with 10,000 memberships, and what sanctions cost a command.

It is the broker's core alone, without sockets: what its turns take is what members wait. Of a change it is the time
until all are judged, and the longest turn of the loop; of sanctions what it takes to find out whether a user may send.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial

from _run import Failed, in_turn, options, report, run
from zchat.broker.core.core import Core
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules import Rules, Table
from zchat.broker.guard.rules_text import parse
from zchat.broker.port import Cut, Peer, Sent
from zchat.broker.settings import Settings
from zchat.broker.store.contract import BAN, CLOSED, MUTE, Places, Sanction
from zchat.broker.store.ledger import now as microseconds
from zchat.broker.store.memory import MemoryStore
from zchat.wire.commands import Right, encode_command

MEMBERSHIPS = 10_000

TABLES = 20
"""Tables before the one that decides."""

SANCTIONS = 10_000
"""Half of them bans, half of them mutes, all in one room."""

CHECKS = 200_000

CHECKERS = 100
"""Users, all of whom may send."""


class Nowhere:
    """The port of a core whose frames nobody reads."""

    def send(self, routing_id: bytes, frame: bytes) -> int:
        return Sent.SENT

    def cut(self, peer: Peer, why: Cut) -> None:
        pass


def rules(kept: int) -> Rules:
    """Return rules by which users below a number may be in the rooms."""
    users = ", ".join(f'"user{number}"' for number in range(kept))
    tables = "".join(f'[[rooms]]\nnames = ["team-{number}-*"]\n' for number in range(TABLES))
    return parse(
        f'makers_own = false\n[groups]\nstaff = [{users}]\n{tables}[[rooms]]\nnames = ["*"]\njoin = ["@staff"]\n'
    )


def change(sessions: int, kept: int) -> dict[str, float]:
    """Return what it takes to judge the sessions, of which those of users from `kept` on lose their rooms."""
    store = MemoryStore(microseconds)
    gate = Gate(logins=True)
    core = Core(Nowhere(), store, store.open(lambda: None), Settings(), 0.0, microseconds, gate, rules(sessions))
    rooms = MEMBERSHIPS // sessions
    for number in range(sessions):
        routing_id = number.to_bytes(4, "big")
        token = routing_id.rjust(16, b"t")
        greeting = encode_command("hello", 1, 1, 1, f"user{number}", token, token, 0, 1)
        core.receive(routing_id, [greeting], 0.0)
        for room in range(rooms):
            joining = encode_command("join", 2, f"room-{room}", room + 1, None, 0, True)
            core.receive(routing_id, [joining], 0.0)
            core.context.sessions.table.by_routing_id[routing_id].unanswered = 0
    _settle(core)
    members = sum(len(each.members) for each in core.context.sessions.table.by_token.values())
    if members != MEMBERSHIPS:
        raise Failed(f"there are {members} memberships")
    gc.collect()
    changed = rules(kept)
    began = time.process_time()
    core.revise(changed)
    longest = _settle(core)
    took = time.process_time() - began
    left = len(core.context.sessions.table.by_token)
    if left != kept:
        raise Failed(f"{left} sessions are left")
    return {"ms": took * 1e3, "longest turn ms": longest * 1e3}


def ask(sanctions: int, *, closed: bool = False) -> dict[str, float]:
    """Return what it takes to find out whether users may send to a room with so many sanctions of others."""
    store = MemoryStore(microseconds)
    store.open(lambda: None)
    imposed = [
        Sanction("room", f"bad{number}", (BAN, MUTE)[number % 2], 0, "root", 1, "") for number in range(sanctions)
    ]
    if closed:
        imposed.append(Sanction("room", "", CLOSED, 0, "root", 1, ""))
    for sanction in imposed:
        store.impose(sanction, Places(*[len(imposed)] * 3), lambda _: None)
    settings = Settings(rooms=("room",))
    core = Core(Nowhere(), store, [], settings, 0.0, microseconds, Gate(logins=True), rules(CHECKERS))
    access, room = core.context.access, core.context.directory.rooms["room"]
    peers = [Peer(b"r", f"user{number}") for number in range(CHECKERS)]
    for peer in peers:
        access.may(peer.user, Right.SEND, room)  # what the rules say of them is remembered
    if closed:
        access.rules = Rules((Table(("*",), owners=frozenset(peer.user for peer in peers)),))
    gc.collect()
    began = time.process_time()
    for _ in range(CHECKS // CHECKERS):
        for peer in peers:
            access.check(peer, Right.SEND, room, "room")
    return {"us": (time.process_time() - began) * 1e6 / CHECKS}


def _settle(core: Core) -> float:
    """Go through turns until there is nothing to do; return what the longest took."""
    longest, busy = 0.0, True
    while busy:
        began = time.process_time()
        core.tick(0.0, True)
        core.turn(0.0)
        longest = max(longest, time.process_time() - began)
        busy = core.busy
    return longest


def main() -> None:
    parser = options("Measure a change of rules.")
    parser.add_argument("--sanctions", action="store_true", help="measure what sanctions cost a command instead")
    arguments = parser.parse_args()
    title = "a change of rules over 10,000 memberships"
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        "10,000 sessions in a room, none loses it": partial(change, 10_000, 10_000),
        "10,000 sessions in a room, 1,000 lose it": partial(change, 10_000, 9_000),
        "10,000 sessions in a room, all lose it": partial(change, 10_000, 0),
        "100 sessions in 100 rooms, none loses one": partial(change, 100, 100),
        "10 sessions in 1,000 rooms, all lose all": partial(change, 10, 0),
    }
    if arguments.sanctions:
        title = "whether a user may send"
        contenders = {
            "a room without sanctions": partial(ask, 0),
            "a room with one": partial(ask, 1),
            "a room with 10,000": partial(ask, SANCTIONS),
            "a closed room with 10,000, asked by its owners": partial(ask, SANCTIONS, closed=True),
        }
    report(title, in_turn(contenders, arguments.rounds), arguments.json)


if __name__ == "__main__":
    run(main)
