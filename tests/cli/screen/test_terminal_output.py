"""Whatever size a terminal says it has, what is drawn on it is bounded."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import DummyOutput

from tests.cli.outside import command, terminal
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.cli.screen.terminal_output import MOST, terminal_output


@pytest.mark.parametrize(
    ("said", "drawn"),
    [((24, 80), (24, 80)), ((65_535, 65_535), MOST), ((24, 65_535), (24, MOST.columns)), ((65_535, 9), (MOST.rows, 9))],
)
def test_a_screen_is_as_large_as_the_terminal_says_up_to_a_bound(
    said: tuple[int, int], drawn: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DummyOutput, "get_size", lambda _: Size(*said))
    with create_app_session(output=DummyOutput()):
        for _ in range(2_000):
            assert terminal_output().get_size() == drawn


@pytest.mark.parametrize("size", [(65_535, 65_535), (0, 0), (1, 1)], ids=repr)
def test_top_draws_and_ends_on_a_terminal_of_any_size(
    broker: Broker, environment: dict[str, str], size: tuple[int, int]
) -> None:
    with terminal() as (master, slave):
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        variables = environment | {"TERM": "xterm"}
        line = ("top", "-n", "1")
        with command(*line, environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            os.set_blocking(master, False)
            shown = b""

            def ended() -> bool:
                nonlocal shown
                try:
                    while more := os.read(master, 1 << 20):
                        shown += more
                except BlockingIOError:
                    pass
                return process.poll() is not None

            eventually(ended, "it has ended")
            assert process.wait(DEADLINE) == 0, shown[-1000:]
        os.close(slave)
    assert b"Traceback" not in shown
