"""zchat: rooms for programs and people, over ZeroMQ."""

from __future__ import annotations

from importlib import import_module

from zchat.version import __version__ as __version__

TYPE_CHECKING = False  # to load typing takes longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from zchat.aio.client import AsyncClient
    from zchat.aio.room import AsyncRoom
    from zchat.client.client import Client
    from zchat.client.room import Room
    from zchat.errors import (
        AddressError,
        BadAudit,
        BadBlock,
        BadKey,
        BadName,
        BadRules,
        Banned,
        Busy,
        Closing,
        ConnectionLost,
        DeadlineExceeded,
        Expired,
        Forgotten,
        GapError,
        HandlerFailed,
        KeyNeeded,
        KeyRefused,
        KeyRemoved,
        Kicked,
        LimitReached,
        Malformed,
        MessageTooLarge,
        Muted,
        NoKeysThere,
        NoSession,
        NoSuchRoom,
        NotAllowed,
        NotAMember,
        NotLetIn,
        OutcomeUnknown,
        OutOfOrder,
        ProtocolError,
        Refused,
        RoomClosed,
        ServerKeyWrong,
        StoreError,
        StoreFailed,
        Superseded,
        TooManyRequests,
        UsageError,
        VersionRefused,
        WrongName,
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
        Removed,
        Typing,
    )
    from zchat.messages import START, Batch, GapReason, Member, Message, Position, RoomInfo, Sanction
    from zchat.protocol.faces.progress import Progress
    from zchat.stats import BrokerStats, BusyRoom, Histogram, OverallStats, Stats
    from zchat.transport.keys import Key

__all__ = [
    "START",
    "AddressError",
    "AsyncClient",
    "AsyncRoom",
    "BadAudit",
    "BadBlock",
    "BadKey",
    "BadName",
    "BadRules",
    "Banned",
    "Batch",
    "BrokerStats",
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
    "Key",
    "KeyNeeded",
    "KeyRefused",
    "KeyRemoved",
    "Kicked",
    "LimitReached",
    "Malformed",
    "Member",
    "MemberJoined",
    "MemberLeft",
    "Message",
    "MessageTooLarge",
    "Muted",
    "NoKeysThere",
    "NoSession",
    "NoSuchRoom",
    "NotAMember",
    "NotAllowed",
    "NotLetIn",
    "OutOfOrder",
    "OutcomeUnknown",
    "OverallStats",
    "Position",
    "Progress",
    "ProtocolError",
    "ReadMark",
    "Reconnected",
    "Refused",
    "Removed",
    "Room",
    "RoomClosed",
    "RoomInfo",
    "Sanction",
    "ServerKeyWrong",
    "Stats",
    "StoreError",
    "StoreFailed",
    "Superseded",
    "TooManyRequests",
    "Typing",
    "UsageError",
    "VersionRefused",
    "WrongName",
    "ZchatError",
]

_HOMES = ["errors", "events", "messages", "stats", "client.client", "client.room"]
_HOMES += ["protocol.faces.progress", "transport.keys", "aio.client", "aio.room"]  # asyncio comes last, if asked for
"""Where the names are, which are loaded at their first use: the command has its handlers of signals before."""

_MODULES = ("client", "errors", "events", "messages", "stats")
"""Modules that `import zchat` makes available too."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"zchat.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'zchat' has no attribute {name!r}")
    homes = (vars(_module(home)) for home in _HOMES)
    value = globals()[name] = next(home[name] for home in homes if name in home)
    return value


def _module(path: str) -> Any:
    """Return a module of the package: the one that is loaded, as at the interpreter's end nothing can be imported."""
    first, *others = path.split(".")
    found = globals().get(first)
    for each in others:
        found = getattr(found, each, None)
    return import_module(f"zchat.{path}") if found is None else found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
