"""Commands of pages: what is one, by the vectors, and what the page of the protocol says of their fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.web.core.test_frames import VECTORS
from zchat.messages import START, Position
from zchat.web.core.commands import COMMANDS, NoCommand, decode, position
from zchat.web.core.session import HANDLERS

PAGE = (Path(__file__).parents[3] / "docs" / "web.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", VECTORS["commands"], ids=lambda entry: str(entry["name"]))
def test_a_command_is_taken(entry: dict[str, str]) -> None:
    command = decode(entry["text"].encode())
    assert f'"op": "{command.op}"' in entry["text"]
    assert (command.id is None) is (command.op in ("ack", "typing", "mark"))


@pytest.mark.parametrize("entry", VECTORS["refused"], ids=lambda entry: str(entry["name"]))
def test_what_is_no_command_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(NoCommand) as caught:
        decode(entry["text"].encode())
    assert caught.value.code == "malformed"
    assert (caught.value.id, caught.value.legible) == (entry.get("id"), not entry.get("closes"))


def test_every_command_has_a_vector_and_is_carried_out() -> None:
    assert {decode(entry["text"].encode()).op for entry in VECTORS["commands"]} == set(COMMANDS)
    assert set(HANDLERS) == set(COMMANDS) - {"ack"}


def test_the_page_lists_the_commands_with_their_fields() -> None:
    rows = re.findall(
        r"^\| `([a-z]+)` \| (.*?) \|", PAGE.partition("What a page sends")[2].partition("**`hello`**")[0], re.M
    )
    listed = {op: set(re.findall(r"`([a-z]+)`(\??)", fields)) for op, fields in rows}
    expected = {
        op: {(name, "") for name in spec.needed} | {(name, "?") for name in spec.optional}
        for op, spec in COMMANDS.items()
    }
    assert listed == expected


@pytest.mark.parametrize(
    ("data", "why"),
    [
        *((data, "one JSON object") for data in (b"\xff", b'{"op":"rooms","id":1', b"9" * 60_000)),
        *((data, "100 levels deep at most") for data in (b"[" * 60_000, b'{"a":' * 10_000)),
    ],
)
def test_bytes_that_are_no_json_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(NoCommand, match=why) as caught:
        decode(data)
    assert not caught.value.legible


def test_the_number_to_answer_to_is_found_where_it_can_be() -> None:
    with pytest.raises(NoCommand) as caught:
        decode(b'{"op":"join","id":7,"room":1}')
    assert (caught.value.id, caught.value.text) == (7, "join: room is not a name")


def test_positions_are_read() -> None:
    assert position("start") == START
    assert position("7:3") == Position(7, 3)
