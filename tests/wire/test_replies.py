"""The answers to commands: what a broker encodes a client decodes, and nothing else is taken for an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.driver import BODIES, SCALARS
from zchat.errors import ProtocolError
from zchat.wire.commands import COMMANDS
from zchat.wire.notices import PersonEntry, decode_notice, encode_ok
from zchat.wire.replies import (
    SHAPES,
    Figures,
    HistoryPage,
    Joined,
    Left,
    Marked,
    MembersPage,
    Reply,
    RoomRow,
    RoomsPage,
    Stored,
    Welcome,
    decode_reply,
    encode_history,
)
from zchat.wire.values import pack

EACH: list[tuple[str, Reply]] = [
    ("hello", Welcome(1, "alice", 10, 1 << 20, 1 << 20, 1000, 1000, 3000, 10_000, 60_000)),
    ("join", Joined("General", 7, 3, 1, 9, 10, True)),
    ("leave", Left()),
    ("send", Stored(4, 1_700_000_000_000_000, 7)),
    ("rooms", RoomsPage([RoomRow("General", 2, 1, 9, None), RoomRow("Sports", 0, 1, 0, 0)], True)),
    ("mark", Marked(9)),
    ("members", MembersPage([PersonEntry("alice", 1, False, 0), PersonEntry("bob", 2, True, 9)], False)),
    ("stats", Figures({"messages": 2}, {"busy": 1}, [["General", "bob", 7]], {"turn": [[1], [0, 0], 0]}, [])),
]


def answered(reply: Any) -> list[Any]:
    """Return an answer's fields as a client's decoder of replies gets them."""
    ok: Any = decode_notice(encode_ok(1, reply))
    result: list[Any] = ok.result
    return result


def test_every_command_that_is_answered_has_its_reply() -> None:
    assert set(SHAPES) == {word for word, command in COMMANDS.items() if command.answered}


@pytest.mark.parametrize(("word", "reply"), EACH, ids=[word for word, _ in EACH])
def test_an_answer_is_decoded_as_it_was_given(word: str, reply: Reply) -> None:
    assert decode_reply(word, answered(reply)) == reply


def test_a_page_of_history_comes_with_its_blocks_unpacked() -> None:
    frame = encode_history(1, HistoryPage("General", 7, 0, 3, False, [pack(["a block"]), pack(["another"])]))
    ok: Any = decode_notice(frame)
    assert decode_reply("history", ok.result) == HistoryPage("General", 7, 0, 3, False, [["a block"], ["another"]])


@pytest.mark.parametrize(("word", "reply"), EACH, ids=[word for word, _ in EACH])
def test_what_a_later_version_adds_at_the_end_is_ignored(word: str, reply: Reply) -> None:
    assert decode_reply(word, [*answered(reply), "new"]) == reply


def test_a_broker_of_an_older_version_has_no_times_and_no_busiest_rooms() -> None:
    assert decode_reply("stats", [{"messages": 2}, {}]) == Figures({"messages": 2}, {}, [], {}, [])


@given(st.sampled_from(sorted(SHAPES)), st.lists(SCALARS | BODIES, max_size=11))
def test_any_values_are_an_answer_or_break_the_protocol(word: str, result: list[Any]) -> None:
    try:
        reply = decode_reply(word, result)
    except ProtocolError:
        return
    assert type(reply) is SHAPES[word][0]
