from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest._code.code import TracebackEntry
from hypothesis import settings

from zchat.logs import broker_log, cli_log, client_log

pytest_plugins = ["tests.cores", "tests.loop", "tests.faces"]

for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if (
        signal.getsignal(_number) is signal.SIG_IGN
    ):  # by nohup, or a script's &: the commands under test would inherit it
        signal.signal(_number, signal.SIG_DFL)

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent

TRACED = (
    "cli/chat", "cli/commands", "cli/screen", "cli/tail", "cli/test_completion.py", "cli/test_limits.py",
    "cli/test_main.py", "cli/test_progress_line.py", "client/test_dropped.py", "test_operations.py",
)  # fmt: skip
"""Where coverage is measured in the processes too that the tests start, for 0.2 s each; others start the same lines."""


def _line(entry: TracebackEntry) -> int:
    """Return the line of a traceback's entry, from 0; where Python knows none, that of its function.

    pytest would end the whole run over it, and not say what has failed.
    """
    line: int | None = entry._rawentry.tb_lineno
    return (entry.frame.code.firstlineno + 1 if line is None else line) - 1


TracebackEntry.lineno = property(_line)  # type: ignore[method-assign,assignment]

# A busy machine makes an example slow, never wrong.
settings.register_profile("zchat", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=25)
settings.load_profile("zchat")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    place = item.path.relative_to(FOLDER)
    measured = any(place.is_relative_to(each) for each in TRACED)
    settings = None if measured else os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    try:
        return (yield)
    finally:
        if settings is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = settings


@pytest.fixture(autouse=True)
def all_lines_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test's log from telling of the lines that another one has lost."""
    for logger in (broker_log, client_log, cli_log):
        monkeypatch.setattr(logger, "_unreported", 0)


@pytest.fixture(scope="session")
def needs() -> Callable[[str], str]:
    """Give a function that returns where a program is, and skips the test if it is missing (fails it in CI)."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            reason = f"{program} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{reason}, and in CI nothing may be skipped for that")
            pytest.skip(reason)
        return path

    return find


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """Give the files that belong to the project: those git knows, and new ones that it doesn't ignore.

    Skips the test where git can't tell: in an unpacked source archive, or without git.
    """
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no clone, or git is not installed: nothing tells which files are the project's")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return [place for place in listed.stdout.split("\0") if place and os.path.lexists(ROOT / place)]
