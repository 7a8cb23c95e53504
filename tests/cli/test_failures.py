"""What goes wrong is told in one line, with an exit code; a closed pipe is a quiet end."""

from __future__ import annotations

import re

import pytest

from tests.cli.driver import say
from tests.running import Start
from zchat.broker import Broker


@pytest.mark.parametrize(
    "line",
    [
        '"$@" tail --after 0 Long | head -n 1 >/dev/null',
        '"$@" tail -f -n 1 Long | head -n 1 >/dev/null',
        'yes | head -n 2000 | "$@" client | head -n 1 >/dev/null',
        '"$@" --help | true',
        '"$@" send Long <&-',
        '"$@" rooms 2>&- >/dev/null',
    ],
)
def test_a_closed_pipe_is_a_quiet_end(start: Start, broker: Broker, line: str) -> None:
    say(broker, "Long", *(f"a line of some length, number {number}" for number in range(20_000)))
    running = start(shell=f"{line}; echo ${{PIPESTATUS[@]}} >&2")
    assert running.end() == 0
    *pipeline, code = re.fullmatch(r"([\d ]+)\n", running.errors)[1].split()  # type: ignore[index]
    assert set(pipeline) | {code} <= {"0", "141"}  # 141: what `yes` has when nobody reads
    assert running.text == ""


def test_a_full_disk_is_told_in_one_line(start: Start) -> None:
    running = start(shell='"$@" rooms >/dev/full')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*No space.*standard output.*\n", running.errors)


def test_an_input_that_cant_be_read_is_told_in_one_line(start: Start) -> None:
    running = start(shell='"$@" send General 0>/dev/null')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*standard input.*\n", running.errors)
