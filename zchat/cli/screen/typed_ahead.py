"""The keys that have come before what they are for has room: they keep their order, and none is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

KEYS_HELD = 100_000
"""Keys that are held before the terminal is read no more, and holds its sender up: some thousand lines."""

ENTERS = (Keys.ControlM, Keys.ControlJ)
"""Enter, and the line break that some programs type in place of it."""


class TypedAhead:
    """The keys of a terminal on which more is typed than can be taken. The event loop's thread.

    An Enter for which there is no room is held, and whatever comes after it. Ctrl-C discards what is held, as the
    system does with what was typed ahead, and is taken at once; so is Ctrl-Z, which discards nothing.

    `room`: returns how many lines can be taken now; called before keys are, each time.
    """

    def __init__(self, room: Callable[[], float]) -> None:
        self._room = room
        self._held: deque[KeyPress] = deque()
        self._before: Keys | str = Keys.ControlM
        """The key that was taken last; before the first it is as after an Enter, without a text."""

    @property
    def holds(self) -> bool:
        """Return True if keys are held."""
        return bool(self._held)

    @property
    def is_full(self) -> bool:
        """Return True if the terminal isn't to be read for a while."""
        return len(self._held) >= KEYS_HELD

    def take(self, keys: Iterable[KeyPress]) -> list[KeyPress]:
        """Return the keys that can be taken, of those that are held and of `keys`, which have come after them."""
        taken: list[KeyPress] = []
        lines = self._room()

        def fits(key: KeyPress) -> bool:
            return lines > 0 or not self._ends_line(key)

        def take(key: KeyPress) -> None:
            nonlocal lines
            lines -= self._ends_line(key)
            self._before = key.key
            taken.append(key)

        while self._held and fits(self._held[0]):
            take(self._held.popleft())
        for key in keys:
            if key.key == Keys.ControlC:
                self._held.clear()
            if key.key == Keys.ControlZ and self._held:
                taken.append(key)
            elif self._held or not fits(key):
                self._held.append(key)
            else:
                take(key)
        return taken

    def forget(self) -> str:
        """Return the text of what is held, and forget it."""
        held, self._held = self._held, deque()
        return "".join("\n" if key.key in ENTERS else key.data for key in held if _is_text(key))

    def _ends_line(self, key: KeyPress) -> bool:
        """Return True for an Enter after a text; one after Esc, Alt-Enter, is part of it."""
        return key.key in ENTERS and self._before not in (*ENTERS, Keys.Escape)


def _is_text(key: KeyPress) -> bool:
    return not isinstance(key.key, Keys) or key.key in (*ENTERS, Keys.BracketedPaste)
