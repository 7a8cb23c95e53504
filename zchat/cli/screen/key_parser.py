"""The keys in what a terminal sends, and nothing else of it.

A terminal sends more than keys: answers to what another program has asked (its attributes, its colours), that it has
the focus, where the mouse is, keys in a form that another program has switched on. prompt_toolkit types what it doesn't
know. Here the whole of such a sequence is passed over, however it is divided among reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from zchat.cli.screen.late_paste import PASTE_END, LatePaste, break_off

LONGEST = 1 << 16
"""Characters of a control string at most: what has no end then isn't one."""

SEQUENCE_LONGEST = 64
"""Characters of any other sequence that may be a key."""

ESC = "\x1b"
BEL = "\x07"

STRINGS = frozenset("P]^_X")
"""What begins a control string after ESC: DCS, OSC, PM, APC, SOS. It ends with BEL, or ESC and a backslash."""

SPECIAL = re.compile("[\x1b\x80-\x9f]")
"""ESC, and the characters that stand for it and one more, C1. A byte that is no UTF-8 is none: it may be anything."""

CURSOR = re.compile(r"\x1b\[\d+;\d+R")
"""Where the cursor is: prompt_toolkit asks for that."""

WITH_CODE = re.compile(r"\x1b\[(?:(?P<kitty>\d+)(?:;(?P<held>\d+)(?::[12])?)?u|27;(?P<held2>\d+);(?P<xterm>\d+)~)")
"""A key by its character's code, as terminals send it if another program has left them so, and what is held with it."""

CODES = {9: "\t", 13: "\r", 27: ESC, 127: "\x7f"}
"""Keys that are sent so and are no letters."""

ALT, CTRL = 2, 4
"""What may be held with a key, among others."""


class _At(Enum):
    """Where in a sequence the parser is."""

    GROUND = auto()
    ESCAPE = auto()
    CSI = auto()
    CONSOLE = auto()
    """After CSI [, as the function keys of a Linux console begin."""
    SS3 = auto()
    MOUSE = auto()
    """In the three characters after CSI M."""
    STRING = auto()
    STRING_ESCAPE = auto()


class KeyParser(Vt100Parser):
    """What makes keys of a terminal's characters. One thread.

    Args:
        feed_key_callback: called with each key.
    """

    def __init__(self, feed_key_callback: Callable[[KeyPress], None]) -> None:
        self._at = _At.GROUND
        self._sequence = ""
        """The sequence so far; of a control string nothing is kept."""
        self._count = 0
        """How many characters of a control string, or of a place of the mouse, have come."""
        super().__init__(feed_key_callback)

    @property
    def may_be_key(self) -> bool:
        """Return True if what has come of a sequence may be all of a key: Esc, or a character typed with Alt."""
        return self._at is _At.ESCAPE or (self._at is not _At.GROUND and len(self._sequence) == 2 and not self._count)

    @property
    def begun(self) -> str:
        """Return what has come of a sequence that may be a mark of a paste; "" if none has begun."""
        return self._sequence if self._at in (_At.ESCAPE, _At.CSI) else ""

    @property
    def pasting(self) -> bool:
        """Return True after the begin mark of a paste, up to its end."""
        return self._in_bracketed_paste

    def break_off(self) -> LatePaste:
        """End a paste, whose end mark hasn't come, with what has come of it; return what takes what comes later."""
        self._paste_buffer, late = break_off(self._paste_buffer)
        super().feed(PASTE_END)
        return late

    def feed(self, data: str) -> None:
        """Take characters."""
        position = 0
        while position < len(data):
            if self.pasting:
                super().feed(data[position:])  # what comes after the paste comes here again
                return
            if self._at is _At.GROUND:
                found = SPECIAL.search(data, position)
                end = found.start() if found else len(data)
                super().feed(data[position:end])
                position = end
            if position < len(data):
                self._take(data[position])
                position += 1

    def flush(self) -> None:
        """Take what has come as all there will be: Esc is a key then, and what has begun and isn't one is dropped."""
        at, self._at = self._at, _At.GROUND
        if at is _At.ESCAPE:
            super().feed(ESC)
        super().flush()

    def _take(self, char: str) -> None:
        if SPECIAL.match(char) and char != ESC and self._at is not _At.MOUSE:
            self._at = _At.GROUND
            second = chr(ord(char) - 0x40)
            if second in STRINGS or second in "[O":
                self._escaped(second)
            return
        match self._at:
            case _At.GROUND:
                self._begin(_At.ESCAPE, char)
            case _At.ESCAPE:
                self._escaped(char)
            case _At.CSI if char == "[" and self._sequence == f"{ESC}[":
                self._begin(_At.CONSOLE, self._sequence + char)
            case _At.CSI | _At.SS3 if " " <= char <= "?":
                if len(self._sequence) <= SEQUENCE_LONGEST:
                    self._sequence += char
            case _At.CSI | _At.SS3 | _At.CONSOLE if "@" <= char <= "~":
                self._complete(self._sequence + char)
            case _At.STRING_ESCAPE if char == "\\":
                self._at = _At.GROUND
            case _At.STRING_ESCAPE if char >= " " or char == ESC:  # another sequence
                self._at = _At.ESCAPE
                if char != ESC:
                    self._escaped(char)
            case _At.STRING if char in (ESC, BEL):
                self._at = _At.STRING_ESCAPE if char == ESC else _At.GROUND
            case _At.STRING | _At.MOUSE if char >= " " and (char != "\x7f" or self._at is _At.MOUSE):
                self._count += 1
                if self._count == (3 if self._at is _At.MOUSE else LONGEST):
                    self._at = _At.GROUND
            case _:  # a key, before the sequence was complete
                self._at = _At.GROUND
                self.feed(char)

    def _begin(self, at: _At, sequence: str) -> None:
        self._at, self._sequence, self._count = at, sequence, 0

    def _escaped(self, char: str) -> None:
        """Take the character after ESC."""
        if char == ESC:
            self._press(ESC)
        elif char in STRINGS:
            self._begin(_At.STRING, ESC + char)
        elif char in "[O":
            self._begin(_At.CSI if char == "[" else _At.SS3, ESC + char)
        else:
            self._at = _At.GROUND
            self._press(ESC + char)

    def _complete(self, sequence: str) -> None:
        """Take a sequence, which is a key or none."""
        if sequence == f"{ESC}[M":
            self._begin(_At.MOUSE, sequence)
            return
        self._at = _At.GROUND
        if ANSI_SEQUENCES.get(sequence, Keys.Ignore) != Keys.Ignore or CURSOR.fullmatch(sequence):
            self._press(sequence)
        elif found := WITH_CODE.fullmatch(sequence):
            code, held = found["kitty"] or found["xterm"], found["held"] or found["held2"] or "1"
            self._press(_with_code(int(code), int(held) - 1))

    def _press(self, text: str) -> None:
        super().feed(text)
        super().flush()


def _with_code(code: int, held: int) -> str:
    """Return the characters that stand for a key elsewhere; "" if it has none without more modes of the keyboard."""
    alt = ESC if held & ALT else ""
    if held & CTRL:
        return alt + chr(code & 0x1F) if ord("a") <= code <= ord("z") else ""
    return alt + CODES[code] if code in CODES else ""
