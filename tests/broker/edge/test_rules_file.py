"""The file of rules, read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zchat.broker.edge.rules_file import read_rules
from zchat.broker.limits import RULES_BYTES
from zchat.errors import BadRules


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('operators = ["Straße"]\n', encoding="utf-8")
    assert read_rules(path).operators == {"strasse"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"operators = 3", r"rules\.toml', line 1: operators is a list"),
        (b"a = 1\n\n# \xff", r"rules\.toml', line 3: what stands there is not UTF-8"),
        (b"#" * (RULES_BYTES + 1), r"rules\.toml' has more than 1,048,576 bytes"),
        (b"a = 1\nb = " + b"1" * 5000 + b"\nc = 2", r"rules\.toml', line 2: Exceeds the limit"),
        (b".".join([b"a"] * 5000) + b" = 1", r"rules\.toml', line 1: keys or values are nested too deeply"),
        (b"a = " + b"[" * 5000, r"rules\.toml', line 1: keys or values are nested too deeply"),
        (None, r"rules in '.*rules\.toml' can't be read: No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_reported_with_its_name(tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "rules.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadRules, match=why):
        read_rules(path)


def test_a_file_may_be_as_large_as_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"#" * RULES_BYTES)
    assert read_rules(path).tables == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRules, match=r"pipe' can't be read: it is no regular file"):
        read_rules(tmp_path / "pipe")
