"""Commands in the background of a terminal, which another job has: they stop, go on, and end whenever asked to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.cli.driver import bodies, say
from tests.cli.outside import CODES, Pipe, members
from tests.running import DEADLINE, ZCHAT, eventually, read_now
from zchat.broker import Broker

SHELL = """
import os, signal, subprocess, sys, termios
report, tostop, line = int(sys.argv[1]), sys.argv[2] == "tostop", sys.argv[3:]
os.close(os.open(os.ttyname(0), os.O_RDWR))  # from now on it is the session's, and this process in the foreground
modes = termios.tcgetattr(0)
modes[3] |= termios.TOSTOP * tostop
termios.tcsetattr(0, termios.TCSANOW, modes)
job = subprocess.Popen(["sh", "-c", *line], process_group=0)
def go_on(number, frame):
    if number == signal.SIGUSR1:
        os.tcsetpgrp(0, job.pid)
    os.killpg(job.pid, signal.SIGCONT)
signal.signal(signal.SIGUSR1, go_on)
signal.signal(signal.SIGUSR2, go_on)
os.write(report, b"%d\\n" % job.pid)
while True:
    _, status = os.waitpid(job.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.write(report, b"stopped by %d\\n" % os.WSTOPSIG(status))
os.write(report, b"ended with %d\\n" % os.waitstatus_to_exitcode(status))
signal.pause()  # the terminal is there until the test is over
"""
"""What a shell does with a job that is begun in the background; at SIGUSR1 it does `fg`, at SIGUSR2 `bg`."""

BROKER = "broker --bind tcp://127.0.0.1:* --store memory:"
WEB = "web --open --listen 127.0.0.1:*"

READING = ["send General", "client"]
"""What reads a terminal once something is typed there."""

WRITING = [
    *("rooms", "tail General", "tail -f General", "top", "client", "--help", "nonsense"),
    *(BROKER, f"{BROKER} --log-level info >/dev/null", f"{BROKER} --log-level debug", WEB, "send General <fifo"),
]
"""What writes to one: also an error, a log, a progress."""

ENDS = [
    *((READING[0], number) for number in CODES),
    *((line, signal.SIGTERM) for line in (READING[1], *WRITING)),
    *((line, signal.SIGHUP) for line in ("tail -f General", WEB)),
]


class Job:
    """A job of a shell on a terminal of its own.

    Args:
        script: what sh runs, `$@` in which is zchat.
        environment: its environment.
        folder: where it runs.
        tostop: True if it may not write to the terminal in the background, either.
    """

    def __init__(self, script: str, environment: dict[str, str], folder: Path, tostop: bool) -> None:
        self.master, slave = os.openpty()
        self._report = Pipe()
        self._lines: list[str] = []
        self._over = False
        job = [str(self._report.into), "tostop" if tostop else "", script, "sh", *ZCHAT]
        self._shell = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SHELL, *job],
            env=environment | {"TERM": "dumb"},
            cwd=folder,
            start_new_session=True,
            pass_fds=(self._report.into,),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.shown = b""
        """What the terminal has shown."""
        self.pid = int(self.told())
        """The process, which is a group of its own."""

    def told(self) -> str:
        """Return what the shell is told next about the job, once it is."""

        def is_told() -> bool:
            self.shown += read_now(self.master)
            self._lines += self._report.read().decode().splitlines()
            return bool(self._lines)

        eventually(is_told, lambda: f"nothing is told; shown: {self.shown!r}")
        self._over = self._over or "ended" in self._lines[0]
        return self._lines.pop(0)

    def type(self, text: str) -> None:
        """Type text."""
        os.write(self.master, text.encode())

    def end(self, number: int) -> None:
        """Do as `kill` of a shell, and `timeout`."""
        os.kill(self.pid, number)
        os.kill(self.pid, signal.SIGCONT)

    def fg(self) -> None:
        """Have it go on in the foreground."""
        self._shell.send_signal(signal.SIGUSR1)

    def bg(self) -> None:
        """Have it go on where it is."""
        self._shell.send_signal(signal.SIGUSR2)

    def close(self) -> None:
        """End all of it."""
        if not self._over:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._shell.kill()
        self._shell.wait(DEADLINE)
        os.close(self.master)
        self._report.close()


@pytest.fixture
def begin(broker: Broker, environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Give a function that begins a job in the background."""
    say(broker, "General", "hi")
    eventually(lambda: members(broker) == 0, "who has spoken is gone")
    with ExitStack() as stack:

        def run(line: str, *, script: str = 'exec "$@" ', tostop: bool = False) -> Job:
            job = Job(script + line, environment, tmp_path, tostop)
            stack.callback(job.close)
            return job

        yield run


def stop_reading(job: Job, broker: Broker) -> None:
    """Have a job stop that reads the terminal."""
    eventually(lambda: members(broker) == 1, "it is there")
    job.type("typed\n")
    assert job.told() == f"stopped by {signal.SIGTTIN}"


@pytest.mark.parametrize(("line", "number"), ENDS)
def test_a_command_that_was_stopped_for_its_terminal_ends_in_order(
    begin: Callable[..., Job], broker: Broker, tmp_path: Path, line: str, number: int
) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(fifo, b"a line\n")
    job = begin(line, tostop=line not in READING)
    if line in READING:
        stop_reading(job, broker)
    else:
        assert job.told() == f"stopped by {signal.SIGTTOU}"
    job.end(number)
    serves = line.startswith((BROKER, WEB))
    assert job.told() == f"ended with {0 if serves else CODES[signal.Signals(number)]}"
    eventually(lambda: members(broker) == 0, "it has left")
    os.close(fifo)


def test_one_that_is_asked_to_end_while_it_writes_is_not_stopped_any_more(begin: Callable[..., Job]) -> None:
    job = begin("tail -f General", tostop=True)
    for _ in range(3):
        assert job.told() == f"stopped by {signal.SIGTTOU}"
        job.bg()
    job.end(signal.SIGTERM)
    while (told := job.told()) == f"stopped by {signal.SIGTTOU}":
        os.kill(job.pid, signal.SIGCONT)  # it was stopped just before the signal came
    assert told == "ended with 143"
    assert b"hi" not in job.shown


@pytest.mark.parametrize("line", READING)
def test_one_that_reads_stops_again_in_the_background_and_loses_nothing_in_the_foreground(
    begin: Callable[..., Job], broker: Broker, line: str
) -> None:
    job = begin(line)
    stop_reading(job, broker)
    job.bg()
    assert job.told() == f"stopped by {signal.SIGTTIN}"
    job.fg()
    job.type("and more\n\x04")
    assert job.told() == "ended with 0"
    assert bodies(broker, "General") == ["hi", "typed", "and more"]


def test_one_that_writes_goes_on_in_the_foreground_where_it_was_stopped(begin: Callable[..., Job]) -> None:
    job = begin("tail General", tostop=True)
    assert job.told() == f"stopped by {signal.SIGTTOU}"
    assert b"hi" not in job.shown
    job.fg()
    assert job.told() == "ended with 0"
    assert re.fullmatch(rb"\[[\d:]+\] bob: hi\r\n", job.shown + read_now(job.master))


def test_in_the_background_a_terminal_is_written_to_unless_it_says_otherwise(begin: Callable[..., Job]) -> None:
    job = begin("tail General")
    assert job.told() == "ended with 0"
    assert re.fullmatch(rb"\[[\d:]+\] bob: hi\r\n", job.shown + read_now(job.master))


@pytest.mark.parametrize("script", ['"$@" send General <&3 2>told &', '("$@" send General <&3 2>told; true) &'])
def test_one_that_nobody_would_continue_is_not_stopped_and_says_that_it_can_not_read(
    begin: Callable[..., Job], broker: Broker, tmp_path: Path, script: str
) -> None:
    job = begin("", script=f"{{ {script} }} 3<&0")
    assert job.told() == "ended with 0"
    eventually(lambda: members(broker) == 1, "it is there")
    job.type("typed\n")
    eventually(lambda: "Input/output error: 'standard input'" in (tmp_path / "told").read_text(), "it says so")
    eventually(lambda: members(broker) == 0, "it has left")
