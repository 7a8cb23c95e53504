"""The keys in what a terminal sends: whatever else it sends is no key, and whatever never ends takes no key away."""

from __future__ import annotations

from random import Random

import pytest
from prompt_toolkit.key_binding import KeyPress

from zchat.cli.screen.key_parser import LONGEST, KeyParser

WITHOUT_END = ["\x1b[200", "\x1b]0;title"]

ANSWERS = [
    *("\x1b[?62;22c", "\x1b[>41;354;0c", "\x1bP!|00000000\x1b\\"),  # which terminal it is
    *("\x1bP1+r544e=787465726d\x1b\\", "\x1bP0+r\x1b\\", "\x1bP1$r0m\x1b\\", "\x1bP>|XTerm(354)\x1b\\"),
    *("\x1b]11;rgb:1e1e/1e1e/2e2e\x07", "\x1b]10;rgb:ff/ff/ff\x1b\\", "\x1b]52;c;aGVsbG8=\x07", "\x1b]4;1;?\x9c"),
    *("\x1b[I", "\x1b[O", "\x1b[?1;2R", "\x1b[?2026;2$y", "\x1b[8;24;80t", "\x1b[0n"),
    *("\x1b[?1u", "\x1b[27;5;65~", "\x1b[97;5:3u", "\x1b[57441;2u", "\x1b[97;;229u"),
    *("\x1b[<35;20;10M", "\x1b[<0;20;10m", "\x1b[M !!", "\x1b[M#\x7f\ufffd", "\x1b[M#\ufffd\ufffd", "\x1b[32;4;5M"),
    *("\x1b_Gi=31;OK\x1b\\", "\x1b^privacy\x1b\\", "\x1bXstring\x1b\\", "\x1bO5Q"),
    *("\x9b?62;c", "\x90>|x\x9c", "\x85", "\x9c", "\x1b[1;2;3;4;5;6 q", f"\x1b[{'1;' * 50}R"),
]
"""What terminals send that is no key."""

KEYS = {
    **{text: [text] for text in ("a", "Z", "9", "[", "\\", "ß", "日", "\r", "\x03", "\t", "\x7f")},
    **{
        text: [text]
        for text in ("\x1b[A", "\x1bOD", "\x1b[3~", "\x1b[1;5C", "\x1b[15~", "\x1b[[B", "\x1b[Z", "\x1b[5;7R")
    },
    "\x1ba": ["\x1b", "a"],
    "\x1b\r": ["\x1b", "\r"],
    "\x1b[99;5u": ["\x03"],
    "\x1b[27;5;99~": ["\x03"],
    "\x1b[13u": ["\r"],
    "\x1b[13;3u": ["\x1b", "\r"],
    "\x1b[127;129u": ["\x7f"],
    "\x1b[200~pasted \x1b]11;?\x07\x1b[201~": ["pasted \x1b]11;?\x07"],
}
"""What is a key, with what it is to the program."""


class Typed:
    """A parser, and the keys that it has found."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.parser = KeyParser(self._add)

    def _add(self, key: KeyPress) -> None:
        self.found.append(key.data)

    def take(self) -> list[str]:
        """Return what was found since the last time."""
        found, self.found = [each for each in self.found if each], []
        return found


@pytest.mark.parametrize("answer", ANSWERS + WITHOUT_END, ids=repr)
def test_no_answer_of_a_terminal_is_typed_and_the_key_after_it_is_one(answer: str) -> None:
    typed = Typed()
    typed.parser.feed(answer)
    assert typed.take() == []
    typed.parser.flush()
    assert typed.take() == []
    typed.parser.feed("x\x1b[A")
    assert typed.take() == ["x", "\x1b[A"]


@pytest.mark.parametrize("keys", KEYS, ids=repr)
def test_what_is_a_key_is_one(keys: str) -> None:
    typed = Typed()
    typed.parser.feed(keys)
    assert typed.take() == KEYS[keys]


@pytest.mark.parametrize("seed", range(10))
def test_wherever_reads_divide_it_answers_are_passed_over_and_keys_are_keys(seed: int) -> None:
    random = Random(seed)
    typed, whole, expected = Typed(), "", []
    for _ in range(200):
        if random.random() < 0.5:
            whole += random.choice(ANSWERS)
        else:
            keys = random.choice(list(KEYS))
            whole += keys
            expected += KEYS[keys]
    while whole:
        count = random.choice([1, 1, 2, 3, 10, 100])
        typed.parser.feed(whole[:count])
        whole = whole[count:]
    assert typed.take() == expected


@pytest.mark.parametrize("end", ["silence", "\r", "\x03", "\x04"], ids=repr)
def test_wherever_an_answer_breaks_off_silence_and_control_characters_end_it(end: str) -> None:
    typed = Typed()
    for answer in ANSWERS:
        for count in range(2, len(answer)):
            if answer[:count].startswith("\x1b[M"):
                continue
            typed.parser.feed(answer[:count])
            if end == "silence":
                typed.parser.flush()
            else:
                typed.parser.feed(end)
                assert typed.take() == [end], repr(answer[:count])
            typed.parser.feed("x")
            assert typed.take() == ["x"], repr(answer[:count])


def test_a_string_without_an_end_is_over_once_it_is_longer_than_any() -> None:
    typed = Typed()
    typed.parser.feed("\x1b]52;c;" + "x" * (LONGEST - len("52;c;")))
    assert typed.take() == []
    typed.parser.feed("yes")
    assert typed.take() == ["y", "e", "s"]


def test_escape_is_a_key_once_nothing_follows() -> None:
    typed = Typed()
    typed.parser.feed("\x1b")
    may_be = [typed.parser.may_be_key]
    assert typed.take() == []
    typed.parser.flush()
    assert [*may_be, typed.parser.may_be_key] == [True, False]
    assert typed.take() == ["\x1b"]
    typed.parser.feed("\x1b\x1b[A\x1b\x1b")
    typed.parser.flush()
    assert typed.take() == ["\x1b", "\x1b[A", "\x1b", "\x1b"]


@pytest.mark.parametrize(
    ("begun", "expected"), [("\x1bP", True), ("\x1b[", True), ("\x1b]1", False), ("\x1b[1", False)]
)
def test_a_sequence_that_has_no_more_than_begun_may_be_a_key_with_alt(begun: str, expected: bool) -> None:
    typed = Typed()
    typed.parser.feed(begun)
    assert typed.parser.may_be_key is expected
