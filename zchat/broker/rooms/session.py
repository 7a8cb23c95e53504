"""A session: one greeted client, and what it is still owed."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from zchat.broker.limits import RETRY_FIRST
from zchat.broker.port import Peer

if TYPE_CHECKING:
    from zchat.broker.rooms.member import Member
    from zchat.broker.rooms.room import Room


class Session:
    """Keep one client's session: who it is, its connection, its memberships, its waiting replies.

    `peer` is who is at the other end: with each connection another one, which the session's frames go to.
    `connection` is the number that the client gave its connection: a greeting that was overtaken
    by a later one has a lower number.
    `unanswered` counts requests whose reply has not gone into the pipe; `replies` are those
    that found it full, `held` the members whose push has to wait for it. While `blocked` the
    session has a retry pending. `gone` means that the peer has vanished: the session waits for
    its client to come back, or expires.
    `present` are the rooms that its user is here in by it: those it is a member of, and for a while
    those of the connection before. `stale` are its members whose rooms have changed, `invitations`
    the direct rooms that it is to be invited to; both are told in state frames. `frames` counts
    those of this connection, `shown` is the one that is out (0: none), `queued` says that it is on
    the list of those to send one.
    `noted` is when the log was last told that frames could not be sent, `unnoted` counts those since.
    """

    __slots__ = (
        "backoff",
        "blocked",
        "connection",
        "ended",
        "frames",
        "gone",
        "heard",
        "held",
        "invitations",
        "members",
        "noted",
        "peer",
        "present",
        "producer",
        "queued",
        "replies",
        "shown",
        "stale",
        "token",
        "unanswered",
        "unnoted",
        "user",
        "window",
    )

    def __init__(
        self, peer: Peer, connection: int, user: str, producer: bytes, token: bytes, window: int, now: float
    ) -> None:
        self.peer = peer
        self.connection = connection
        self.user = user
        self.producer = producer
        self.token = token
        self.window = window
        self.heard = now
        self.members: dict[Room, Member] = {}
        self.present: dict[Room, None] = {}
        self.stale: dict[Member, None] = {}
        self.invitations: dict[Room, None] = {}
        self.frames = 0
        self.shown = 0
        self.queued = False
        self.unanswered = 0
        self.replies: deque[bytes] = deque()
        self.held: list[Member] = []
        self.blocked = False
        self.backoff = RETRY_FIRST
        self.gone = False
        self.ended = False
        self.noted = -inf
        self.unnoted = 0

    def connect(self, peer: Peer, connection: int, window: int, now: float) -> None:
        """Go on over a fresh connection: what the old one was owed is no longer owed, and dropped already."""
        self.peer = peer
        self.connection = connection
        self.window = window
        self.heard = now
        self.unanswered = 0
        self.held.clear()
        self.invitations.clear()
        self.frames = 0
        self.shown = 0
        self.backoff = RETRY_FIRST
        self.gone = False
