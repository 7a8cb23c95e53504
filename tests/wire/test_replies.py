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
    BrokerRow,
    Changed,
    Figures,
    HistoryPage,
    Joined,
    KickedOut,
    Left,
    Marked,
    MembersPage,
    Reply,
    RoomRow,
    RoomsPage,
    Sanctioned,
    SanctionRow,
    SanctionsPage,
    Stored,
    Welcome,
    decode_reply,
    encode_history,
)
from zchat.wire.values import pack

A_CLOSED_ROOM = SanctionRow(4, "General", "", "closed", 0, "alice", 2, "")

EACH: list[tuple[str, Reply]] = [
    ("hello", Welcome(1, "alice", 10, 1 << 20, 1 << 20, 1000, 1000, 3000, 10_000, 60_000)),
    ("join", Joined("General", 7, 3, 1, 9, 10, True)),
    ("leave", Left()),
    ("send", Stored(4, 1_700_000_000_000_000, 7)),
    ("rooms", RoomsPage([RoomRow("General", 2, 1, 9, None), RoomRow("Sports", 0, 1, 0, 0)], True)),
    ("mark", Marked(9)),
    ("members", MembersPage([PersonEntry("alice", 1, False, 0), PersonEntry("bob", 2, True, 9)], False)),
    ("kick", KickedOut(3)),
    ("ban", Sanctioned(1_700_000_000_000_000)),
    ("unban", Changed(True)),
    ("mute", Sanctioned(0)),
    ("unmute", Changed(False)),
    ("close", Changed(True)),
    ("open", Changed(True)),
    ("sanctions", SanctionsPage([SanctionRow(3, "General", "bob", "ban", 9, "alice", 1, "spam"), A_CLOSED_ROOM], True)),
    ("stats", Figures({"messages": 2}, {"busy": 1}, [["General", "bob", 7]], {"turn": [[1], [0, 0], 0]}, [])),
    (
        "stats",
        Figures({}, {}, [], {}, [], {"messages": 5}, [BrokerRow("1f", 0, {"messages": 2}), BrokerRow("", 9, {})]),
    ),
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


@pytest.mark.parametrize(
    "row",
    [
        [3, "General", "x" * 65, "ban", 0, "alice", 1, ""],
        [3, "x" * 65, "bob", "ban", 0, "alice", 1, ""],
        [3, "General", None, "ban", 0, "alice", 1, ""],
        [3, "General", "bob", "ban", None, "alice", 1, ""],
        [3, "General", "bob", "ban", 0, "alice", 1],
    ],
    ids=["user-too-long", "room-too-long", "no-user", "no-until", "no-reason"],
)
def test_a_sanction_of_another_form_breaks_the_protocol(row: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_reply("sanctions", [[row], False])


def test_what_a_moderator_said_steers_no_terminal() -> None:
    page = decode_reply("sanctions", [[[3, None, "bob", "ban\n", 0, "\x1b[2J", 1, "spam\n\x1b[31m"]], False])
    assert page.sanctions[0][3:] == ("ban ", 0, "\ufffd[2J", 1, "spam \ufffd[31m")
