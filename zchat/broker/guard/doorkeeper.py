"""The doorkeeper: lets connections in, and has those cut that must not stay. It knows connections by descriptors alone.

What it decides an entrance carries out, which has the sockets.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Generic, Protocol, TypeVar

from zchat.broker.figures.audit_trail import AuditTrail
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import CUT_AFTER, CUT_NOTED_EVERY, UNGREETED_AT_ALL
from zchat.broker.port import Cut, Peer

CHECK_EVERY = 0.005
"""Seconds between two checks for newcomers and descriptors while the loop is busy, or newcomers are turned away."""

KNOCKS_AT_ONCE = 64
"""Connections that are let in before the loop goes on."""

FILES_FOR_NEWCOMERS = 2
"""At most one file descriptor in so many is a newcomer's."""

MADE_ROOM = 64
"""Newcomers that are given up at once when descriptors are scarce."""

_WITH_LAST_WORDS = {Cut.STRANGER, Cut.FOREIGN, Cut.ENDED}


class Knock(Protocol):
    """A connection that asks to be let in."""

    @property
    def address(self) -> str:
        """Return where it comes from."""

    @property
    def key(self) -> str | None:
        """Return the public key of its handshake, None without encryption."""

    def find_guest(self) -> str:
        """Return the name that the owner of its key has as a guest."""

    def find_login(self) -> str:
        """Return the login of the process at its other end, "" if it has none."""


K = TypeVar("K", bound=Knock)


class Entrance(Protocol[K]):
    """Where connections come in: sockets and descriptors, or a simulation."""

    @property
    def shut(self) -> bool:
        """Return True while newcomers are turned away for want of descriptors."""

    @property
    def wake(self) -> float:
        """Return when `check` is next needed, whatever happens."""

    def knocks(self, most: int) -> list[K]:
        """Return connections that ask now to be let in, `most` of them at most."""

    def check(self, now: float, counters: Counters, log_lines: LogLines) -> None:
        """Turn newcomers away if descriptors are scarce, and record which connections were accepted and closed."""

    def take_vanished(self) -> list[Peer]:
        """Return the peers whose connections have ended since the last time."""

    def let_in(self, knock: K, number: int) -> None:
        """Let a connection in, under its number."""

    def refuse(self, knock: K, *, later: bool) -> None:
        """Refuse a connection, for good or for now."""

    def limit(self) -> int | None:
        """Return how many descriptors there may be, None for no limit."""

    def read(self, fd: int) -> int:
        """Return how many bytes were read from a connection, -1 if that isn't known."""

    def address(self, fd: int) -> str:
        """Return where a connection comes from, "" if that isn't known."""

    def cut(self, fd: int, *, reset: bool) -> bool:
        """Close a connection; `reset`: with all that is still to be sent. False if it is none of the broker's."""


class Sessions(Protocol):
    """What a doorkeeper needs of the broker's core."""

    counters: Counters
    log_lines: LogLines
    audit: AuditTrail

    def taken(self, routing_id: bytes) -> int:
        """Return how many bytes were received over a session's connection."""

    def vanished(self, peer: Peer) -> None:
        """Record that a connection has ended."""


class Doorkeeper(Generic[K]):
    """Everything that is decided about a broker's connections, but for frames. The loop's thread alone.

    `connections` are those that `entrance` accepts.
    """

    def __init__(self, gate: Gate, connections: Connections, entrance: Entrance[K]) -> None:
        self.connections = connections
        self.due = 0.0
        """When `check` is to be called at the latest by a thread that is awake. One whose poll finds that nobody has
        come or gone puts it off, by `CHECK_EVERY` or until `wake`."""
        self.wake = inf
        """When a thread that sleeps is to wake for it."""
        self._gate = gate
        self._entrance = entrance
        self._cut: Counter[Cut] = Counter()  # and not logged yet
        self._noted = -inf
        self._all_let_in = True  # all who asked the last time

    def cut(self, peer: Peer, why: Cut, now: float) -> None:
        """Have a connection cut, after the time that a last word needs."""
        self.connections.cut(peer.connection, why, now)
        self.wake = min(self.wake, now + CUT_AFTER)

    def check(self, now: float, core: Sessions) -> None:
        """Admit newcomers, unless descriptors are scarce; cut the connections that are due."""
        counters, connections, entrance = core.counters, self.connections, self._entrance
        # Who asks now was accepted before: so what was accepted is noted after it, and they are answered last.
        knocks = entrance.knocks(KNOCKS_AT_ONCE)
        was_shut, before = entrance.shut, counters.turned_away
        entrance.check(now, counters, core.log_lines)
        if counters.turned_away > before:
            core.audit.gather("turned_away", "turned_away", count=counters.turned_away - before)
        for peer in entrance.take_vanished():
            core.vanished(peer)
        counters.lost_before_greeting = connections.lost
        for knock in knocks:
            self._answer(knock, now, core)
        cuts = connections.take_due(now, self._files())
        if entrance.shut and not was_shut:
            cuts += [(connections.give_up_oldest(), Cut.CROWDED) for _ in range(MADE_ROOM)]
        cuts += connections.sample(entrance.read, core.taken, now)
        self._shut(cuts, core)
        if self._cut and now - self._noted >= CUT_NOTED_EVERY:
            self._note(now, core.log_lines)
        self._all_let_in = len(knocks) < KNOCKS_AT_ONCE
        self.due = now + CHECK_EVERY if self._all_let_in else 0.0
        self.wake = min(entrance.wake, connections.due())
        if self._cut:
            self.wake = min(self.wake, self._noted + CUT_NOTED_EVERY)

    def _answer(self, knock: K, now: float, core: Sessions) -> None:
        key = knock.key
        if key is None:
            admission = self._gate.admit_without_key(knock.find_login)
        else:
            admission = self._gate.admit(key, knock.find_guest, now)
        if admission.let_in:
            number = self.connections.admit(admission.user, key, knock.address, admission.name)
            self._entrance.let_in(knock, number)
            return
        core.counters.count(admission.turned_away)
        core.audit.gather("turned_away", admission.turned_away, address=knock.address, key=key or "")
        self._entrance.refuse(knock, later=admission.turned_away != "turned_away_unknown_key")

    def drained(self, core: Sessions, now: float) -> None:
        """Record that the ROUTER has nothing left that came before, if its connections are being checked or sampled."""
        self.connections.drained(now, all_let_in=self._all_let_in)
        self._shut(self.connections.judge(core.taken, drained=True), core)

    def _files(self) -> int:
        """Return how many descriptors newcomers may have."""
        files = self._entrance.limit()
        return UNGREETED_AT_ALL if files is None else files // FILES_FOR_NEWCOMERS

    def _shut(self, cuts: list[tuple[int, Cut]], core: Sessions) -> None:
        for fd, why in cuts:
            if fd == -1:
                continue
            peer = self.connections.peer_at(fd)
            address = self._entrance.address(fd) if peer is None else peer.address or ""
            if self._entrance.cut(fd, reset=why not in _WITH_LAST_WORDS):
                self._cut[why] += 1
                core.counters.count(why.counter)
                if why is not Cut.ENDED:  # its session's end is recorded
                    key, user = ("", "") if peer is None else (peer.key or "", peer.name or peer.user)
                    core.audit.gather("cut", why.counter, address=address, key=key, user=user)
                    if why is Cut.ENDLESS:
                        self._gate.put_off(key)

    def _note(self, now: float, log_lines: LogLines) -> None:
        """Log what was cut since the last time, a line a reason."""
        self._noted = now
        for why, count in self._cut.items():
            if why is not Cut.ENDED:
                text = f"cut {count} connection{'s' * (count > 1)} {why.words}"
                log_lines.add("cut", text, reason=why.counter, count=count)
        self._cut.clear()
