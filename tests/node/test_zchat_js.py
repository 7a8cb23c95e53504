"""zchat.js and the page: the tests of the one by Node's runner, on a clock of their own, and the types of both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT
from zchat.web.pages import files_of

TESTS = ROOT / "tests" / "web"
STATIC = ROOT / "zchat" / "web" / "static"


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    return done.stdout


def installed(package: str) -> Path:
    """Return the folder of a package; a test that requires one is skipped if it isn't there, but in CI."""
    folder = TESTS / "node_modules" / package
    if not folder.exists():
        reason = "tests/web has no packages: make test-node installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def typescript() -> str:
    """Give the compiler, once its package is there."""
    return str(installed(".bin") / "tsc")


def test_it_does_what_it_promises_on_a_tests_clock(needs: Callable[[str], str]) -> None:
    (file,) = (TESTS / "script").glob("*.test.mjs")
    assert "# skipped 0" in run(needs("node"), "--test", "--test-reporter=tap", str(file))


def test_its_types_are_right_and_those_that_are_shipped_are_made_from_it(typescript: str, tmp_path: Path) -> None:
    run(typescript, "--project", ".", "--outDir", str(tmp_path))
    made = (tmp_path / "zchat.d.ts").read_text(encoding="utf-8")
    assert (STATIC / "zchat.d.ts").read_text(encoding="utf-8") == made, "make types makes it anew"


def test_the_page_uses_it_and_the_browser_as_they_are(typescript: str) -> None:
    run(typescript, "--project", "tsconfig.page.json")


def test_what_is_served_is_what_was_written_but_for_comments_and_white_space(
    needs: Callable[[str], str], tmp_path: Path
) -> None:
    installed("acorn")
    for name, file in files_of(None).items():
        if name.endswith(".js"):
            (tmp_path / name).write_bytes(file.body)
    run(needs("node"), str(TESTS / "script" / "tokens.mjs"), str(STATIC), str(tmp_path))
