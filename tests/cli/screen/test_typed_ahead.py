"""What is typed before there is room for it keeps its order; Ctrl-C drops it."""

from __future__ import annotations

import pytest
from prompt_toolkit.key_binding import KeyPress

from zchat.cli.screen import typed_ahead
from zchat.cli.screen.key_parser import KeyParser
from zchat.cli.screen.late_paste import PASTE_BEGIN, PASTE_END
from zchat.cli.screen.typed_ahead import TypedAhead


class Typed:
    """What is typed ahead; `room` lines can be taken."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.ahead = TypedAhead(lambda: self.room)

    def __call__(self, text: str) -> str:
        """Type a text; return what is taken."""
        keys: list[KeyPress] = []
        parser = KeyParser(keys.append)
        parser.feed(text)
        parser.flush()
        return "".join(key.data for key in self.ahead.take(keys))

    def holds(self) -> bool:
        """Return True if something is held."""
        return self.ahead.holds


def test_an_enter_for_which_there_is_no_room_is_held_with_what_comes_after_it() -> None:
    typed = Typed(1)
    assert typed("one\rtwo\rth") == "one\rtwo"
    assert typed.holds()
    typed.room = 0
    assert typed("ree\rfour") == ""
    typed.room = 1
    assert typed("") == "\rthree"
    typed.room = 2
    assert typed("!\r") == "\rfour!\r"
    assert not typed.holds()
    typed.room = 0
    assert typed("a draft") == "a draft"
    assert not typed.holds()


@pytest.mark.parametrize("enter", ["\r", "\n"])
def test_an_enter_without_a_text_or_within_one_takes_no_room(enter: str) -> None:
    typed = Typed(1)
    assert typed(f"{enter}one{enter}{enter}two\x1b{enter}lines") == f"{enter}one{enter}{enter}two\x1b{enter}lines"
    typed.room = 0
    assert typed(f"{enter}three") == ""


def test_ctrl_c_drops_what_is_held_and_is_taken_at_once_and_ctrl_z_drops_nothing() -> None:
    typed = Typed(0)
    assert typed("one\rtwo\x1a\r") == "one\x1a"
    assert typed("three\x03four") == "\x03four"
    assert not typed.holds()
    assert typed("\r") == ""
    assert typed(f"{PASTE_BEGIN}a\x03{PASTE_END}") == "", "in a paste it is no key"
    assert typed.ahead.forget() == "\na\x03"


def test_it_is_full_once_so_many_keys_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_ahead, "KEYS_HELD", 4)
    typed = Typed(0)
    for text, full in (("a long draft", False), ("\rbc", False), ("d", True)):
        typed(text)
        assert typed.ahead.is_full is full
    typed.room = 1
    typed("")
    assert not typed.ahead.is_full


def test_the_text_of_what_is_held_is_known_when_it_is_forgotten() -> None:
    typed = Typed(0)
    typed("one\rtwo\x1b[A\r\x01thr\x7fee")
    assert typed.ahead.forget() == "\ntwo\nthree"
    assert not typed.holds()
    assert typed.ahead.forget() == ""
