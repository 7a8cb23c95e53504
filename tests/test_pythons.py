"""Which Pythons `make test-pythons` finds, and what it says of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests import pythons

ROOT = Path(__file__).parent.parent


def imitate(folder: Path, minor: tuple[int, int], said: str) -> Path:
    """Put a program that passes for a Python into a folder."""
    program = folder / "python{}.{}".format(*minor)
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{said}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder, which is the path and the home of pyenv and uv."""
    for name in ("PATH", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def test_the_python_that_runs_this_is_described() -> None:
    assert pythons.described(Path(sys.executable)) == (Path(sys.executable), sys.version_info[:3])


def test_the_newest_of_a_minor_version_is_taken_wherever_it_is(nothing: Path) -> None:
    imitate(nothing, (3, 99), "echo cpython 3.99.1 False")
    newest = imitate(nothing / "versions" / "3.99.12" / "bin", (3, 99), "echo cpython 3.99.12 False")
    imitate(nothing / "cpython-3.99.2-linux" / "bin", (3, 99), "echo cpython 3.99.2 False")
    assert pythons.newest((3, 99)) == (newest, (3, 99, 12))


def test_one_that_make_pythons_fetched_is_taken(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "ROOT", nothing)
    unpacked = nothing / ".pythons" / "3.99.1-1.5" / "org" / "bytedeco" / "cpython" / "linux-x86_64"
    fetched = imitate(unpacked / "bin", (3, 99), "echo cpython 3.99.1 False")
    assert pythons.newest((3, 99)) == (fetched, (3, 99, 1))


@pytest.mark.parametrize(
    "said",
    ["echo pypy 3.99.1 False", "echo cpython 3.99.1 True", "echo cpython 3.98.1 False", "exit 127"],
    ids=["another implementation", "without the lock", "another version", "a shim that leads nowhere"],
)
def test_what_is_no_usual_cpython_of_that_version_is_passed_over(nothing: Path, said: str) -> None:
    imitate(nothing, (3, 99), said)
    assert pythons.newest((3, 99)) is None


def test_the_table_has_what_was_tried_and_what_was_not_found() -> None:
    results: dict[str, pythons.Outcome | str] = {"3.11.7": pythons.Outcome(100, 1, 9, 61.2), "3.14": "not found"}
    assert pythons.table(results).splitlines() == [
        "Python      passed  failed  skipped  seconds",
        "3.11.7          90       1        9       61",
        "3.14      not found",
    ]


def test_failures_and_errors_of_a_run_both_count(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    suite = '<testsuite tests="9" failures="2" errors="1" skipped="3"/>'
    report.write_text(f"<testsuites>{suite}</testsuites>", encoding="utf-8")
    assert pythons.outcome(report, 1.5) == (9, 3, 3, 1.5)


def test_the_packaging_names_the_pythons_that_are_tried() -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    named = re.findall(r"Programming Language :: Python :: 3\.(\d+)\n", setup)
    assert [(3, int(minor)) for minor in named] == pythons.WANTED
    assert f"python_requires = >=3.{pythons.WANTED[0][1]}\n" in setup
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (fetched,) = re.findall(r"^CPYTHONS \?= (.*)$", makefile, re.MULTILINE)
    assert [version.split(".")[:2] for version in fetched.split()] == [
        ["3", str(minor)] for _, minor in pythons.WANTED[1:]
    ]
    assert [place for place in pythons.SLOW if not (ROOT / place).exists()] == []
