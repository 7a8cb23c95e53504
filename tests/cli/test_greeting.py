"""What a command that serves prints at its start."""

from __future__ import annotations

import io
import logging

import pytest

from zchat.cli.greeting import greet
from zchat.logs import web_log


class Full(io.StringIO):
    """A standard output that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_greeting_that_can_not_be_printed_is_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    greet("zchat web at http://127.0.0.1:8080/", web_log)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.__dict__["fields"]) == (
        ("zchat.web", logging.WARNING, {"event": "greeting_failed"})
    )
    assert "No space left on device" in record.getMessage()


def test_a_greeting_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    greet("zchat web at http://127.0.0.1:8080/", web_log)
    assert capsys.readouterr().out == "zchat web at http://127.0.0.1:8080/\n"
