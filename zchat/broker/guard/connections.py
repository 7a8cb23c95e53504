"""The connections that a broker has: which are newcomers, whose a frame is, and which are to be cut.

A ROUTER names its peers by routing ids, and a peer that claims one that has become free gets its frames. So each
connection gets a number of its own when it is let in (the broker's answer to libzmq carries it, and libzmq puts it on
every frame), and a descriptor when it is accepted. The two are matched at the connection's first frame, without
a race: a connection is let in after it was accepted, and what was accepted is known here before anybody is let in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from zchat.broker.limits import (
    CHANCE,
    CROWDED_A_MOMENT,
    CUT_AFTER,
    ENDLESS_BYTES,
    GREET_WITHIN,
    HELD_BYTES,
    NUMBERS_KEPT,
    OVERRUN_BYTES,
    SAMPLE_AGAIN,
    SAMPLE_EVERY,
    SAMPLES_A_MOMENT,
    UNGREETED,
    UNGREETED_AT_ALL,
    UNGREETED_BYTES,
)
from zchat.broker.port import Cut, Peer


class Connection:
    """An accepted connection, by its descriptor."""

    __slots__ = ("base", "doomed", "fd", "greeted", "least", "number", "overrun", "sample", "since")

    def __init__(self, fd: int, since: float, least: int) -> None:
        self.fd = fd
        self.since = since
        """When it was accepted, or was refused after a wait."""
        self.least = least
        """Numbers below are those of connections that were let in before this one was accepted."""
        self.number = 0
        """Its number, 0 until its first frame."""
        self.greeted = False
        """True once it has had a session."""
        self.doomed = False
        """True once it is to be cut: what it sends from then on is not read."""
        self.overrun = 0
        """The bytes of that."""
        self.sample = 0
        """The bytes that libzmq had read from it when that was last sampled."""
        self.base = 0
        """What of them is accounted for without frames."""


class Connections:
    """All connections of a broker. The loop's thread alone; times are of its clock."""

    def __init__(self) -> None:
        self.checking = False
        """True while a frame may be another connection's than the one before under its routing id."""
        self.lost = 0
        """Connections that ended before they had greeted, and were not cut."""
        self._by_fd: dict[int, Connection] = {}
        self._new: dict[int, Connection] = {}  # those that have not greeted, the oldest first
        self._waiting: dict[int, Connection] = {}  # those that have, and wait until it is carried out
        self._heard_at = -inf  # when all that had arrived was read, and all who asked were let in
        self._by_number: dict[int, Connection] = {}
        self._peers: dict[int, Peer] = {}  # by number, from being let in until some time after the end
        self._nameless: dict[int, None] = {}  # let in, and yet without a frame; the oldest first
        self._gone: deque[int] = deque()  # closed, but frames may be left
        self._issued = 0
        self._cuts: deque[tuple[float, int, Cut]] = deque()  # when, number, why
        self._overran: list[int] = []  # the numbers of those that send on and on after their last word
        self._sample_at = inf
        self.sampled: deque[Connection] = deque()
        """Those that are to be judged once all that had arrived is read."""
        self._to_sample: deque[Connection] = deque()

    def __len__(self) -> int:
        return len(self._by_fd)

    # -- connections begin and end -------------------------------------------------------------------

    def accepted(self, fd: int, now: float) -> None:
        """Take in a connection that was accepted."""
        self.closed(fd)
        self._by_fd[fd] = self._new[fd] = Connection(fd, now, self._issued + 1)
        self.checking = True
        if self._sample_at == inf:
            self._sample_at = now + SAMPLE_EVERY

    def closed(self, fd: int) -> Peer | None:
        """Take out a connection; what it has sent may still be read. Return who was there, if anything came of them."""
        connection = self._by_fd.pop(fd, None)
        if connection is None:
            return None
        if self._take_out(connection) and not connection.doomed:
            self.lost += 1
        connection.fd = -1
        if connection.number:
            del self._by_number[connection.number]
            self._gone.append(connection.number)
            if len(self._gone) > NUMBERS_KEPT:
                del self._peers[self._gone.popleft()]
        return self._peers.get(connection.number)

    def admit(self, user: str = "", key: str | None = None, address: str | None = None, name: str = "") -> int:
        """Let a connection in; return its number. What was accepted before must be known here."""
        self._issued += 1
        number = self._issued
        self._peers[number] = Peer(b"", user, key, address, number, name)
        self._nameless[number] = None
        if len(self._nameless) > NUMBERS_KEPT:
            oldest = next(iter(self._nameless))
            del self._nameless[oldest], self._peers[oldest]
        return number

    def peer(self, number: int, fd: int, routing_id: bytes, size: int, *, known: bool) -> Peer | None:
        """Return whose a frame of `size` bytes is: the peer with that number; `known`: its routing id has a session.

        None if it is not to be read: its connection is to be cut, or it is a stranger's whose connection is closed.
        """
        peer = self._peers.get(number)
        if peer is None:  # it was let in too long ago
            return None
        if number in self._nameless:
            del self._nameless[number]
            peer = self._peers[number] = peer._replace(routing_id=routing_id)
            found = self._by_fd.get(fd)
            if found is not None and found.least <= number and not found.number:
                found.number = number
                self._by_number[number] = found
            else:  # the descriptor is another's by now, or nobody's
                self._gone.append(number)
        connection = self._by_number.get(number)
        if connection is None:
            return peer if known else None
        if not connection.doomed:
            return peer
        before, connection.overrun = connection.overrun, connection.overrun + size
        if before <= OVERRUN_BYTES < connection.overrun:
            self._overran.append(number)
        return None

    def greeted(self, number: int) -> None:
        """Record that a connection has a session."""
        connection = self._by_number.get(number)
        if connection is not None and not connection.greeted:
            connection.greeted = True
            self._take_out(connection)  # a newcomer that was given up isn't there: its greeting had waited

    def waits(self, number: int) -> None:
        """Record that a newcomer has greeted and waits for an answer: until then it isn't late, nor one of a crowd."""
        connection = self._by_number.get(number)
        if connection is not None and self._new.pop(connection.fd, None) is not None:
            self._waiting[connection.fd] = connection

    def refused(self, number: int, now: float) -> None:
        """Record that a newcomer that waited has no session: it may try again, as if it had just come."""
        connection = self._by_number.get(number)
        if connection is not None and self._waiting.pop(connection.fd, None) is not None:
            connection.since = now
            self._new[connection.fd] = connection

    def _take_out(self, connection: Connection) -> bool:
        """Take a connection out of the newcomers; return whether it was one."""
        fd = connection.fd
        return self._new.pop(fd, None) is not None or self._waiting.pop(fd, None) is not None

    def drained(self, now: float, *, all_let_in: bool = True) -> None:
        """Record that all that had arrived is read: without newcomers nobody can pass for another now.

        `all_let_in`: nobody asks any more whether it may come in.
        """
        self.checking = bool(self._new or self._waiting)
        if all_let_in:
            self._heard_at = now

    # -- what is to be cut ---------------------------------------------------------------------------

    def cut(self, number: int, why: Cut, now: float) -> None:
        """Have a connection cut, after the time that a last word needs; it has no session, or none that goes on."""
        connection = self._by_number.get(number)
        if connection is not None and not connection.doomed:
            connection.doomed = True
            self._cuts.append((now + CUT_AFTER, number, why))

    def fd_of(self, number: int) -> int:
        """Return the descriptor of a connection, -1 if it is closed."""
        connection = self._by_number.get(number)
        return -1 if connection is None else connection.fd

    def peer_at(self, fd: int) -> Peer | None:
        """Return who is at the other end of a connection; None if that isn't known, as it has sent nothing."""
        connection = self._by_fd.get(fd)
        return None if connection is None else self._peers.get(connection.number)

    def take_due(self, now: float, files: int = UNGREETED_AT_ALL) -> list[tuple[int, Cut]]:
        """Return the descriptors to be cut now, and why; newcomers may have so many `files`.

        Who has said nothing is late, or one of a crowd, only once all is read that it can have said: a fleet that comes
        back at once isn't.
        """
        found = [(self.fd_of(number), Cut.ENDLESS) for number in self._overran]
        self._overran.clear()
        cuts = self._cuts
        while cuts and cuts[0][0] <= now:
            _, number, why = cuts.popleft()
            found.append((self.fd_of(number), why))
        new, had_a_chance = self._new, self._heard_at - CHANCE
        while new and (oldest := next(iter(new.values()))).since <= min(now - GREET_WITHIN, had_a_chance):
            found.append((self._give_up(oldest), Cut.LATE))
        for _ in range(min(CROWDED_A_MOMENT, len(new) - min(UNGREETED, files))):
            oldest = next(iter(new.values()))
            if oldest.since > had_a_chance:
                break
            found.append((self._give_up(oldest), Cut.CROWDED))
        while len(new) + len(self._waiting) > min(UNGREETED_AT_ALL, files):
            found.append((self.give_up_oldest(), Cut.CROWDED))
        return [(fd, why) for fd, why in found if fd != -1]

    def give_up_oldest(self) -> int:
        """Return the descriptor of the connection that has been a newcomer for the longest, -1 without any."""
        newcomers = self._new or self._waiting
        return self._give_up(next(iter(newcomers.values()))) if newcomers else -1

    def _give_up(self, connection: Connection) -> int:
        self._take_out(connection)
        connection.doomed = True
        return connection.fd

    def due(self) -> float:
        """Return when `take_due` or `sample` is next needed."""
        due = self._sample_at
        if self._cuts:
            due = min(due, self._cuts[0][0])
        if self._new:
            due = min(due, next(iter(self._new.values())).since + GREET_WITHIN)
        return due

    # -- messages without an end ---------------------------------------------------------------------

    def sample(self, read: Callable[[int], int], taken: Callable[[bytes], int], now: float) -> list[tuple[int, Cut]]:
        """Record how many bytes libzmq has read from some connections; return the descriptors to be cut.

        `read` returns that of a descriptor, -1 if it can't be told. What libzmq has read is handed to the loop
        before it says that nothing is left, but for the message that is incomplete: `judge`, called then, finds it.
        Those of the last time that were not judged since are judged here. `taken`: as in `judge`.
        """
        if now < self._sample_at:
            return []
        found = self.judge(taken, drained=False)
        if not self._to_sample:
            self._to_sample.extend(self._by_fd.values())
        for _ in range(min(SAMPLES_A_MOMENT, len(self._to_sample))):
            connection = self._to_sample.popleft()
            if connection.fd == -1:
                continue
            size = read(connection.fd)
            if size == -1:
                continue
            if not connection.greeted:
                if size > UNGREETED_BYTES and (connection.fd in self._new or connection.fd in self._waiting):
                    found.append((self._give_up(connection), Cut.STUFFED))
                continue
            connection.sample = size
            self.sampled.append(connection)
        if not self._by_fd:
            self._sample_at = inf
        else:
            self._sample_at = now + (SAMPLE_AGAIN if self._to_sample else SAMPLE_EVERY)
        return found

    def judge(self, taken: Callable[[bytes], int], *, drained: bool) -> list[tuple[int, Cut]]:
        """Return the descriptors of connections that hold more than a message can need; `taken` is what was received.

        Unless all was `drained`, what waits in libzmq counts as well, and more is allowed.
        """
        found = []
        most = ENDLESS_BYTES if drained else HELD_BYTES
        for connection in self.sampled:
            if connection.fd == -1 or connection.doomed:
                continue
            held = connection.sample - connection.base - taken(self._peers[connection.number].routing_id)
            if held < 0:
                connection.base += held
            elif held > most:
                connection.doomed = True
                found.append((connection.fd, Cut.ENDLESS))
        self.sampled.clear()
        return found
