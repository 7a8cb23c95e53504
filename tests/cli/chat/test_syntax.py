"""Whom `/msg` names."""

from __future__ import annotations

import pytest

from zchat.cli.chat.syntax import addressee, leads, quoted, says, sentence, without_options
from zchat.errors import UsageError


@pytest.mark.parametrize(
    ("argument", "user", "text"),
    [
        ("bob hello there", "bob", "hello there"),
        ("bob", "bob", ""),
        ("@bob  hello", "bob", "hello"),
        ('"bob smith" hello "you"', "bob smith", 'hello "you"'),
        ('"bob smith"', "bob smith", ""),
        ('"""" hi', '"', "hi"),
        ('"a"" b" hi', 'a" b', "hi"),
        ('bob "quoted"', "bob", '"quoted"'),
    ],
)
def test_whom_msg_names(argument: str, user: str, text: str) -> None:
    assert addressee(argument) == (user, text)


@pytest.mark.parametrize("name", ["bob", "bob smith", '"bob', 'b"ob', 'bob" b', 'a "b" c', "宇 宙", "宇\u3000宙"])
def test_a_name_as_completion_writes_it_is_the_one_that_msg_reads(name: str) -> None:
    assert addressee(f"{quoted(name)} hi") == (name, "hi")


@pytest.mark.parametrize(
    "line", ["/join Sports", "/j Sports", "/next", "/leave", "/part x", "/msg bob", "/msg! bob", "/msg"]
)
def test_what_follows_a_command_that_leads_to_a_room_depends_on_it(line: str) -> None:
    assert leads(line)


@pytest.mark.parametrize(
    "line", ["text", "/msg bob psst", "/MSG! bob psst", "/list", "/quit", "/watch Sports", "//join"]
)
def test_what_follows_another_line_does_not_depend_on_it(line: str) -> None:
    assert not leads(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        *((line, True) for line in ("hello", "//slash", "/me waves", "/msg bob psst", "/MSG! bob psst", "/query b hi")),
        *((line, False) for line in ("/list", "/leave", "/join Movies", "/quit", "/me", "/msg bob", "/close too much")),
    ],
)
def test_what_is_said_is_told_from_what_is_done(line: str, said: bool) -> None:
    assert says(line) is said


@pytest.mark.parametrize(
    ("text", "seconds", "reason"),
    [
        ("", 0, ""),
        ("spam and more", 0, "spam and more"),
        ("10m", 600, ""),
        ("1h30m  too loud", 5400, "too loud"),
        ("1h 30m  too  loud", 5400, "too  loud"),
        ("for 10m", 600, ""),
        ("for 10m for spam", 600, "for spam"),
        ("for spam", 0, "for spam"),
        ("0.5s x", 1, "x"),
        ("2d 3 times", 172_800, "3 times"),
        ("2d 3 times in 1h", 172_800, "3 times in 1h"),
        ("ten times", 0, "ten times"),
        ('"spoke for 2h"', 0, '"spoke for 2h"'),
    ],
)
def test_a_time_comes_before_the_reason(text: str, seconds: int, reason: str) -> None:
    assert sentence(f"bob {text}".strip(), "/ban") == ("bob", seconds, reason)


@pytest.mark.parametrize("text", ["10", "10min", "0m", "3 times", "1h30", "1e9s", "for 10 minutes"])
def test_what_begins_with_a_digit_and_is_no_time_is_refused_for_it_would_be_for_ever(text: str) -> None:
    word = text.removeprefix("for ").split()[0]
    with pytest.raises(UsageError, match=f"^{word} is no time: write 30s, 10m, 1h, 2d or 1w, or begin"):
        sentence(f"bob {text}", "/ban")


def test_a_time_that_no_calendar_has_is_refused_as_too_long() -> None:
    word = "9" * 99 + "w"
    with pytest.raises(UsageError, match=f"^{word} is longer than any calendar: without a time it is for ever$"):
        sentence(f"bob 1h {word} spam", "/ban")


def test_a_time_that_stands_elsewhere_is_refused_with_its_place() -> None:
    for text in ("spam 1h", "spam for 1h"):
        with pytest.raises(UsageError, match=r'^1h stands before the REASON: /ban "bob smith" 1h REASON$'):
            sentence(f'"bob smith" {text}', "/ban")
    with pytest.raises(UsageError, match=r"^1h stands after the user: /mute USER 1h$"):
        sentence("1h bob", "/mute")
    assert sentence("1h", "/mute") == sentence('"1h"', "/mute") == ("1h", 0, "")
    assert sentence('"1h" spam', "/mute") == ("1h", 0, "spam")


@pytest.mark.parametrize(
    ("argument", "everywhere", "rest"),
    [
        ("bob 1h spam  spam", False, "bob 1h spam  spam"),
        ("--everywhere bob", True, "bob"),
        ("bob --everywhere 1h", True, "bob 1h"),
        ("bob 1h spam -- spam --EVERYWHERE", True, "bob 1h spam -- spam"),
        ("\u2014everywhere bob", True, "bob"),
        ("bob \u2013everywhere", True, "bob"),
        ("-everywhere bob", True, "bob"),
        ('"--everywhere" spam', False, '"--everywhere" spam'),
        ('bob "no --everywhere" x--y', False, 'bob "no --everywhere" x--y'),
        ("--everywhere", True, ""),
        ("", False, ""),
    ],
)
def test_an_option_is_understood_wherever_it_stands(argument: str, everywhere: bool, rest: str) -> None:
    assert without_options(argument, "/ban", everywhere=True) == (everywhere, rest)


def test_an_option_that_there_is_not_is_refused() -> None:
    for argument in ("--everywhere carol 1m", "carol 1m --everywhere"):
        with pytest.raises(UsageError, match=r"^/mute is about the room alone: /ban --everywhere USER is"):
            without_options(argument, "/mute")
    for argument in ("--all bob", "bob --all", "bob 1h spam --all"):
        with pytest.raises(UsageError, match=r"^/ban has no option --all: in a REASON it stands in double quotes"):
            without_options(argument, "/ban", everywhere=True)


def test_a_name_that_would_be_an_option_is_quoted() -> None:
    assert addressee(quoted("--everywhere")) == ("--everywhere", "")
    assert without_options(quoted("--everywhere"), "/ban")[0] is False
