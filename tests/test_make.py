"""Targets of the Makefile that say whether something holds: no answer is not taken for a good one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT


@pytest.mark.parametrize(("code", "passes"), [(0, True), (1, False)])
def test_an_audit_fails_where_a_package_is_vulnerable_or_cant_be_looked_up(
    tmp_path: Path, needs: Callable[[str], str], code: int, passes: bool
) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\ncase "$2" in pip_audit) exit {code};; esac\n')
    python.chmod(0o755)
    for each in ("made", "installed", "installed-dev"):
        (tmp_path / each).touch()
    line = [needs("make"), "audit", f"VENV={tmp_path}"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "--strict" in (tmp_path / "calls").read_text(), "else one that can't be looked up is passed over"
    assert (done.returncode == 0) is passes
    assert ("audit failed: a vulnerability is listed above, or PyPI could not be asked" in done.stderr) is not passes
