"""The lines in which keys and values of a TOML text stand."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tests.broker.guard.driver import files, printed
from zchat.broker.guard.toml_lines import TomlLines

TEXT = '''\
title = "x"
a.b = { c = [1,
  2], d = 3 }

[t."with space"]
k = """
]
"""
list = [ { p = 1 },
  { p = 2 },
]
[[aot]]
x = 1
[aot.sub]
y = 2
  [[aot]]
[aot.sub]
y = [
  "one", # ]

  "]two",
  ["three"], ["four"],
  5
]
[[aot.deep]]
[[aot.deep]]
z = 1
'''

PLACES = {
    ("title",): 1,
    ("a",): 2,
    ("a", "b", "d"): 2,
    ("t", "with space"): 5,
    ("t", "with space", "k"): 6,
    ("t", "with space", "list"): 9,
    ("t", "with space", "list", 0, "p"): 9,
    ("t", "with space", "list", 1, "p"): 10,
    ("aot", 0): 12,
    ("aot", 0, "x"): 13,
    ("aot", 0, "sub"): 14,
    ("aot", 0, "sub", "y"): 15,
    ("aot", 1): 16,
    ("aot", 1, "sub", "y"): 18,
    ("aot", 1, "sub", "y", 0): 19,
    ("aot", 1, "sub", "y", 1): 21,
    ("aot", 1, "sub", "y", 2): 22,
    ("aot", 1, "sub", "y", 3): 22,
    ("aot", 1, "deep", 0): 25,
    ("aot", 1, "deep", 1): 26,
    ("aot", 1, "deep", 1, "z"): 27,
    ("aot", 1, "deep", 1, "nothing"): 26,
    ("nothing",): 1,
}


def test_a_value_stands_where_its_key_or_its_place_in_an_array_does() -> None:
    for text in (TEXT, TEXT.replace("\n", "\r\n")):
        tomllib.loads(text)
        lines = TomlLines(text)
        assert {path: lines.of(path) for path in PLACES} == PLACES


@given(st.data())
def test_every_key_and_name_of_a_file_of_rules_has_its_line_in_whatever_layout(data: st.DataObject) -> None:
    text, places = data.draw(files().flatmap(printed))
    lines = TomlLines(text)
    assert {path: lines.of(path) for path in places} == places
