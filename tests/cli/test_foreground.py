"""Whether a command has its terminal: asked before it is used."""

from __future__ import annotations

import os
import signal

from tests.cli.outside import terminal
from zchat.cli.foreground import in_foreground, unstopped


def test_a_terminal_that_is_no_jobs_is_ones_own() -> None:
    with terminal() as (_, slave):
        assert in_foreground(slave)
        os.close(slave)


def test_without_a_terminal_nothing_is_in_the_background() -> None:
    with open(os.devnull) as nothing:
        assert in_foreground(nothing.fileno())


def test_only_while_it_has_the_screen_does_a_command_ignore_what_would_stop_it() -> None:
    numbers = signal.SIGTTIN, signal.SIGTTOU
    before = [signal.getsignal(number) for number in numbers]
    with unstopped():
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_IGN] * 2
    assert [signal.getsignal(number) for number in numbers] == before
