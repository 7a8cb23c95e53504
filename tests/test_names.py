"""The rules for names: what the vectors say, and what holds for any name."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.load import vectors
from zchat.errors import BadName, Malformed
from zchat.names import (
    IGNORABLE,
    MAX_CHARACTERS,
    _script,
    check_held_name,
    check_name,
    check_reason,
    direct_name,
    direct_users,
    fold,
)

NAMES = vectors("names")

SCRIPTS = Path("/usr/share/unicode/Scripts.txt")


def ids(entry: dict[str, Any]) -> str:
    return str(entry["name"])


@pytest.mark.parametrize("entry", NAMES, ids=ids)
def test_the_bytes_of_a_vector_are_its_text(entry: dict[str, Any]) -> None:
    assert bytes.fromhex(entry["hex"]).decode("utf-8", "surrogatepass") == entry["text"]


@pytest.mark.parametrize("kind", ["room", "user"])
@pytest.mark.parametrize("entry", [entry for entry in NAMES if entry["good"]], ids=ids)
def test_a_name_that_keeps_the_rules_is_returned_as_it_is(entry: dict[str, Any], kind: str) -> None:
    assert check_held_name(kind, entry["text"]) == entry["text"]
    if entry.get("new", True):
        assert check_name(kind, entry["text"]) == entry["text"]


@pytest.mark.parametrize("kind", ["room", "user"])
@pytest.mark.parametrize("entry", [entry for entry in NAMES if not entry.get("new", True)], ids=ids)
def test_a_new_name_that_can_pass_for_another_is_refused_and_a_held_one_stays_valid(
    entry: dict[str, Any], kind: str
) -> None:
    assert check_held_name(kind, entry["text"]) == entry["text"]
    with pytest.raises(BadName) as caught:
        check_name(kind, entry["text"])
    assert str(caught.value).isascii()
    assert f"{kind} name" in str(caught.value)


def test_letters_that_python_has_no_names_of_are_letters_all_the_same() -> None:
    assert check_name("user", "\U00017000") == "\U00017000"


@pytest.mark.skipif(not SCRIPTS.exists(), reason="needs Unicode's Scripts.txt")
def test_letters_marks_and_digits_have_the_scripts_that_unicode_gives_them() -> None:
    """One letter of each script shows which word stands for it; all others of the script have the same."""
    ours: dict[str, set[str]] = {}
    free = set()
    for line in SCRIPTS.read_text("utf-8").splitlines():
        if not (found := re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))? *; (\w+)", line)):
            continue
        for code in range(int(found[1], 16), int(found[2] or found[1], 16) + 1):
            kind = unicodedata.category(character := chr(code))
            if kind[0] not in "LMN" or kind in ("Me", "No") or not unicodedata.is_normalized("NFKC", character):
                continue
            if found[3] in ("Common", "Inherited"):
                free.add(_script(character))
            else:
                ours.setdefault(found[3], set()).add(_script(character))
    several = {script: words - {""} for script, words in ours.items() if len(words - {""}) > 1}
    assert several == {"Han": {"CJK", "KANA", "OLD CHINESE"}}  # iteration marks
    words = [word for script in ours.values() for word in script - {""}]
    assert sorted(word for word in set(words) if words.count(word) > 1) == ["INSCRIPTIONAL", "KANA", "MEROITIC"]
    assert free - {""} <= {"ARABIC", "CJK", "COPTIC", "CYRILLIC", "DEVANAGARI", "GREEK", "JAVANESE", "KANA", "MUSICAL"}


def test_whatever_can_be_ignored_is_refused_in_a_new_name_but_a_selector_after_an_emoji_that_takes_it() -> None:
    selectors = []
    for code in range(0x110000):
        if re.match(f"[{IGNORABLE}]", character := chr(code)):
            for before in ("a", "\U0001f642", "1", "❤", "葛"):
                try:
                    check_name("user", f"{before}{character}")
                except BadName:
                    continue
                selectors.append((before, character))
    assert selectors == [("❤", "\ufe0e"), ("❤", "\ufe0f")]


@pytest.mark.parametrize("kind", ["room", "user"])
@pytest.mark.parametrize("entry", [entry for entry in NAMES if not entry["good"]], ids=ids)
def test_a_name_that_breaks_a_rule_is_refused_in_plain_ascii(entry: dict[str, Any], kind: str) -> None:
    with pytest.raises(BadName):
        check_held_name(kind, entry["text"])
    with pytest.raises(BadName) as caught:
        check_name(kind, entry["text"])
    assert str(caught.value).isascii() or "…" in str(caught.value)
    assert str(caught.value).isprintable()
    assert f"{kind} name" in str(caught.value)


@pytest.mark.parametrize("entry", [entry for entry in NAMES if "same" in entry], ids=ids)
def test_names_that_differ_in_case_alone_are_the_same(entry: dict[str, Any]) -> None:
    assert {fold(other) for other in entry["same"]} == {fold(entry["text"])}


def test_other_names_are_not_the_same() -> None:
    names = [entry["text"] for entry in NAMES if entry["good"]]
    assert len(set(map(fold, names))) == len(names)


@given(st.text(max_size=70))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = check_name("room", text)
    except BadName:
        return
    assert 1 <= len(name) <= MAX_CHARACTERS
    assert unicodedata.normalize("NFC", name) == name == name.strip()
    assert "\n" not in name


@given(st.text(min_size=1, max_size=20).map(lambda text: unicodedata.normalize("NFC", text)))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text("abcxyzäöüéñΑΒΓαβγЖж", min_size=1, max_size=20))
def test_case_does_not_count(text: str) -> None:
    assert fold(text.upper()) == fold(text) == fold(text.lower())


def test_a_very_long_name_is_not_repeated_in_its_error() -> None:
    with pytest.raises(BadName) as caught:
        check_name("room", "x" * 1_000_000)
    assert "'xxx" in str(caught.value)
    assert "xxx'… has 1000000" in str(caught.value)
    assert len(str(caught.value)) < 300


# -- direct rooms ------------------------------------------------------------------------------------

_users = st.sampled_from([entry["text"] for entry in NAMES if entry["good"]] + ["[", "alice", "Bob", "BOB"])


@given(_users, _users)
def test_a_direct_room_is_the_same_for_both_who_name_it_and_in_whatever_case(one: str, other: str) -> None:
    if fold(one) == fold(other):
        with pytest.raises(BadName):
            direct_name(one, other)
        return
    name = direct_name(one, other)
    assert name == direct_name(other, one)
    assert sorted(direct_users(name)) == sorted((one, other))
    assert fold(name) == fold(direct_name(fold(other), fold(one)))
    assert fold(fold(name)) == fold(name)
    with pytest.raises(BadName):
        check_name("room", name)


@pytest.mark.parametrize("entry", vectors("direct_names"), ids=ids)
def test_a_direct_rooms_name_has_its_users_in_either_order(entry: dict[str, Any]) -> None:
    name = bytes.fromhex(entry["hex"]).decode()
    assert name == entry["text"]
    if entry["good"]:
        assert "@" + "\n".join(direct_users(name)) == entry["room"]
        assert fold(name) == fold(entry["room"])
    else:
        with pytest.raises(BadName):
            direct_users(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "General",
        "@",
        "@alice",
        "@\nalice",
        "@alice\n",
        "@Alice\nalice",
        "@a\nb\nc",
        "@ a\nb",
        "@@a\nb",
    ],
)
def test_what_is_no_direct_rooms_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        direct_users(name)


def test_users_who_may_not_have_their_name_have_no_direct_room() -> None:
    for wrong in ("", "@bob", "x" * 65, "a\nb"):
        with pytest.raises(BadName):
            direct_name("alice", wrong)


@given(st.text(max_size=200).map("@".__add__) | st.integers(0, 100_000).map("@".__mul__))
def test_whatever_begins_like_a_direct_room_is_folded_or_refused(name: str) -> None:
    try:
        folded = fold(name)
    except BadName:
        return
    assert fold(folded) == folded


@pytest.mark.parametrize(
    "reason", ["", " ", "spam, again; see /rules", "Ärger 東京 ☕", "x" * 200, "a" + 4 * "\u0301" + "b\u0301"]
)
def test_a_reason_is_any_line_of_text_or_none(reason: str) -> None:
    assert check_reason(reason) == reason


@pytest.mark.parametrize(
    "reason", ["a\nb", "\x1b[31mred", "\u202egnol", "a\u200bb", "\u2028", "\ud800", "x" * 201, "a" + 5 * "\u0301"]
)
def test_a_reason_that_could_fool_who_reads_it_is_refused_and_says_what_to_do(reason: str) -> None:
    with pytest.raises(Malformed, match=r"leave it out|shorten it|leave some out"):
        check_reason(reason)
