"""The frames of users who are over their share: kept in order until they are carried out."""

from __future__ import annotations

from typing import NamedTuple

from zchat import errors
from zchat.broker.account import Account
from zchat.broker.core.replies import Request, Rest
from zchat.broker.core.sessions import Sessions
from zchat.broker.figures.counters import Counters
from zchat.broker.guard.shares import Shares
from zchat.broker.limits import (
    ALL_BYTES_WAITING,
    FRAME_BYTES_WAITING,
    FRAMES_WAITING,
    MAX_REQUESTS,
    STRANGER_BYTES,
    STRANGER_FRAMES_WAITING,
)
from zchat.broker.port import Cut, Peer, Port
from zchat.broker.rooms.session import Session
from zchat.wire.values import pack

SAID_ANYHOW = frozenset({"ping", "credit", "seen"})
"""Commands of who asks for nothing: a client says them by itself. They never wait: they cost little, and others wait
for what they say."""

_AT_ONCE = tuple(map(pack, SAID_ANYHOW))
"""How their frames go on after the first byte."""


class WaitingFrame(NamedTuple):
    """A message of a peer that waits, with its session when it came, None for a stranger."""

    session: Session | None
    account: Account
    peer: Peer
    frames: list[bytes]
    size: int
    more: list[list[bytes]]
    """Of a stranger further messages: they come after the greeting, if that is what the first is."""
    left: tuple[Request, Rest] | None = None
    """Of a command that was begun, what is left to do; None: the message has not been decoded yet."""


class WaitingFrames:
    """The frames that wait, within bounds."""

    def __init__(self, port: Port, shares: Shares[WaitingFrame], sessions: Sessions, counters: Counters) -> None:
        self._port = port
        self._shares = shares
        self._sessions = sessions
        self._counters = counters
        self._bytes = 0
        self._strangers: dict[bytes, WaitingFrame] = {}
        self._stranger_frames = 0

    def hold(
        self, session: Session | None, account: Account, peer: Peer, frames: list[bytes], size: int, now: float
    ) -> bool:
        """Have a message wait, if its account has to; return whether it does, or is one too many."""
        if frames and frames[0].startswith(_AT_ONCE, 1):
            return False
        if not self._shares.must_wait(account, now):
            return False
        self._shares.spoke(account, now)
        self._counters.frames_waited += 1
        if session is None:
            return self._hold_stranger(account, peer, frames, size)
        if session.waiting >= FRAMES_WAITING or session.waiting_bytes + size > FRAME_BYTES_WAITING:
            bounds = f"{FRAMES_WAITING} commands, or {FRAME_BYTES_WAITING:,} bytes of them,"
            text = f"more than {bounds} wait: you use more of the broker than your share"
            self._sessions.end(session, errors.TooManyRequests(text))
        elif self._bytes + size > ALL_BYTES_WAITING:
            self._sessions.end(session, errors.Busy("too many commands of all users wait; try again later"))
        else:
            session.waiting += 1
            session.waiting_bytes += size
            self._bytes += size
            self._shares.wait(account, WaitingFrame(session, account, peer, frames, size, []))
        return True

    def _hold_stranger(self, account: Account, peer: Peer, frames: list[bytes], size: int) -> bool:
        before = self._strangers.get(peer.routing_id)
        if before is not None and before.peer.connection != peer.connection:  # whose routing id has been claimed
            self.vanished(before.peer)
            before = None
        if size > STRANGER_BYTES or (before is not None and len(before.more) >= MAX_REQUESTS):
            self._turn_away(peer, Cut.STRANGER)
        elif self._stranger_frames >= STRANGER_FRAMES_WAITING:
            self._turn_away(peer, Cut.CROWDED)
        elif before is not None:
            before.more.append(frames)
            self._stranger_frames += 1
        else:
            self._stranger_frames += 1
            waiting = self._strangers[peer.routing_id] = WaitingFrame(None, account, peer, frames, 0, [])
            self._shares.wait(account, waiting)
        return True

    def _turn_away(self, peer: Peer, why: Cut) -> None:
        """Have a stranger's connection cut: a greeting that waits must not begin a session of which nothing is read."""
        self._port.cut(peer, why)
        self.vanished(peer)

    def holds(self, peer: Peer) -> bool:
        """Return whether something waits of a stranger."""
        waiting = self._strangers.get(peer.routing_id)
        return waiting is not None and waiting.peer.connection == peer.connection

    def vanished(self, peer: Peer) -> None:
        """Forget what waits of a stranger whose connection has ended: an answer would be another's."""
        if self.holds(peer):
            del self._strangers[peer.routing_id]  # from the account it is taken in its turn

    def put_back(self, account: Account, request: Request, left: Rest, size: int) -> None:
        """Have the rest of a session's command wait; all that waits of its account comes after it."""
        session = request.session
        assert session is not None, "a stranger's command is done at once"
        session.waiting += 1
        session.waiting_bytes += size
        self._bytes += size
        waiting = WaitingFrame(session, account, request.peer, [], size, [], (request, left))
        self._shares.put_back(account, waiting)

    def next(self, now: float, *, idle: bool) -> WaitingFrame | None:
        """Return a message that is to be carried out now, None if there is none yet; `idle`: as in `Shares.resume`."""
        while (waiting := self._shares.resume(now, idle=idle)) is not None:
            session, peer, size = waiting.session, waiting.peer, waiting.size
            if session is None:
                self._stranger_frames -= 1 + len(waiting.more)
                if self._strangers.get(peer.routing_id) is waiting:
                    del self._strangers[peer.routing_id]
                    return waiting
                continue
            session.waiting -= 1
            session.waiting_bytes -= size
            self._bytes -= size
            if not session.ended and session.peer is peer:
                return waiting
        return None
