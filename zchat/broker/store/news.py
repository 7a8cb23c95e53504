"""What brokers that share a store tell each other, and no store keeps."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Typed(NamedTuple):
    """The news that a user, by folded name, is typing in a room at another broker, or has ended."""

    room: str
    user: str
    active: bool


class Kicked(NamedTuple):
    """The news that a moderator at another broker has put a user, by folded name, out of a room."""

    room: str
    user: str
    by: str
    """The moderator's name, as it was spelt."""
    reason: str
    """Why, in the moderator's words; "" for none."""


class Greeted(NamedTuple):
    """The news that a client has greeted another broker: what it has left behind is not to go on."""

    user: str
    """By folded name."""
    producer: bytes
    """The client's own, as it stands in blocks."""
    connection: int
    """The number that the client gave this connection."""


class Counted(NamedTuple):
    """The news of what another broker counts and holds, told once a second; none once it has ended."""

    counts: dict[str, int]
    """By the names of `zchat.broker.figures.overall`."""


class Amount(NamedTuple):
    """How much a user, or all together in a room, have sent, by a name of `zchat.broker.guard.rates`."""

    name: str
    messages: int
    bytes: int


class Spent(NamedTuple):
    """The news of how much was sent through another broker, since it last told, of what rules bound."""

    amounts: tuple[Amount, ...]


News: TypeAlias = Typed | Kicked | Greeted | Counted | Spent
