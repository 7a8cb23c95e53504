"""Who comes, goes and types in the rooms one is in, told so that it disturbs nobody."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Timer

from zchat.cli.text.columns import cells
from zchat.cli.text.safe import harmless_name
from zchat.events import Crowd, Event, MemberJoined, MemberLeft, Typing
from zchat.names import DIRECT, fold

GATHER_SECONDS = 1.0
"""Seconds for which comings and goings are gathered to one line: who is only there to say something is not told."""

NAMED = 3
"""People named in a line; of more the first ones, and how many others."""

TYPING_CELLS = 24
"""Columns for who is typing: more than half of a narrow terminal stays for the rest of the status line."""


class Presence:
    """Tell of the others: `tell` is called with each line, `changed` when who types may have changed.

    `quiet`: tell nothing. Any thread may call; both functions are called in several.
    """

    def __init__(self, tell: Callable[[str], None], *, quiet: bool = False) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._tell = tell
        self._quiet = quiet
        self._lock = Lock()
        self._telling = Lock()
        self._moved: dict[str, dict[str, tuple[str, bool]]] = {}  # by room: who has come (True) or gone; none empty
        self._typing: dict[str, dict[str, str]] = {}
        self._crowds: dict[str, Crowd] = {}
        self._timer: Timer | None = None
        self._ended = False

    def take(self, event: Event) -> None:
        """Take an event of a room's state; others are nothing to it."""
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
                self.changed()
            case Crowd(room, members):
                with self._lock:
                    known = self._crowds.get(fold(room))
                    self._crowds[fold(room)] = event
                if known is None:
                    self._tell(f"{room} is a crowd of {members}: who comes and goes isn't told, /members lists them")
                self.changed()

    def forget(self, room: str) -> None:
        """Forget a room that was left."""
        with self._lock:
            self._moved.pop(room, None)
            self._typing.pop(fold(room), None)
            self._crowds.pop(fold(room), None)

    def typing(self, room: str) -> str:
        """Return who is typing in a room, in few words; "" if nobody is."""
        with self._lock:
            crowd = self._crowds.get(fold(room))
            names = [harmless_name(name) for name in self._typing.get(fold(room), {}).values()]
        count = crowd.typing if crowd else len(names)
        if not count:
            return ""
        text = f"{_listed(names)} {'is' if count == 1 else 'are'} typing"
        if crowd is None and cells(text) <= TYPING_CELLS:
            return text
        return "somebody is typing" if count == 1 else f"{count} people are typing"

    def end(self) -> None:
        """Tell nothing more; once it returns nothing is being told."""
        with self._lock:
            self._ended = True
            if self._timer is not None:
                self._timer.cancel()
        with self._telling:
            pass

    def _move(self, room: str, user: str, *, came: bool) -> None:
        if room.startswith(DIRECT):  # who writes there is there
            return
        with self._lock:
            self._crowds.pop(fold(room), None)  # there are names again
            moved = self._moved.setdefault(room, {})
            before = moved.pop(fold(user), None)
            if before is None or before[1] == came:  # else he is where he was
                moved[fold(user)] = user, came
            elif not moved:
                del self._moved[room]
            if not self._moved and self._timer is not None:  # or who comes next would be told of too soon
                self._timer.cancel()
                self._timer = None
            elif self._moved and self._timer is None and not self._ended:
                self._timer = Timer(GATHER_SECONDS, self._tell_gathered)
                self._timer.daemon = True
                self._timer.start()

    def _tell_gathered(self) -> None:
        with self._telling:
            with self._lock:
                moved, self._moved = self._moved, {}
                self._timer = None
                if self._ended:
                    return
            for room, users in moved.items():
                for came, what in ((True, "came to"), (False, "left")):
                    names = [harmless_name(user) for user, has_come in users.values() if has_come == came]
                    if names:
                        self._tell(f"{_listed(names)} {what} {room}")


def _listed(names: list[str]) -> str:
    """Return names as a text has them, three at most."""
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
