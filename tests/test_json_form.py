"""Bodies as JSON, without loss, and how deep a text of JSON nests."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.cli.text.driver import values
from zchat.json_form import LEVELS, is_too_deep, json_line, plain
from zchat.wire.limits import MAX_DEPTH


@given(values)
def test_json_is_ascii_in_one_line_and_can_be_read(body: object) -> None:
    line = json_line({"body": body})
    assert all(" " <= character <= "~" for character in line)
    assert json.loads(line) == {"body": plain(body)}


def test_what_json_lacks_has_one_stable_form() -> None:
    def form(value: object) -> str:
        return json_line({"v": value}).removeprefix('{"v": ').removesuffix("}")

    assert form(b"\x00\xff") == '{"$bytes": "AP8="}'
    assert form(float("nan")) == '{"$float": "NaN"}'
    assert form(float("-inf")) == '{"$float": "-Infinity"}'
    assert form({1: "a"}) == '{"$map": [[1, "a"]]}'
    assert form({"$bytes": "a"}) == '{"$map": [["$bytes", "a"]]}'
    assert form(msgpack.ExtType(5, b"x")) == '{"$ext": [5, "eA=="]}'
    assert form(msgpack.Timestamp(1, 500)) == '{"$timestamp": 1000000500}'
    assert form([1.5, "é", {"a": True}]) == '[1.5, "\\u00e9", {"a": true}]'


def test_what_is_nested_deeper_than_a_broker_takes_is_left_out() -> None:
    """A hostile broker's body ended the command in a traceback."""
    list_deep: object = 1
    map_deep: object = 1
    for _ in range(1000):
        list_deep, map_deep = [list_deep], {1: map_deep}
    for deep in (list_deep, map_deep):
        assert json_line({"v": deep}).count('{"$deep": true}') == 1
    assert "$deep" not in json_line({"v": msgpack.unpackb(b"\x91" * MAX_DEPTH + b"\x90")})


@pytest.mark.parametrize("opened", [b"[", b'{"a":', b'[{"]":1,"a":'])
def test_what_is_deeper_than_the_bound_is_found_whether_it_ends_or_not(opened: bytes) -> None:
    levels = opened.count(b"[") + opened.count(b"{")
    assert not is_too_deep(opened * (LEVELS // levels))
    assert is_too_deep(opened * (LEVELS // levels + 1))


def test_brackets_in_texts_and_side_by_side_are_not_counted() -> None:
    assert not is_too_deep(json.dumps(["[{" * LEVELS, '"[\\' * LEVELS]).encode())
    assert not is_too_deep(json.dumps([[[]]] * LEVELS).encode())


@given(
    some.recursive(
        some.text() | some.none(), lambda values: some.lists(values) | some.dictionaries(some.text(), values)
    )
)
def test_what_is_found_is_how_deep_the_value_is(value: object) -> None:
    def depth(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    text = json.dumps(value).encode()
    around = LEVELS - depth(value)
    assert not is_too_deep(b"[" * around + text)
    assert is_too_deep(b"[" * (around + 1) + text)
