"""What comes after a paste that was taken as complete without its end mark: the rest of it, or keys.

A terminal marks where a paste begins and ends, and what comes between is pasted. But the end mark may be lost, or late:
the user's keys can't wait for it. What comes without it is told apart by what nobody types: several characters at once,
with a line break among them; or any, while a question about the paste is open, at which text is no answer.
"""

from __future__ import annotations

import re

PASTE_BEGIN = "\x1b[200~"
PASTE_END = "\x1b[201~"

TYPED = 64
"""Characters at once that may be typed, if none of them does anything: to paste more is faster."""

NOT_TEXT = re.compile(
    r"\x1b+(?:[P\]^_X][\s\S]*?(?:\x07|\x1b\\|\Z)|\[[0-?]*[ -/]*[@-~]?|O?[\s\S]?)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
"""What is no part of a text: what a terminal sends from ESC on, control characters but line breaks and tabs."""

DOES_SOMETHING = re.compile(r"[\t\r\n]")
"""What is text in a paste, and typed does something else than to insert itself."""

MARK_BEGUN = re.compile(r"\x1b(?:\[(?:2(?:0[01]?)?)?)?\Z")
"""The beginning of a mark, at the end of what has come."""

NO_KEY = re.compile(r"\x1b\[2(?:0[01]?)?\Z")
"""The same, if it is no key either."""


def break_off(text: str) -> tuple[str, LatePaste]:
    """Return what is taken of a paste, of which a text has come, and what takes what comes later.

    Line breaks at its end are held back, and the beginning of its end mark: what they are depends on what follows.
    """
    taken = MARK_BEGUN.sub("", text).rstrip("\r\n")
    return taken, LatePaste(text[len(taken) :])


class LatePaste:
    """Tells what comes after a paste without an end: the rest of it, or keys. One thread.

    `held_back`: what was held back of the paste.
    """

    def __init__(self, held_back: str) -> None:
        self._held_back = held_back
        self._gathered = ""
        self._asked = False

    @property
    def waits(self) -> bool:
        """Return True if it depends on what follows at once what has come."""
        return bool(self._gathered)

    def take(self, data: str, asked: bool) -> str:
        """Return what the parser of keys is to be fed with: keys, or what is pasted, with marks; "" if it waits.

        `asked`: whether a question about the paste is open, at which no text is an answer.
        """
        late = self._gathered + data
        whole = self._held_back + late
        text = NOT_TEXT.sub("", late)
        begin, end = whole.find(PASTE_BEGIN), whole.find(PASTE_END)
        if begin >= 0 and not 0 <= end < begin:  # another paste: this one's end is lost
            rest = whole[:begin] and f"{PASTE_BEGIN}{whole[:begin]}{PASTE_END}"
            return rest + whole[begin:]
        does = asked or (text and DOES_SOMETHING.search(self._held_back + text))
        if end >= 0 or len(text) > (1 if does else TYPED):
            return PASTE_BEGIN + whole
        self._gathered, self._asked = late, asked
        return "" if does or MARK_BEGUN.search(whole) else self.alone()

    def alone(self) -> str:
        """Return what has come, after which nothing else has: keys."""
        whole = self._held_back + self._gathered
        begun = NO_KEY.search(whole)
        end = begun.start() if begun else len(whole)
        keys = whole[len(self._held_back) : end]
        typed_on = not self._asked and NOT_TEXT.sub("", keys)  # after what was pasted, where no line breaks are then
        self._held_back = ("" if typed_on else MARK_BEGUN.sub("", self._held_back)) + whole[end:]
        self._gathered = ""
        return keys
