"""A program that ends with clients that are open: no call in a finalizer waits for threads that don't run any more."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.promises.nested import AT_ONCE
from tests.promises.outliving import OBJECTS
from tests.running import ROOT
from zchat.broker import Broker


@pytest.mark.parametrize("cycle", [[], ["cycle"]], ids=["alone", "in a cycle"])
def test_a_finalizer_at_the_programs_end_is_refused_what_would_wait(cycle: list[str]) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        command = [sys.executable, "-W", "ignore", "-m", "tests.promises.finalizing", broker.url, *cycle]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    begin, *lines = run.stdout.splitlines()
    assert begin == "the end"
    assert len(lines) == 27
    wrong = []
    for line in lines:
        name, came, seconds = line.split(" | ")
        expected = "returned" if name.endswith("returns") else "refused: this would wait, and the program is ending"
        if not came.startswith(expected) or float(seconds) > AT_ONCE / 4:
            wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("name", OBJECTS)
def test_a_finalizer_that_is_run_when_the_modules_are_gone_shows_no_error(name: str) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        command = [sys.executable, "-W", "ignore", "-m", "tests.promises.outliving", broker.url, name]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_finalizer_is_silent_at_the_end() -> None:
    finalizers = [
        (path.name, [ast.unparse(each) for each in node.decorator_list])
        for path in sorted((ROOT / "zchat").rglob("*.py"))
        for parent in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(parent, ast.ClassDef)
        for node in parent.body
        if isinstance(node, ast.FunctionDef) and node.name == "__del__"
    ]
    assert len(finalizers) >= 5
    assert [each for each in finalizers if each[1] != ["silent_at_the_end"]] == []
