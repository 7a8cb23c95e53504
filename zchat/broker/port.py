"""The core's edge: what it sends frames through, what became of a frame, and who is at the other end."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from zchat.broker.limits import GREET_WITHIN, UNGREETED_BYTES
from zchat.names import fold


class Sent:
    """What became of a frame: SENT, FULL (the pipe had no room), GONE (no such peer)."""

    SENT = 0
    FULL = 1
    GONE = 2


class Cut(Enum):
    """Why a connection was cut: the counter of it, and the log's words for so many of them."""

    LATE = ("cut_before_greeting", f"that did not greet within {GREET_WITHIN:g} s")
    CROWDED = ("cut_too_many_newcomers", "that had not greeted, because there were too many such or too few files")
    STUFFED = ("cut_too_many_bytes", f"that sent more than {UNGREETED_BYTES} bytes before a greeting")
    STRANGER = ("cut_no_greeting", "that began with something other than a greeting")
    ENDLESS = ("cut_endless_message", "that sent a message without an end, or more than can be read")
    FOREIGN = ("cut_foreign_session", "that claimed the routing id of another's session")
    ENDED = ("cut_after_end", "whose session had ended or gone on elsewhere")

    def __init__(self, counter: str, words: str) -> None:
        self.counter = counter
        self.words = words


class Port(Protocol):
    """What the core sends frames through: the loop, or a simulation."""

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Send one frame to one peer without blocking; return one of `Sent`."""

    def cut(self, peer: Peer, why: Cut) -> None:
        """Close a peer's connection, after the time that a last word needs to arrive."""


class Peer(NamedTuple):
    """Who is at the other end of a connection, as far as that is known."""

    routing_id: bytes
    """The connection's name."""
    user: str
    """The user's folded name; before the greeting that of its key's user, or ""."""
    key: str | None = None
    """The public key that the connection was let in with; None without keys."""
    address: str | None = None
    """Where the connection comes from; None if that is not known."""
    connection: int = 0
    """The number of the connection, which no other one has; 0 if that is not known."""
    name: str = ""
    """The name of its key's user as it is spelt there; "" without keys."""

    @property
    def via(self) -> str:
        """The name of the gateway through which the user has come, "" for one who has come by themselves."""
        return self.name if self.name and fold(self.name) != self.user else ""
