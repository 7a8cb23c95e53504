"""Frames and positions, as docs/web.md and tests/vectors/web.json have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zchat.events import Crowd, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.messages import Batch, Position
from zchat.web.core import frames
from zchat.wire.values import unpack

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "web.json").read_text(encoding="ascii")
)


def decoded(frame: bytes) -> Any:
    return json.loads(frames.text_of(frame))


@pytest.mark.parametrize("entry", VECTORS["rows"], ids=lambda entry: str(entry["name"]))
def test_a_body_that_json_can_not_hold_exactly_comes_as_messagepack(entry: dict[str, Any]) -> None:
    body = unpack(bytes.fromhex(entry["body"]))
    assert json.loads(json.dumps(frames.row(7, 1_700_000_000_000_000, "alice", body))) == entry["row"]


@pytest.mark.parametrize("entry", VECTORS["positions"], ids=lambda entry: ascii(entry["text"]))
def test_a_position_is_a_text_of_two_numbers(entry: dict[str, Any]) -> None:
    position = None if entry.get("good") is False else Position(int(entry["epoch"]), entry["seq"])
    assert frames.position_of(entry["text"]) == position
    if position is not None:
        assert frames.position_text(position) == entry["text"]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20])
def test_a_frame_is_one_of_websocket_without_a_mask(length: int) -> None:
    frame = frames.text_frame(b"~" * length)
    assert frame[0] == 0x81, "final, and text"
    assert not frame[1] & 0x80
    assert frames.text_of(frame) == b"~" * length


def test_a_batch_is_one_frame() -> None:
    batch = Batch("General", Position(5, 8), [7, 8], [1, 2], ["bob", "al"], ["Grüße", b"\x00"])
    found = decoded(frames.messages("General", frames.rows(batch), batch.position))
    assert found == {
        "op": "messages", "room": "General", "rows": [[7, 1, "bob", "Grüße"], [8, 2, "al", "xAEA", 1]],
        "position": "5:8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (MemberJoined("r", "bob"), {"user": "bob"}),
        (MemberLeft("r", "bob"), {"user": "bob"}),
        (Typing("r", "bob", True), {"user": "bob", "active": True}),
        (ReadMark("r", "bob", 4), {"user": "bob", "seq": 4}),
        (Crowd("r", 9, 1, 2), {"members": 9, "typing": 1, "caught_up": 2}),
    ],
)
def test_an_event_has_its_kind_and_its_fields(event: frames.Shown, fields: dict[str, Any]) -> None:
    expected = {"op": "event", "room": "r", "kind": type(event).__name__, **fields}
    assert decoded(frames.event("r", event)) == expected


def test_every_kind_of_frame_has_a_vector() -> None:
    ops = {entry["frame"]["op"] for entry in VECTORS["frames"]}
    assert ops == {"ok", "error", "messages", "gap", "event", "removed", "invited", "link", "beat", "bye"}
    kinds = {entry["frame"]["kind"] for entry in VECTORS["frames"] if entry["frame"]["op"] == "event"}
    assert kinds == {kind.__name__ for kind in frames.EVENTS}
