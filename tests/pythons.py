"""Run the tests on every CPython that zchat is for and that this machine has: `make test-pythons`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

WANTED = [(3, 11), (3, 12), (3, 13), (3, 14)]
"""The Pythons that `setup.cfg` names; the first is the oldest that it allows."""

SLOW = ["tests/promises/faults", "tests/promises/replay", "tests/promises/simulation", "tests/test_wheel.py"]
"""What is left out, because it takes minutes, or builds archives: `--all` runs it too."""

DESCRIBE = (
    "import ensurepip, sys, sysconfig, venv; "
    "free = bool(sysconfig.get_config_var('Py_GIL_DISABLED')); "
    "print(sys.implementation.name, '.'.join(map(str, sys.version_info[:3])), free)"
)


class Python(NamedTuple):
    """A Python of this machine."""

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


class Outcome(NamedTuple):
    """What the tests said under one Python."""

    tests: int
    failed: int
    skipped: int
    seconds: float


def candidates(minor: tuple[int, int]) -> Iterator[Path]:
    """Yield where a Python of a minor version may be: the path, /opt, pyenv, uv, and what `make pythons` fetched."""
    name = "python{}.{}".format(*minor)
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield Path(folder) / name
    yield from (Path("/usr/bin", name), Path("/usr/local/bin", name), Path("/opt", name, "bin", name))
    for folders in (pyenv, uv):
        yield from sorted(folders.glob(f"*/bin/{name}"))
    yield from sorted((ROOT / ".pythons").glob(f"*/org/bytedeco/cpython/*/bin/{name}"))


def described(path: Path) -> Python | None:
    """Return the Python at a path; None if it doesn't run, can make no virtual environment, or is no usual CPython."""
    try:
        said = subprocess.run(
            [path, "-I", "-c", DESCRIBE], cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"cpython (\d+\.\d+\.\d+) False\n", said.stdout)
    return Python(path, tuple(map(int, found[1].split(".")))) if found and not said.returncode else None


def newest(minor: tuple[int, int]) -> Python | None:
    """Return the newest Python of a minor version that this machine has."""
    there = dict.fromkeys(path for path in candidates(minor) if path.is_file())
    found = [python for path in there if (python := described(path)) and python.version[:2] == minor]
    return max(found, key=lambda python: python.version, default=None)


def environment(python: Python) -> Path:
    """Make the virtual environment of a Python, or bring it up to date; return its folder."""
    folder = ROOT / ".venv-{}.{}".format(*python.version)
    stamp = folder / "installed-dev"
    configured = max((ROOT / place).stat().st_mtime for place in ("setup.cfg", "pyproject.toml"))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == str(python) and stamp.stat().st_mtime > configured:
        return folder
    subprocess.run([python.path, "-m", "venv", "--clear", folder], check=True)
    quiet = ("--quiet", "--disable-pip-version-check")
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", *quiet, "--editable", ".[dev]"]
    subprocess.run(install, cwd=ROOT, check=True)
    stamp.write_text(str(python), encoding="utf-8")
    return folder


def tested(folder: Path, workers: int, everything: bool, chosen: list[str]) -> Outcome | None:
    """Run the tests in an environment; return None if they didn't come to an end."""
    report = folder / "tests.xml"
    report.unlink(missing_ok=True)
    left_out = [] if everything or chosen else [f"--ignore={place}" for place in SLOW]
    pytest = [str(folder / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    begun = time.monotonic()
    subprocess.run([*pytest, f"--junitxml={report}", *left_out, *chosen], cwd=ROOT, check=False)
    return outcome(report, time.monotonic() - begun) if report.exists() else None


def outcome(report: Path, seconds: float) -> Outcome:
    """Return what pytest wrote into a report."""
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.attrib[name]) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return Outcome(tests, failures + errors, skipped, seconds)


def table(results: dict[str, Outcome | str]) -> str:
    """Return a line for each Python: its figures, or why there are none."""
    lines = [f"{'Python':10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for python, result in results.items():
        if isinstance(result, str):
            lines.append(f"{python:10}{result}")
        else:
            passed = result.tests - result.failed - result.skipped
            lines.append(f"{python:10}{passed:8}{result.failed:8}{result.skipped:9}{result.seconds:9.0f}")
    return "\n".join(lines)


def main() -> int:
    """Run the tests on each Python, print the table, and return 1 if something failed or no Python was found."""
    parser = argparse.ArgumentParser(prog="make test-pythons", description=__doc__)
    parser.add_argument("--python", action="append", default=[], metavar="X.Y", help="this one; else all")
    parser.add_argument("--workers", type=int, default=4, help="how many tests run at a time")
    parser.add_argument("--all", action="store_true", help=f"run {', '.join(SLOW)} too")
    parser.add_argument("tests", nargs="*", help="files or folders; else all but the slow ones")
    options = parser.parse_args()
    # A shell has what it starts in the background ignore Ctrl-C, which the tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results: dict[str, Outcome | str] = {}
    ran = []
    for minor in WANTED:
        name = "{}.{}".format(*minor)
        if options.python and name not in options.python:
            continue
        python = newest(minor)
        if python is None:
            results[name] = f"not found: make pythons, or uv python install {name}"
            continue
        print(f"Python {python} ({python.path})", flush=True)
        try:
            result = tested(environment(python), options.workers, options.all, options.tests)
        except subprocess.CalledProcessError as error:
            results[str(python)] = f"could not be made ready: {error}"
            ran.append(False)
            continue
        results[str(python)] = result or "the tests did not come to an end"
        ran.append(result is not None and result.tests > 0 and not result.failed)
    print(table(results))
    return 0 if ran and all(ran) else 1


if __name__ == "__main__":
    sys.exit(main())
