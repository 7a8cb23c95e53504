"""Whom `/msg` names."""

from __future__ import annotations

import pytest

from zchat.cli.chat.syntax import addressee, if_it_fails, quoted, without_texts


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
    assert if_it_fails(line)


@pytest.mark.parametrize(
    "line", ["text", "/msg bob psst", "/MSG! bob psst", "/list", "/quit", "/watch Sports", "//join"]
)
def test_what_follows_another_line_does_not_depend_on_it(line: str) -> None:
    assert not if_it_fails(line)


def test_only_what_was_meant_for_a_room_that_could_not_be_reached_is_dropped() -> None:
    lines = ["hello", "//slash", "/me waves", "/msg bob psst", "/list", "/leave", "/join Movies", "for fans", "/quit"]
    assert without_texts(lines) == (
        ["hello", "//slash", "/me waves", "/leave"],
        ["/msg bob psst", "/list", "/join Movies", "for fans", "/quit"],
    )
    assert without_texts(["/who", "text", "/quit"]) == (["text"], ["/who", "/quit"])
