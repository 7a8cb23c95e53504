"""The progress of a copy: shown on a terminal only, after a second, and removed."""

from __future__ import annotations

import io
import re
import sys

import pytest

from zchat.broker.store.sqlite.backup import Content
from zchat.cli import copying, ending, progress_line
from zchat.cli.copying import Copying, content_text
from zchat.cli.progress_line import ECHO


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal until the test ends; pytest undoes what a fixture does there."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(copying, "BEGIN", 0.0)
    monkeypatch.setattr(copying, "EVERY", 0.0)
    return terminal


def test_it_is_shown_on_a_terminal_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Copying(True) as line:
        line.step(3 << 20, 1000 << 20)
        line.step(1000 << 20, 1000 << 20)
    first, second, gone = terminal.getvalue().split("\r")[1:4]
    assert (first, second, gone.strip()) == ("3 of 1,000 MiB copied", "1,000 of 1,000 MiB copied", "")
    assert len(gone) == len(second) + ECHO


@pytest.mark.parametrize("columns", [6, 20, 25, 26, 80])
def test_it_fits_a_terminal_of_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(progress_line, "terminal_width", lambda stream: columns)
    terminal = on_terminal(monkeypatch)
    with Copying(True) as line:
        line.step(100 << 20, 1000 << 20)
        line.step(1000 << 20, 1000 << 20)
    shown = re.split(r"[\r\b]+", terminal.getvalue())
    assert max(map(len, shown)) < columns
    assert shown[1].strip() == ("10%" if columns == 6 else "100 MiB" if columns < 26 else "100 of 1,000 MiB copied")


@pytest.mark.parametrize(
    ("columns", "shown"), [(80, "1,234 of 5,678 messages copied"), (30, "1,234 copied"), (10, "21%"), (3, "")]
)
def test_messages_are_shown_likewise(monkeypatch: pytest.MonkeyPatch, columns: int, shown: str) -> None:
    monkeypatch.setattr(progress_line, "terminal_width", lambda stream: columns)
    terminal = on_terminal(monkeypatch)
    with Copying(True) as line:
        line.step_messages("copied", 1234, 5678)
    assert terminal.getvalue().strip().split("\r")[0].strip() == shown


def test_it_is_not_shown_if_not_wanted_or_for_less_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Copying(False) as line:
        line.step(1, 2)
    monkeypatch.setattr(copying, "BEGIN", 1000.0)
    with Copying(True) as line:
        line.step(1, 2)
    assert terminal.getvalue() == ""


def test_a_signal_ends_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "asked", lambda: 143)
    with Copying(False) as line, pytest.raises(ending.Ended):
        line.step(1, 2)
    with Copying(False) as line, pytest.raises(ending.Ended):
        line.step_messages("copied", 1, 2)


def test_an_empty_database_has_no_newest_message() -> None:
    assert content_text(Content(0, 0, 0)) == "0 messages in 0 rooms"
