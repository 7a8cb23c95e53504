"""A session: one greeted client, and what it is still to be sent."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from zchat.broker.account import Account
from zchat.broker.limits import HISTORY_BYTES, RETRY_FIRST
from zchat.broker.port import Peer
from zchat.wire.limits import OLDEST_VERSION

if TYPE_CHECKING:
    from zchat.broker.rooms.member import Member
    from zchat.broker.rooms.room import Room


class Session:
    """One client's session: its user, its connection, its memberships, its waiting replies."""

    __slots__ = (
        "account",
        "answered",
        "asked",
        "backoff",
        "blocked",
        "connection",
        "ended",
        "floors",
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
        "proven",
        "queued",
        "reading",
        "replies",
        "shown",
        "shown_after",
        "stale",
        "taken",
        "to_prove",
        "token",
        "unanswered",
        "unnoted",
        "user",
        "version",
        "waiting",
        "waiting_bytes",
        "window",
    )

    def __init__(
        self,
        peer: Peer,
        connection: int,
        user: str,
        producer: bytes,
        token: bytes,
        window: int,
        now: float,
        account: Account,
        version: int = OLDEST_VERSION,
    ) -> None:
        self.account = account
        """What is counted of the loop's time."""
        self.peer = peer
        """The other end of the present connection: with each connection another one."""
        self.connection = connection
        """The number that the client gave its connection: a greeting that was overtaken has a lower number."""
        self.user = user
        """The user's name as it was spelt in the greeting."""
        self.producer = producer
        self.token = token
        self.version = version
        """The version of the protocol that was agreed on for this connection."""
        self.window = window
        """Notifications that each member of the session may have unanswered."""
        self.heard = now
        """When the last frame came."""
        self.taken = 0
        """Bytes received over this connection, with what a frame takes on the way at most."""
        self.members: dict[Room, Member] = {}
        self.floors: dict[str, int] = {}
        """By a room's folded name the log's end when the session first joined it, until it leaves or is put out; if
        there are rules, or names are bound to keys or logins."""
        self.present: dict[Room, None] = {}
        """The rooms that the user is in by this session: those it has joined, and for a while those of the
        connection before."""
        self.stale: dict[Member, None] = {}
        """The members whose rooms have changed since they were last sent the state."""
        self.invitations: dict[Room, None] = {}
        """The direct rooms that the session is to be invited to."""
        self.frames = 0
        """State frames sent over this connection."""
        self.shown = 0
        """The number of the state frame that is out, 0 for none."""
        self.queued = False
        """True while the session is on the list of those to send a state frame."""
        self.unanswered = 0
        """Requests whose reply has not gone into the pipe."""
        self.waiting = 0
        """Frames that wait, as the account is in debt."""
        self.waiting_bytes = 0
        """Their bytes."""
        self.answered = 0
        """Bytes of larger answers over this connection."""
        self.shown_after = 0
        """How many of them lay before the last state frame that was sent."""
        self.proven = 0
        """How many of them the client has read for certain: it has seen a state frame that came after them."""
        self.to_prove = False
        """True if a state frame is to be sent even if it says nothing, so that `proven` grows."""
        self.asked: list[Any] = []
        """Requests that wait for that."""
        self.reading = 0
        """Pages of history that the store is reading."""
        self.replies: list[tuple[bytes, int]] = []
        """Frames that found the pipe full, each with how many requests it answers: one, or none."""
        self.held: list[Member] = []
        """Members whose notification has to wait for the pipe."""
        self.blocked = False
        """True while a retry of the pipe is pending."""
        self.backoff = RETRY_FIRST
        """Seconds until the next retry."""
        self.gone = False
        """True once the peer has vanished: the client comes back, or the session expires."""
        self.ended = False
        self.noted = -inf
        """When it was last logged that frames could not be sent."""
        self.unnoted = 0
        """Frames that could not be sent since."""

    def connect(self, peer: Peer, connection: int, window: int, now: float, version: int = OLDEST_VERSION) -> None:
        """Go on over a fresh connection: what the old one was yet to be sent is dropped already."""
        self.peer = peer
        self.connection = connection
        self.version = version
        self.window = window
        self.heard = now
        self.taken = 0
        self.unanswered = 0
        self.held.clear()
        self.invitations.clear()
        self.frames = 0
        self.shown = 0
        self.answered = self.shown_after = self.proven = 0
        self.to_prove = False
        self.asked.clear()
        self.backoff = RETRY_FIRST
        self.gone = False

    @property
    def unread(self) -> int:
        """The bytes of larger answers that the client may have left unread, those that are being made among them."""
        return self.answered - self.proven + self.reading * HISTORY_BYTES
