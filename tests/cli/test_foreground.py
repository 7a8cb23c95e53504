"""Whether a command has its terminal: asked before it is used."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import termios
from contextlib import suppress

import pytest

from tests.cli.outside import terminal
from tests.running import eventually
from zchat.cli import ending
from zchat.cli.foreground import clear_way, in_foreground, takes, unstopped


def test_a_terminal_that_is_no_jobs_is_ones_own() -> None:
    with terminal() as (_, slave):
        assert in_foreground(slave)
        os.close(slave)


def test_without_a_terminal_nothing_is_in_the_background() -> None:
    with open(os.devnull) as nothing:
        assert in_foreground(nothing.fileno())


def test_what_a_terminal_has_not_taken_makes_way_whether_it_is_full_or_stopped() -> None:
    with terminal() as (master, slave):
        os.set_blocking(slave, False)
        with suppress(BlockingIOError):
            while True:
                os.write(slave, b"x" * 100)
        eventually(lambda: not takes(slave), "it is full")
        assert clear_way(slave)
        termios.tcflow(slave, termios.TCOOFF)
        assert not takes(slave)
        assert clear_way(slave)
        os.write(master, b"\x13")
        eventually(lambda: not takes(slave), "Ctrl-S has stopped it")
        assert clear_way(slave)
        os.close(slave)


def test_only_while_it_has_the_screen_does_a_command_ignore_what_would_stop_it() -> None:
    numbers = signal.SIGTTIN, signal.SIGTTOU
    before = [signal.getsignal(number) for number in numbers]
    with unstopped():
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_IGN] * 2
    assert [signal.getsignal(number) for number in numbers] == before


def test_in_the_background_it_waits_by_a_descriptor_of_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    out, into = os.pipe()
    high = fcntl.fcntl(out, fcntl.F_DUPFD, 1100)
    asked = iter([False, False, True])
    try:
        monkeypatch.setattr(ending, "in_foreground", lambda descriptor: next(asked))
        monkeypatch.setattr(ending._state, "descriptor", high)
        with ending.full_screen():
            assert next(asked, None) is None
        asked = iter([False, False])
        os.write(into, b"a signal")
        with pytest.raises(ending.Ended), ending.full_screen():
            pass
    finally:
        for each in (out, into, high):
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
