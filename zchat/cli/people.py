"""The people around a conversation: who types where, and who came and went, told without disturbing."""

from __future__ import annotations

from collections import deque

from zchat.cli.show import harmless
from zchat.events import Crowd, MemberJoined, MemberLeft, Typing
from zchat.names import fold

COMINGS = 5
"""Comings and goings told within `COMINGS_SECONDS`; what comes beyond is one line: a busy room stays readable."""

COMINGS_SECONDS = 10.0
"""Seconds in which no more of them are told."""

NAMED = 2
"""People who type that are named; of more only the number is told, for which any screen has room."""

NAME_SHOWN = 12
"""Characters of a name beside the line being typed."""


class People:
    """Keep who types in which room, and which comings and goings to tell. The handler's thread; `typing` any."""

    def __init__(self) -> None:
        self._typing: dict[str, dict[str, str]] = {}
        self._crowds: dict[str, int] = {}
        self._told: deque[float] = deque(maxlen=COMINGS)
        self._many = False

    def typed(self, event: Typing | Crowd) -> None:
        """Take note of who types."""
        key = fold(event.room)
        if isinstance(event, Crowd):
            self._crowds[key] = event.typing
            self._typing.pop(key, None)
            return
        self._crowds.pop(key, None)
        now = dict(self._typing.get(key, {}))
        if event.active:
            now[fold(event.user)] = event.user
        else:
            now.pop(fold(event.user), None)
        self._typing[key] = now  # whole at once: another thread reads it

    def typing(self, room: str) -> str:
        """Say in a few words who types in a room; nothing if nobody does. Any thread."""
        names = list(self._typing.get(fold(room), {}).values())
        number = len(names) or self._crowds.get(fold(room), 0)
        if not number:
            return ""
        if not 0 < len(names) <= NAMED:
            return f"{number} are typing"
        shown = " and ".join(
            name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…" for name in map(harmless, names)
        )
        return f"{shown} {'is' if number == 1 else 'are'} typing"

    def came_or_went(self, event: MemberJoined | MemberLeft, now: float) -> str | None:
        """Return what to tell of a coming or going at `now`, in seconds; None if there have been too many."""
        if len(self._told) == COMINGS and now - self._told[0] < COMINGS_SECONDS:
            many, self._many = self._many, True
            return None if many else "more people come and go; /members tells who is here"
        self._many = False
        self._told.append(now)
        return f"{event.user} {'came to' if isinstance(event, MemberJoined) else 'left'} {event.room}"
