"""Bodies as JSON, without loss."""

from __future__ import annotations

import json

import msgpack
from hypothesis import given

from tests.cli.text.driver import values
from zchat.json_form import json_line, plain
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
