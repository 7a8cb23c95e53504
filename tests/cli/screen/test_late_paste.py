"""What comes after a paste without its end is pasted, but for keys that nothing else comes with."""

from __future__ import annotations

from random import Random

import pytest
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from zchat.cli.screen.key_parser import KeyParser
from zchat.cli.screen.late_paste import NOT_TEXT, PASTE_BEGIN, PASTE_END, LatePaste, break_off


class Reading:
    """What is read, as `TerminalInput` reads it, with silences that are said instead of waited for."""

    def __init__(self, asked: bool) -> None:
        self.asked = asked
        self.keys: list[KeyPress] = []
        self.parser = KeyParser(self.keys.append)
        self.late: LatePaste | None = None

    def read(self, data: str) -> None:
        """Read what has come."""
        self._feed(data if self.late is None else self.late.take(data, self.asked))

    def be_silent(self) -> None:
        """Have nothing come for long."""
        if self.parser.pasting:
            self.late = self.parser.break_off()
        elif self.late is not None:
            self._feed(self.late.alone())

    def _feed(self, data: str) -> None:
        if data.startswith(PASTE_BEGIN):
            self.late = None
        self.parser.feed(data)


def may_be_key(part: str) -> bool:
    """Return True for what a single key could be."""
    return len(NOT_TEXT.sub("", part)) < 2 and part not in PASTE_END and PASTE_END not in part


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("seed", range(50))
def test_wherever_silences_divide_a_paste_nothing_of_it_is_lost_or_does_anything(seed: int, asked: bool) -> None:
    random = Random(seed)
    for _ in range(40):
        text = "".join(random.choice("ab\t\r\n") for _ in range(random.randrange(30)))
        whole = f"{text}{PASTE_END}"
        reading = Reading(asked)
        reading.read(PASTE_BEGIN)
        at = 0
        while at < len(whole):
            end = random.randrange(at + 1, len(whole) + 1)
            if reading.late is None or not may_be_key(whole[at:end]):
                reading.read(whole[at:end])
                at = end
                if random.random() < 0.5 and not whole[:at].endswith(("\x1b", "\x1b[")):  # Esc, Alt-[
                    reading.be_silent()
        assert "".join(key.data for key in reading.keys) == text
        assert all(key.key == Keys.BracketedPaste or (key.data in "ab" and not asked) for key in reading.keys)
        assert reading.late is None


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "key", ["\r", "\n", "\t", "a", "\x0c", "\x03", "\x7f", "\x1b[A", "\x1bOA", "\x1b\x1b[A", "\x1bx"]
)
def test_a_key_alone_is_typed(key: str, asked: bool) -> None:
    _, late = break_off("one\rtwo\r")
    assert late.take(key, asked) + late.alone() == key
    held_back = "" if not asked and key in "\r\n\ta" else "\r"  # typed on in the line, or not
    assert late.take("more\r", asked) == f"{PASTE_BEGIN}{held_back}more\r"


def test_a_key_that_does_something_and_what_comes_with_it_are_of_the_paste() -> None:
    for asked in (False, True):
        _, late = break_off("one\r\n")
        assert late.take("\r", asked) == ""
        assert late.waits
        assert late.take("x", asked) == f"{PASTE_BEGIN}\r\n\rx"
    _, late = break_off("one")
    assert late.take("typed on", asked=False) == "typed on", "it is the same, typed or pasted"
    assert late.take("x" * 100, asked=False) == f"{PASTE_BEGIN}{'x' * 100}"
    assert late.take("typed on", asked=True) == f"{PASTE_BEGIN}typed on"
    _, late = break_off("one\r")
    assert late.take("typed on", asked=False) == f"{PASTE_BEGIN}\rtyped on", "it is on the next line"


@pytest.mark.parametrize("asked", [False, True])
def test_keys_that_are_no_text_are_typed_however_many_come_at_once(asked: bool) -> None:
    for keys in ("\x1b[A" * 9, "\x7f" * 9, "\x1b]11;rgb:1e1e/1e1e/2e2e\x07\x1b[?62;c", "\x1b[O\x1b[I"):
        _, late = break_off("one\rtwo")
        assert late.take(keys, asked) + late.alone() == keys


def test_another_paste_is_one_of_its_own() -> None:
    another = f"{PASTE_BEGIN}new\r{PASTE_END}"
    for rest, first in (("", ""), ("ccc\r", "\rccc\r"), (f"ccc\r{PASTE_END}", "\rccc\r")):
        reading = Reading(asked=True)
        reading.read(f"{PASTE_BEGIN}aaa\rbbb\r")
        reading.be_silent()
        reading.read(rest + another)
        first = first or "\r"
        assert [key.data for key in reading.keys] == ["aaa\rbbb", first, "new\r"]


def test_the_beginning_of_a_mark_is_taken_for_nothing_else() -> None:
    for at in range(3, len(PASTE_END)):
        _, late = break_off("one")
        assert late.take(PASTE_END[:at], asked=True) == ""
        assert late.alone() == "", "no key begins like that"
        assert late.take("q", asked=True) + late.alone() == "q"
        assert late.take(PASTE_END[:at], asked=True) + late.alone() == ""
        assert late.take(f"{PASTE_END[at:]}q", asked=True) == f"{PASTE_BEGIN}{PASTE_END}q"
        taken, late = break_off(f"one\n{PASTE_END[:at]}")
        assert taken == "one"
        assert late.take(PASTE_END[at:], asked=False) == f"{PASTE_BEGIN}\n{PASTE_END}"
