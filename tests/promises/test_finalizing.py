"""A program that ends with clients that are open: no call in a finalizer waits for threads that don't run any more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.promises.nested import AT_ONCE
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
    assert len(lines) == 26
    wrong = []
    for line in lines:
        name, came, seconds = line.split(" | ")
        expected = "returned" if name.endswith("returns") else "refused: this would wait, and the program is ending"
        if not came.startswith(expected) or float(seconds) > AT_ONCE / 4:
            wrong.append(line)
    assert wrong == []
