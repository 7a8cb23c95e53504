"""The progress of `zchat send`: one line, on a terminal alone, and gone at the end."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.cli.terminals import Terminal, Tmux
from tests.running import DEADLINE, ZCHAT, eventually, read_now, read_to_the_end
from zchat.broker import Broker
from zchat.cli import progress_line
from zchat.cli.progress_line import ECHO, RewrittenLine, progress_texts


def on_a_terminal(broker: Broker, *options: str, seconds: float, until: bytes = b"") -> str:
    """Return what `send` writes on a terminal while lines come for some seconds, and until it has written something."""
    terminal, its = pty.openpty()
    try:
        environment = os.environ | {"ZCHAT_URL": broker.url, "ZCHAT_USER": "alice"}
        process = subprocess.Popen(
            [*ZCHAT, "send", *options, "General"], stdin=subprocess.PIPE, stderr=its, env=environment
        )
        os.close(its)
        assert process.stdin
        begun = time.monotonic()
        told = b""
        while time.monotonic() < begun + seconds or until not in told:
            assert time.monotonic() < begun + DEADLINE, told
            if select.select([], [process.stdin], [], 0.1)[1]:  # else it has enough, or waits for its lines to be read
                os.write(process.stdin.fileno(), b"line\n" * 800)
            told += read_now(terminal)
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
        told += read_to_the_end(terminal)
        return told.decode()
    finally:
        os.close(terminal)


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ at their end")
def test_progress_is_one_line_on_a_terminal_and_gone_in_the_end(broker: Broker) -> None:
    shown = on_a_terminal(broker, seconds=2, until=b" stored, ")
    lines = re.findall(r"\r([\d,]+ (?:stored, [\d,]+/s|messages stored, [\d,]+ per second))", shown)
    assert 1 <= len(lines) <= 20, shown
    assert "\n" not in shown
    width = max(map(len, re.split(r"[\r\b]", shown)))
    assert width < 80
    assert shown.endswith("\r" + " " * (len(lines[-1]) + ECHO) + "\r")


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ at their end")
def test_what_is_done_soon_or_wants_no_progress_shows_none(broker: Broker) -> None:
    assert on_a_terminal(broker, seconds=0) == ""
    assert on_a_terminal(broker, "--no-progress", seconds=1.5) == ""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Give a function that returns what a line writes for texts on a terminal of so many columns."""
    line = RewrittenLine()

    def write(columns: int, *texts: str) -> str:
        monkeypatch.setattr(progress_line, "terminal_width", lambda stream: columns)
        terminal = io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            line.write(*texts)
        return terminal.getvalue()

    return write


def test_the_line_has_the_first_text_that_fits_the_terminal(written: Callable[..., str]) -> None:
    texts = progress_texts(1_234_567, 310_123.4)
    assert written(80, *texts) == "\r1,234,567 messages stored, 310,000 per second"
    assert written(40, *texts) == "\r1,234,567 stored, 310,000/s" + " " * 12 + "\b" * 12
    assert written(12, *progress_texts(1_234_567, 9_876.4)) == "\r1,234,567  \b\b"
    assert written(9, *texts) == "\r" + " " * 8 + "\r"
    assert written(9, *texts) == written(9, "") == ""


@pytest.mark.parametrize("columns", range(1, 60))
def test_the_line_is_never_as_wide_as_the_terminal(written: Callable[..., str], columns: int) -> None:
    written(80, *progress_texts(10**9, 123_456))
    for texts in (progress_texts(10**9, 123_456), ("",)):
        parts = re.split(r"[\r\b]", written(columns, *texts))
        assert all(len(part) < columns for part in parts)
        assert all(len(part.rstrip()) + ECHO < columns for part in parts if part.strip())


@pytest.mark.parametrize("columns", [17, 20, 40, 80])
def test_ctrl_c_leaves_nothing_of_the_line(tmux: Tmux, broker: Broker, columns: int) -> None:
    lines = "trap : INT; (trap '' INT; while seq 300; do sleep 0.4; done) | "
    alice = Terminal(tmux, "alice", columns, "A room with a rather long name", before=lines, command="send")
    eventually(lambda: re.match(r"[\d,]+( |$)", alice.screen(), re.MULTILINE) is not None, "it shows progress")
    alice.keys("C-c")
    eventually(lambda: "exit code" in alice.screen(), alice.screen)
    shown = " ".join(alice.screen().split())
    assert re.fullmatch(r"zchat: .* exit code 130", shown), shown
    assert "^C" not in shown
