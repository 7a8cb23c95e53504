"""What a client tells the application, one small class a kind; `Event` is any of them, a message too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from zchat.messages import Message


@dataclass(frozen=True, slots=True)
class Gap:
    """Tell that nothing after seq `after` up to seq `upto` can be had; reading goes on behind it."""

    room: str
    after: int
    upto: int
    reason: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Tell that the connection is lost, and why; the client goes on trying until `Reconnected`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """Tell that there is a connection again; every room goes on where it was, or tells of a gap."""


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """Tell that another user has come into a room, with the first of their sessions."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """Tell that another user has left a room, with the last of their sessions."""

    room: str
    user: str


@dataclass(frozen=True, slots=True)
class Typing:
    """Tell that another user has begun to type in a room, or has ended."""

    room: str
    user: str
    active: bool


@dataclass(frozen=True, slots=True)
class ReadMark:
    """Tell how far a user has read a room: up to `seq`. The user may be another session's of one's own."""

    room: str
    user: str
    seq: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Tell the counts of a room that has too many members to name them.

    `members` users are here, `typing` of them type, `caught_up` have read the room to its end.
    """

    room: str
    members: int
    typing: int
    caught_up: int


@dataclass(frozen=True, slots=True)
class Invited:
    """Tell that something was said in the direct room with `user`, which is joined now; the messages follow."""

    room: str
    user: str


Event: TypeAlias = (
    Message | Gap | Disconnected | Reconnected | MemberJoined | MemberLeft | Typing | ReadMark | Crowd | Invited
)
