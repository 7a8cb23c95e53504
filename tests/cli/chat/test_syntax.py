"""Whom `/msg` names."""

from __future__ import annotations

import pytest

from zchat.cli.chat.syntax import addressee, quoted


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
