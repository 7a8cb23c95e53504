"""The events that an application receives, one small class for each kind; `Event` is any of them or a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from zchat.messages import Message


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages after seq `after` up to seq `upto` that are not available; reading continues after `upto`."""

    room: str
    after: int
    upto: int
    reason: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A lost connection, and why; the client keeps trying until `Reconnected`.

    A second one says why no other is made, if a broker is there whose door stays shut: it has other keys now, or none.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A restored connection; every room continues where it was, or with a gap."""


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """Another user who joined a room, with the first of their sessions."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """Another user who left a room, with the last of their sessions."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class Typing:
    """Another user who started or stopped typing in a room."""

    room: str
    user: str
    active: bool


@dataclass(frozen=True, slots=True)
class ReadMark:
    """How far a user has read a room: up to `seq`. It may be the client's own user, in another session."""

    room: str
    user: str
    seq: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """The counts of a room that has too many members for names."""

    room: str
    members: int
    """Users in the room."""
    typing: int
    """How many of them are typing."""
    caught_up: int
    """How many of them have read the room to its end."""


@dataclass(frozen=True, slots=True)
class Invited:
    """A direct room that was joined because `user` wrote there; the messages follow."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A room that has ended for this client, which joins it again only when it is asked to."""

    room: str
    reason: str
    """Why, in the moderator's words, "" for none; in the broker's if nobody did it."""
    by: str
    """The moderator; "" for nobody: the rules have changed, or the room could not be joined again."""
    until: float | None
    """Until when it can't be joined, in seconds since 1970; None: not by itself, or (`kicked`) it can be at once."""
    code: str
    """The protocol's word: `kicked`, `banned`, `not_allowed`, or that of the refusal to have the room joined again."""


Event: TypeAlias = (
    Message
    | Gap
    | Disconnected
    | Reconnected
    | MemberJoined
    | MemberLeft
    | Typing
    | ReadMark
    | Crowd
    | Invited
    | Removed
)
