"""What goes wrong is reported in one line, with an exit code; a closed pipe is a quiet end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import termios
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from tests.cli.driver import say
from tests.cli.outside import terminal
from tests.running import DEADLINE, Start, eventually, read_now
from zchat.broker import Broker
from zchat.cli.failures import reported_in_one_line
from zchat.errors import Banned


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


def test_a_full_disk_is_reported_in_one_line(start: Start) -> None:
    running = start(shell='"$@" rooms >/dev/full')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*No space.*standard output.*\n", running.errors)


def test_an_input_that_cant_be_read_is_reported_in_one_line(start: Start) -> None:
    running = start(shell='"$@" send General 0>/dev/null')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*standard input.*\n", running.errors)


def test_a_command_in_a_folder_that_was_removed_says_so(start: Start, tmp_path: Path) -> None:
    lines = (
        "tail General --resume f",
        "ping --connect ipc://f",
        "broker --store sqlite:f",
        "backup --store sqlite:/f g",
        "copy sqlite:f sqlite:g",
        "keygen alice",
        "keygen --server f",
        "rules f alice General",
        "broker --keys f",
        "broker --config f",
        "web --page f --open",
    )
    commands = "; ".join(f'"$@" {line}; echo $?' for line in lines)
    running = start(shell=f'mkdir "$FOLDER"; cd "$FOLDER"; rmdir "$FOLDER"; {commands}', FOLDER=str(tmp_path / "gone"))
    assert running.end() == 0
    assert running.text.split() == ["1"] * 7 + ["2"] * 4
    gone = "the current folder was removed: go to another (cd)"
    assert running.errors.splitlines() == [
        f"zchat: f can't be used: {gone}, or give --resume a path in full",
        f"zchat: 'ipc://f' can't be used: {gone}, or name the path in full (--connect URL)",
        f"zchat: f can't be used: {gone}; fix that, or name another file (--store URL)",
        f"zchat: g can't be used: {gone}; fix that, or name another file",
        f"zchat: f can't be used: {gone}; fix that, or name another file",
        f"zchat: 'alice.key_secret' can't be written ({gone}); choose another folder",
        f"zchat: 'f' can't be made ({gone}); choose another folder",
        f"zchat: the rules in 'f' can't be read: {gone}",
        f"zchat: 'f/server.key_secret' can't be read ({gone}); name a file that zchat keygen made (--keys DIR)",
        f"zchat: f can't be read ({gone}); name another with --config",
        f"zchat: the page in 'f' can't be read: {gone}",
    ]


@pytest.mark.parametrize(
    "line", ["tail @root", "send @ROOT hi", "send @root", "members @root", "client @root", "rules $RULES root @root"]
)
def test_a_direct_room_with_oneself_is_wrong_usage(start: Start, broker: Broker, tmp_path: Path, line: str) -> None:
    (tmp_path / "rules").write_text("")
    running = start(shell=f'echo hello | ZCHAT_USER=root "$@" {line}', RULES=str(tmp_path / "rules"))
    assert running.end() == 2
    assert running.errors == "zchat: a direct room has two users, and both are 'root'; name another user\n"


@pytest.mark.parametrize("line", ["send Ops²", "client Ops²", "tail General --user Ops²"])
def test_so_is_a_name_that_the_broker_alone_refuses(start: Start, broker: Broker, line: str) -> None:
    running = start(shell=f'echo hello | "$@" {line}')
    assert running.end() == 2
    assert "has compatibility forms; write 'Ops2'" in " ".join(running.errors.split())


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("rules FILE /a b", "USER"),
        ("rules FILE a /b", "ROOM"),
        ("tail /b", "ROOM"),
        ("client /b", "ROOM"),
        ("send", "ROOM"),
        ("restore a", "PATH"),
    ],
)
def test_an_argument_is_named_without_the_brackets_of_the_usage(start: Start, line: str, name: str) -> None:
    running = start(shell=f'"$@" {line}')
    assert running.end() == 2
    assert re.match(rf"zchat: (Invalid value for|Missing argument) '{name}'[:.] ", running.errors)


def test_what_a_ban_refuses_is_reported_by_the_clock_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    until = datetime(2135, 6, 1, 12, 0)
    text = f"you are banned from 'Ops' until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, by bob"
    with pytest.raises(click.exceptions.Exit), reported_in_one_line():
        raise Banned(text, detail=int(until.timestamp()))
    assert capsys.readouterr().err == "zchat: you are banned from 'Ops' until 2135-06-01 12:00, by bob\n"


FAULTY = """
import asyncio, sys
from zchat.cli import ending
from zchat.cli.chat.terminal import loop
from zchat.cli.main import main

async def chat(*arguments):
    open(sys.argv.pop(), "w").close()
    while not ending.asked():
        await asyncio.sleep(0.01)
    raise RuntimeError("a fault")

loop._chat = chat
main(sys.argv[1:2])
"""
"""A chat that has a fault as it ends."""


@pytest.mark.parametrize("stopped", [False, True], ids=["goes on", "takes nothing"])
def test_a_fault_at_the_end_is_printed_unless_its_terminal_takes_nothing(
    broker: Broker, environment: dict[str, str], tmp_path: Path, stopped: bool
) -> None:
    """Python went on printing past standard error, at a terminal that took nothing for ever: all threads waited."""
    with terminal() as (master, slave):
        process = subprocess.Popen(
            [sys.executable, "-c", FAULTY, "client", str(tmp_path / "there")],
            env=environment | {"TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        try:
            eventually((tmp_path / "there").exists, "it runs")
            if stopped:
                termios.tcflow(slave, termios.TCOOFF)
            process.terminate()
            assert process.wait(DEADLINE) == 1
        finally:
            process.kill()
            process.wait(DEADLINE)
        assert (b"RuntimeError: a fault" in read_now(master)) is not stopped


SILENT = """
import os, sys, threading
from zchat.cli import streams

class Stream:
    left = 3
    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise OSError("it takes no more")
    def flush(self):
        pass

def fault():
    sys.stderr = Stream()
    raise RuntimeError("a fault")

def leave():
    sys.exit("not to be seen")

streams.print_faults()
os.set_blocking(2, False)
try:
    while True:
        os.write(2, bytes(4096))
except BlockingIOError:
    os.set_blocking(2, True)
for each in (leave, fault):
    thread = threading.Thread(target=each)
    thread.start()
    thread.join()
    assert getattr(sys.stderr, "left", -1) < 0, "it was printed, as far as possible"
fault()
"""
"""Faults, a thread's too, of which standard error takes the first words alone, and the system's stream none."""


def test_a_fault_that_is_printed_in_part_holds_up_nobody() -> None:
    out, into = os.pipe()  # nobody reads it
    try:
        done = subprocess.run([sys.executable, "-c", SILENT], stderr=into, timeout=DEADLINE, check=False)
    finally:
        os.close(into)
        os.close(out)
    assert done.returncode == 1
