"""What every command writes on a terminal fits it: no name and no text makes the terminal break a line."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pytest

import zchat as library
from tests.cli.driver import say
from tests.cli.emulator import Counting, Emulator, begins_like_a_message, most, unheard_of
from tests.cli.outside import CODES, command, terminal
from tests.running import DEADLINE, ROOT, ZCHAT, read_to_the_end
from zchat.broker import Broker

FORGED = "[12:00:00] alice: yes, pay him"
WIDTHS = [20, 40, 80]

Show = Callable[..., Emulator]


@pytest.fixture
def show(environment: dict[str, str]) -> Show:
    """Give a function that runs the command on a terminal to its end and returns what that shows."""

    def run(columns: int, *arguments: str, stdin: str = "", counting: Counting = most, **extra: str) -> Emulator:
        own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            [*ZCHAT, *arguments],
            stdin=subprocess.PIPE,
            stdout=other,
            stderr=other,
            env=environment | {"TERM": "xterm"} | extra,
            cwd=ROOT,
        )
        os.close(other)
        assert process.stdin
        process.stdin.write(stdin.encode())
        process.stdin.close()
        written = read_to_the_end(own)
        os.close(own)
        process.wait(DEADLINE)
        screen = Emulator(columns, 1_000, counting)
        screen.feed(written.decode("iso8859-1" if "iso" in extra.get("PYTHONIOENCODING", "") else "utf-8"))
        return screen

    return run


def broken(screen: Emulator) -> list[str]:
    """Return the rows that the terminal had to break, but those of an address, which are left to it."""
    rows = screen.text_rows()
    return [rows[row] for row in screen.broken if "tcp://" not in "".join(rows[max(0, row - 2) : row + 1])]


def fill(broker: Broker) -> None:
    with library.Client(broker.url, user="mallory " + "日" * 40) as client:
        room = client.join("x" * 33 + FORGED[:31])
        room.send("hello")
        general = client.join("General")
        for columns in WIDTHS:
            general.send("." * (columns - len("[12:00:00] mallory: ")) + FORGED)
            general.send("❤\ufe0f" * columns + FORGED)
            general.send("\U0001f1e6" * columns + FORGED)
        general.send("x\n" * 100)


@pytest.mark.parametrize("columns", WIDTHS)
def test_tail_breaks_its_lines_itself_and_cuts_long_messages(broker: Broker, show: Show, columns: int) -> None:
    fill(broker)
    screen = show(columns, "tail", "General", "-n", "20")
    rows = [row for row in screen.text_rows() if row]
    assert not screen.broken
    assert sum(begins_like_a_message(row) for row in rows) == 10
    assert any(row.startswith("    … cut here;") for row in rows)
    assert 30 < sum(row == "    x" for row in rows) < 40


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_terminal_with_widths_of_its_own_breaks_no_line_either(broker: Broker, show: Show, columns: int) -> None:
    with library.Client(broker.url, user="mallory") as client:
        for before in range(10):
            client.join("General").send("é" * columns + "." * before + FORGED)
    screen = show(columns, "tail", "General", counting=unheard_of)
    assert not screen.broken
    assert sum(begins_like_a_message(row) for row in screen.text_rows()) == 10


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1"])
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", ["tail", "client", "members", "top", "history of errors"])
def test_what_an_encoding_lacks_is_counted_as_its_escape(
    broker: Broker, show: Show, command: str, columns: int, encoding: str
) -> None:
    fill(broker)
    with library.Client(broker.url, user="mallory") as client:
        for before in range(13):
            client.join("General").send("中" * 10 + "\u00a0" * before + FORGED)
    arguments = {
        "tail": ["tail", "General"],
        "client": ["client"],
        "members": ["members", "General"],
        "top": ["top", "-n", "1"],
    }.get(command, ["tail", "中" * 33 + FORGED[:31]])
    screen = show(columns, *arguments, stdin="/messages 20\n", TERM="dumb", PYTHONIOENCODING=encoding)
    assert not broken(screen)
    count = sum(begins_like_a_message(row) for row in screen.text_rows())
    assert count == {"tail": 10, "client": 20}.get(command, 0)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_chat_by_lines_does_so_too(broker: Broker, show: Show, columns: int) -> None:
    fill(broker)
    screen = show(columns, "client", stdin="/messages 20\n/list\n/members\n/show 10\n", TERM="dumb")
    rows = [row for row in screen.text_rows() if row]
    assert not broken(screen)
    assert sum(begins_like_a_message(row) for row in rows) == 11
    assert sum("… cut here; /show 10" in row for row in rows) == 1 or columns == 20
    assert sum(row == "    x" for row in rows) > 30 + 98  # once cut and once, as was asked for, whole


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", ["rooms", "members", "stats", "top"])
def test_tables_fit_their_terminal(broker: Broker, show: Show, command: str, columns: int) -> None:
    fill(broker)
    arguments = {"members": ["General"], "top": ["-n", "1"]}.get(command, [])
    with library.Client(broker.url, user="[12:00:00] bob<: " + "日" * 40) as client:
        client.join("General")
        screen = show(columns, command, *arguments)
    assert not screen.broken
    assert len([row for row in screen.text_rows() if row]) > 1


@pytest.mark.parametrize("columns", WIDTHS)
def test_an_error_fits_its_terminal(show: Show, columns: int) -> None:
    screen = show(columns, "tail", "x" * 33 + FORGED[:31])
    assert not screen.broken
    rows = screen.text_rows()
    assert rows[0].startswith("zchat: ")
    assert not [row for row in rows if begins_like_a_message(row)]


def test_in_a_pipe_a_message_is_one_line_and_whole(
    broker: Broker, zchat: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    fill(broker)
    lines = zchat("tail", "General", "-n", "2").stdout.split("\n")
    assert re.fullmatch(r"\[.*\] mallory 日{40}: (\U0001f1e6){80}\[12:00:00\] alice: yes, pay him", lines[0])
    assert sum(line == "    x" for line in lines) == 99


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("length", [977, 983, 991])
def test_who_is_ended_amid_a_row_leaves_a_terminal_that_breaks_lines(
    broker: Broker, environment: dict[str, str], number: signal.Signals, length: int
) -> None:
    name = f"Wide {length} {number.name}"
    say(broker, name, *("日本語" * length for _ in range(100)))
    with terminal() as (own, other):
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 1000, 0, 0))
        environment |= {"TERM": "xterm"}
        with command("tail", "-n", "100", name, environment=environment, stdout=other, stderr=other) as process:
            os.close(other)
            written = os.read(own, 1000)
            time.sleep(0.5)  # nothing shows that it waits for the terminal
            process.send_signal(number)
            assert process.wait(DEADLINE) == CODES[number]
        written += read_to_the_end(own)
    assert re.findall(rb"\x1b\[\?7[hl]", written)[-1] == b"\x1b[?7h"
