"""What the world outside a command is like in these tests: pipes that don't block, late readers, no readers, PID 1."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import pwd
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running import DEADLINE, ZCHAT, eventually
from zchat.broker import Broker

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGQUIT: 131}
"""The signals that ask a command to end, each with the exit code that it makes."""


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process run as a user without an entry in the system's list, as in a container, and without HOME."""

    def nobody(user: int) -> pwd.struct_passwd:
        raise KeyError(user)

    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


class Pipe:
    """A pipe in non-blocking mode at both ends."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        os.set_blocking(self.out, False)
        os.set_blocking(self.into, False)

    def read(self) -> bytes:
        """Return what is in it."""
        data = b""
        try:
            while more := os.read(self.out, 1 << 16):
                data += more
        except BlockingIOError:
            pass
        return data

    def fill(self) -> int:
        """Write until nothing more goes in; return how many bytes went."""
        count = 0
        try:
            while True:
                count += os.write(self.into, b"x" * 4096)
        except BlockingIOError:
            return count

    @property
    def full(self) -> bool:
        """Return True if it takes nothing more."""
        return not select.select([], [self.into], [], 0)[1]

    def close(self) -> None:
        """Close both ends."""
        self.close_into()
        os.close(self.out)

    def close_into(self) -> None:
        """Close the end for writing."""
        if self.into >= 0:
            os.close(self.into)
            self.into = -1


@contextmanager
def pipes(count: int) -> Iterator[list[Pipe]]:
    """Give so many pipes."""
    made = [Pipe() for _ in range(count)]
    try:
        yield made
    finally:
        for pipe in made:
            pipe.close()


@contextmanager
def command(
    *arguments: str, environment: dict[str, str], before: tuple[str, ...] = (), **streams: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of `zchat` with these descriptors as its streams; what it isn't given is empty."""
    stdin, stdout, stderr = (streams.get(name, subprocess.DEVNULL) for name in ("stdin", "stdout", "stderr"))
    line = [*before, *ZCHAT, *arguments]
    process = subprocess.Popen(
        line, env=environment, start_new_session=True, stdin=stdin, stdout=stdout, stderr=stderr, close_fds=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE)


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Give both ends of a terminal; the second may be closed before the end of the block."""
    master, slave = pty.openpty()
    try:
        yield master, slave
    finally:
        os.close(master)


def read_all(out: Pipe, process: subprocess.Popen[bytes], errors: Pipe) -> tuple[bytes, bytes]:
    """Return what a process writes into two pipes until it ends."""
    found, told = b"", b""
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None:
        assert time.monotonic() < deadline, (found[-200:], told[-200:])
        found, told = found + out.read(), told + errors.read()
        time.sleep(0.005)
    return found + out.read(), told + errors.read()


def until_full(pipe: Pipe) -> None:
    """Wait until a pipe that nobody reads is full."""
    eventually(lambda: pipe.full, "the pipe is full")


def members(broker: Broker) -> int:
    """Return how many members the rooms of a broker have."""
    return broker.figures.counts["memberships"]


def unread_by(pid: int) -> int:
    """Return the bytes that wait in the pipe of a process's standard input."""
    waiting = array.array("i", [0])
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


def child(pid: int) -> int:
    """Return the process that another has started, once it has."""
    found: list[int] = []

    def started() -> bool:
        found[:] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return bool(found)

    eventually(started, "it has started")
    return found[0]


def caught(pid: int, numbers: Collection[int] = CODES) -> int:
    """Return how many of the signals a process has handlers for."""
    return masked_signals(pid, "SigCgt", numbers)


def masked_signals(pid: int, field: str, numbers: Collection[int] = CODES) -> int:
    """Return how many of the signals are in a field of a process's status."""
    found = re.search(rf"^{field}:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    mask = int(found[1], 16) if found else 0
    return sum(bool(mask >> (number - 1) & 1) for number in numbers)
