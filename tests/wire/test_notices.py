"""What a broker sends: the vectors, and any bytes at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames import decode_notice
from tests.promises.breaking_off import interrupted_at
from tests.vectors.load import frame_of, value_of, vectors
from tests.wire.driver import BYTES, SCALARS, each, name_of
from zchat.errors import ProtocolError
from zchat.wire import blocks, notices, replies, values

# -- the vectors -----------------------------------------------------------------------------------


@each("notices")
def test_a_notice_is_decoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    assert decode_notice(frame_of(entry)) == value_of(entry["value"])


@pytest.mark.parametrize("entry", [entry for entry in vectors("notices") if entry["value"][0] == "push"], ids=name_of)
def test_a_push_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, room, epoch, after, upto, pushed = value_of(entry["value"])
    packed = list(map(values.pack, pushed))
    assert notices.encode_push(room, epoch, after, upto, packed) == frame_of(entry)


@pytest.mark.parametrize("entry", [entry for entry in vectors("notices") if entry["value"][0] == "state"], ids=name_of)
def test_a_state_frame_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, number, rooms, invitations = value_of(entry["value"])
    packed = [[values.pack(each) for each in some] for some in (rooms, invitations)]
    assert notices.encode_state(number, *packed) == frame_of(entry)


@pytest.mark.parametrize(
    "entry", [entry for entry in vectors("notices") if entry["name"].startswith("page-")], ids=name_of
)
def test_a_page_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, request, *head, paged = value_of(entry["value"])
    packed = [blocks.encode_block(*block) for block in paged]
    assert replies.encode_history(request, replies.HistoryPage._make([*head, packed])) == frame_of(entry)


@each("refused_notices")
def test_a_frame_that_no_broker_sends_breaks_the_protocol(entry: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_notice(frame_of(entry))


def test_what_a_signals_handler_raises_amid_a_frame_is_not_the_brokers_fault() -> None:
    frames = [
        frame_of(entry) for word in ("push", "state") for entry in vectors("notices") if entry["value"][0] == word
    ]
    for frame in frames[:4]:
        broken_off = at = 0
        while broken_off == at:
            at += 1
            try:
                with interrupted_at(at, RuntimeError):
                    notices.decode_notice(frame)
            except RuntimeError:
                broken_off += 1
        assert broken_off > 20


# -- any bytes at all ------------------------------------------------------------------------------


@given(BYTES | st.lists(SCALARS).map(lambda rest: values.pack(["push", *rest])))
def test_any_bytes_are_a_notice_or_break_the_protocol(frame: bytes) -> None:
    try:
        notice = decode_notice(frame)
    except ProtocolError:
        return
    assert notice[0] in {"ok", "error", "push", "gap", "pong", "end"}


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "notice",
    [
        ["ok"],
        ["ok", None],
        ["error", 1, "busy", "wait"],
        ["error", "1", "busy", "wait", True, None],
        ["error", 1, "busy", "wait", True, "x"],
        ["push", "General", 1, 0, 1],
        ["push", "General", 1, 0, 1, None],
        ["push", "General", 1, -1, 1, []],
        ["gap", "General", 1, 0, 1],
        ["end", "closing", "bye"],
        ["hullo"],
        [["ok"]],
        {"ok": 1},
        "ok",
        [],
    ],
    ids=ascii,
)
def test_a_notice_of_another_shape_breaks_the_protocol(notice: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_notice(values.pack(notice))


@pytest.mark.parametrize(
    "entry", [entry for entry in vectors("notices") if entry["value"][0] == "removed"], ids=name_of
)
def test_the_end_of_a_membership_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    removed = notices.Removed._make(value_of(entry["value"])[1:])
    assert notices.encode_removed(removed) == frame_of(entry)
    assert notices.decode_notice(frame_of(entry)) == removed


def test_the_words_of_a_removal_steer_no_terminal() -> None:
    frame = values.pack(["removed", "General", 2, "kicked\x07", "spam\n\x1b[31m", "\x1b[2J", 0])
    assert notices.decode_notice(frame) == ("General", 2, "kicked\ufffd", "spam \ufffd[31m", "\ufffd[2J", 0)
