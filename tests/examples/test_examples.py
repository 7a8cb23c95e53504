"""What all examples have in common."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.running import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MOST_LINES = 60


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_each_is_short_says_what_to_change_and_is_run_by_a_test_of_its_name(example: Path) -> None:
    source = example.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    assert "\nChange " in (ast.get_docstring(ast.parse(source)) or "")
    assert (Path(__file__).parent / f"test_{example.name}").is_file()
