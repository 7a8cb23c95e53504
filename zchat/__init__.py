"""zchat: rooms for programs and people, over ZeroMQ."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zchat.errors import (
    AddressError,
    BadBlock,
    BadName,
    Busy,
    Closing,
    ConnectionLost,
    DeadlineExceeded,
    Expired,
    Forgotten,
    GapError,
    HandlerFailed,
    LimitReached,
    Malformed,
    MessageTooLarge,
    NoSession,
    NoSuchRoom,
    NotAMember,
    OutcomeUnknown,
    OutOfOrder,
    ProtocolError,
    Refused,
    StoreError,
    StoreFailed,
    Superseded,
    TooManyRequests,
    UsageError,
    VersionRefused,
    ZchatError,
)
from zchat.events import (
    Crowd,
    Disconnected,
    Event,
    Gap,
    Invited,
    MemberJoined,
    MemberLeft,
    ReadMark,
    Reconnected,
    Typing,
)
from zchat.messages import START, GapReason, Member, Message, Position, RoomInfo
from zchat.stats import BusyRoom, Histogram, Stats
from zchat.version import __version__ as __version__

if TYPE_CHECKING:
    from zchat.client.client import Client
    from zchat.client.progress import Progress
    from zchat.client.room import Room

__all__ = [
    "START",
    "AddressError",
    "BadBlock",
    "BadName",
    "Busy",
    "BusyRoom",
    "Client",
    "Closing",
    "ConnectionLost",
    "Crowd",
    "DeadlineExceeded",
    "Disconnected",
    "Event",
    "Expired",
    "Forgotten",
    "Gap",
    "GapError",
    "GapReason",
    "HandlerFailed",
    "Histogram",
    "Invited",
    "LimitReached",
    "Malformed",
    "Member",
    "MemberJoined",
    "MemberLeft",
    "Message",
    "MessageTooLarge",
    "NoSession",
    "NoSuchRoom",
    "NotAMember",
    "OutOfOrder",
    "OutcomeUnknown",
    "Position",
    "Progress",
    "ProtocolError",
    "ReadMark",
    "Reconnected",
    "Refused",
    "Room",
    "RoomInfo",
    "Stats",
    "StoreError",
    "StoreFailed",
    "Superseded",
    "TooManyRequests",
    "Typing",
    "UsageError",
    "VersionRefused",
    "ZchatError",
]

_LATER = {"Client": "zchat.client.client", "Progress": "zchat.client.progress", "Room": "zchat.client.room"}
"""Where the names are that are loaded at their first use: ZeroMQ and the client take longer than all else here."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(import_module(_LATER[name]), name)
    elif name == "client":
        value = import_module("zchat.client")
    else:
        raise AttributeError(f"module 'zchat' has no attribute {name!r}")
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, "client"})
