from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.promises.replay.log import (
    SERVER,
    Act,
    Come,
    Go,
    Join,
    Leave,
    Line,
    Rename,
    Say,
    Step,
    acts,
    steps,
    stretches,
    user_of,
)
from zchat.names import MAX_CHARACTERS, check_name

OTHER_BREAKS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` splits at, beside the one that ends a log's line."""


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[11:12] <Amaranth> a <b> c ", Line("Amaranth", "a <b> c ")),
        ("[11:12] <opteron>", Line("opteron", "")),
        ("[11:12] <brad[] > hm", Line("brad[] ", "hm")),
        (f"[11:12] <a> one{OTHER_BREAKS}two", Line("a", f"one{OTHER_BREAKS}two")),
        ("[11:12]  * Amaranth waves", Line("Amaranth", "* waves")),
        ("=== tuxx  has joined #ubuntu", Join("tuxx")),
        ("=== [noobuntu]   has joined #ubuntu", Join("[noobuntu] ")),
        ('=== topyli  has left #Ubuntu ["Leaving"]', Leave("topyli")),
        ("=== usual is now known as ubuntor", Rename("usual", "ubuntor")),
        ("=== [JAPS] ph1L is now known as ph1L", Rename("[JAPS] ph1L", "ph1L")),
        ("=== |trey| has to go to school", Line("|trey|", "* has to go to school")),
        ("=== mode/#ubuntu  by Seveas", Line(None, "mode/#ubuntu  by Seveas")),
    ],
)
def test_a_line_of_the_log_is_one_step(line: str, step: Step) -> None:
    assert list(steps(line + "\n")) == [step]


@pytest.mark.parametrize("line", ["", "hello", "11:12 <a> b", "==="])
def test_a_line_that_no_log_has_is_reported(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(steps(f"[11:12] <a> b\n{line}\n"))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("[11:12] <a> 1\n[11:12] <A> 2", [Come("a"), Say("a", "1"), Say("a", "2"), Go("a")]),
        ("=== a  has joined #u\n=== A  has joined #u", [Come("a"), Go("a"), Come("A"), Go("A")]),
        ("=== a  has left #u []", []),
        ("=== a is now known as b", [Come("b"), Go("b")]),
        ("[11:12] <a> 1\n=== a is now known as A", [Come("a"), Say("a", "1"), Go("a"), Come("A"), Go("A")]),
        (
            "=== a  has joined #u\n=== b  has joined #u\n=== a is now known as b",
            [Come("a"), Come("b"), Go("a"), Go("b"), Come("b"), Go("b")],
        ),
        ("=== mode/#u  by a", [Come(SERVER), Say(SERVER, "mode/#u  by a"), Go(SERVER)]),
    ],
)
def test_each_who_acts_is_in_the_room_once(log: str, expected: list[Act]) -> None:
    assert list(acts(log)) == expected


def test_who_comes_or_goes_within_a_stretch_does_so_together_and_all_is_said_in_its_order() -> None:
    script: list[Act] = [
        *(Come("a"), Say("a", "1"), Come("b"), Go("a"), Come("A"), Say("A", "2"), Say("b", "3")),
        *(Go("b"), Say("A", "4"), Come("c"), Go("A"), Go("c")),
    ]
    assert list(stretches(script, 7)) == [
        ([Come("a"), Come("b")], [Say("a", "1"), Go("a"), Come("A"), Say("A", "2"), Say("b", "3")], []),
        ([Come("c")], [Say("A", "4")], [Go("b"), Go("A"), Go("c")]),
    ]


def test_a_stretch_of_one_act_is_that_act() -> None:
    script: list[Act] = [Come("a"), Say("a", "1"), Go("a")]
    assert [[*come, *acts, *go] for come, acts, go in stretches(script, 1)] == [[act] for act in script]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16))
def test_any_nick_becomes_a_name_that_tells_the_nick(nick: str) -> None:
    user = user_of(nick)
    assert unquote(user) == nick
    if len(user) <= MAX_CHARACTERS:
        assert check_name("user", user) == user
