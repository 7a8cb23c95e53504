"""Who comes, goes and types in the rooms of a chat, shown without disturbing the reader."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock, Timer

from zchat.cli.text.columns import cells
from zchat.cli.text.phrases import listed
from zchat.cli.text.safe import named
from zchat.events import Crowd, Event, MemberJoined, MemberLeft, Typing
from zchat.names import DIRECT, fold

GATHER_SECONDS = 1.0
"""Seconds of arrivals and departures that make one line: a user who only comes to send a message is not shown."""

SPOKEN_SECONDS = 3.0
"""Seconds for which a user who spoke is known to be here: the news of a join may come after the words."""

SPEAKERS = 100
"""Users kept who spoke last: more than join within `GATHER_SECONDS` and speak at once."""

TYPING_CELLS = 24
"""Columns for who is typing: more than half of a narrow terminal stays for the rest of the status line."""


class Presence:
    """The other users in the rooms of a chat. Any thread.

    Args:
        show: called with each line to show, in several threads.
        changed: called, in several threads, when who is typing may have changed.
        shows: returns True if a room is shown: of others nothing is said.
        quiet: True to show nothing.
    """

    def __init__(
        self,
        show: Callable[[str], None],
        changed: Callable[[], None],
        shows: Callable[[str], bool],
        *,
        quiet: bool = False,
    ) -> None:
        self._show = show
        self._changed = changed
        self._shows = shows
        self._spoke: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When those who spoke last did so, by folded room and name."""
        self._quiet = quiet
        self._lock = Lock()
        self._showing = Lock()
        """Held while a timer shows lines."""
        self._moves: dict[str, dict[str, tuple[str, bool]]] = {}
        """By room and folded name: the users who came (True) or left since the last lines. No room is empty."""
        self._typing: dict[str, dict[str, str]] = {}
        """By room and folded name: the users who are typing."""
        self._crowds: dict[str, Crowd] = {}
        """The counts of rooms that report no names."""
        self._timer: Timer | None = None
        self._ended = False

    def take(self, event: Event) -> None:
        """Take an event of a room's state; others are ignored."""
        if self._quiet:
            return
        match event:
            case MemberJoined(room, user):
                self._move(room, user, came=True)
            case MemberLeft(room, user):
                self._move(room, user, came=False)
            case Typing(room, user, active):
                with self._lock:
                    typing = self._typing.setdefault(fold(room), {})
                    if active:
                        self._crowds.pop(fold(room), None)  # there are names again
                        typing[fold(user)] = user
                    else:
                        typing.pop(fold(user), None)
                self._changed()
            case Crowd(room, members):
                with self._lock:
                    known = self._crowds.get(fold(room))
                    self._crowds[fold(room)] = event
                if known is None and self._shows(room):
                    self._show(
                        f"{named(room)} has {members:,} members: "
                        "arrivals and departures are hidden; /members lists them"
                    )
                self._changed()

    def spoke(self, room: str, user: str) -> None:
        """Record that a user's message is being shown: that the user joined need not be said after it."""
        if self._quiet:
            return
        key = fold(room), fold(user)
        with self._lock:
            self._spoke[key] = time.monotonic()
            self._spoke.move_to_end(key)
            if len(self._spoke) > SPEAKERS:
                self._spoke.popitem(last=False)

    def forget(self, room: str) -> None:
        """Forget a room that the user left."""
        with self._lock:
            self._moves.pop(room, None)
            self._typing.pop(fold(room), None)
            self._crowds.pop(fold(room), None)

    def typing(self, room: str) -> str:
        """Return a few words that say who is typing in a room; "" if nobody is."""
        with self._lock:
            crowd = self._crowds.get(fold(room))
            names = [named(name) for name in self._typing.get(fold(room), {}).values()]
        count = crowd.typing if crowd else len(names)
        if not count:
            return ""
        text = f"{listed(names)} {'is' if count == 1 else 'are'} typing"
        if crowd is None and cells(text) <= TYPING_CELLS:
            return text
        return "someone is typing" if count == 1 else f"{count:,} people are typing"

    def end(self) -> None:
        """Show nothing more; nothing is being shown once this returns."""
        with self._lock:
            self._ended = True
            if self._timer is not None:
                self._timer.cancel()
        with self._showing:
            pass

    def _move(self, room: str, user: str, *, came: bool) -> None:
        if room.startswith(DIRECT):  # a message there says as much
            return
        with self._lock:
            self._crowds.pop(fold(room), None)  # there are names again
            moves = self._moves.setdefault(room, {})
            before = moves.pop(fold(user), None)
            if before is None or before[1] == came:  # else the two cancel out
                moves[fold(user)] = user, came
            elif not moves:
                del self._moves[room]
            if not self._moves and self._timer is not None:  # or the next move would be shown too soon
                self._timer.cancel()
                self._timer = None
            elif self._moves and self._timer is None and not self._ended:
                self._timer = Timer(GATHER_SECONDS, self._show_moves)
                self._timer.daemon = True
                try:
                    self._timer.start()
                except RuntimeError:  # the system has no thread for it: the next move shows this one too
                    self._timer = None

    def _show_moves(self) -> None:
        with self._showing:
            with self._lock:
                moves, self._moves = self._moves, {}
                self._timer = None
                if self._ended:
                    return
            latest = time.monotonic() - SPOKEN_SECONDS
            for room, users in moves.items():
                if not self._shows(room):
                    continue
                for came, what in ((True, "joined"), (False, "left")):
                    names = [
                        named(user)
                        for key, (user, has_come) in users.items()
                        if has_come == came and not (came and self._spoke.get((fold(room), key), 0.0) >= latest)
                    ]
                    if names:
                        self._show(f"{listed(names)} {what} {named(room)}")
