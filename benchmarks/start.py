"""How long a person waits: from the start of the command until a chat's prompt stands, or until the help is there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import zchat
from _contenders import ROOM, Zchat
from _run import DEADLINE, Failed, Pipe, in_turn, options, report, run, store_url, workers

ROWS, COLUMNS = 24, 80

PROMPT = f"{ROOM}>".encode()

MESSAGES = 1000
"""Messages in the room that is entered, whose end is shown first."""


def serve(pipe: Pipe, store: str, size: int) -> None:
    """Run a broker with a room that has messages; say its url."""
    with Zchat(store).broker(store) as broker:
        with zchat.Client(broker.url, user="bob") as bob:
            bob.join(ROOM).send_many(["x" * size] * MESSAGES)
        pipe.say(broker.url)
        pipe.wait_for_the_end()


def prompt(command: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    """Return the time until the prompt is drawn on a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    try:
        while PROMPT not in shown:
            left = began + DEADLINE - time.perf_counter()
            if left <= 0 or not select.select([ours], [], [], left)[0]:
                raise Failed(f"no prompt within {DEADLINE:.0f} s, but {shown!r}")
            try:
                shown += os.read(ours, 65536)
            except OSError as error:  # it has ended
                raise Failed(f"no prompt, but {shown!r}") from error
        took = time.perf_counter() - began
    finally:
        process.kill()
        cpu = _cpu_seconds(process)
        os.close(ours)
    return {"ms": took * 1000, "ms of CPU": cpu * 1000}


def whole(command: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    """Return the time that a command takes from its start to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    cpu = _cpu_seconds(process)
    if process.returncode:
        raise Failed(f"{command} ended with {process.returncode}")
    return {"ms": (time.perf_counter() - began) * 1000, "ms of CPU": cpu * 1000}


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Wait until a process has ended; return the CPU time that it took."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = options("Measure how long a person waits for a chat's prompt.")
    parser.set_defaults(rounds=20)
    arguments = parser.parse_args()
    command = shutil.which("zchat", path=str(Path(sys.executable).parent))
    if command is None:
        raise Failed("zchat is not installed beside this Python")
    with store_url(arguments.store) as store, workers() as start:
        url = start(serve, store, arguments.size).hear()
        environment = os.environ | {"ZCHAT_URL": url, "ZCHAT_USER": "alice", "TERM": "xterm-256color"}
        contenders: dict[str, Callable[[], dict[str, float]]] = {
            "zchat client: the prompt": partial(prompt, [command, "client", "--no-history", ROOM], environment),
            "zchat --help": partial(whole, [command, "--help"], environment),
            "zchat --version": partial(whole, [command, "--version"], environment),
            "Python, doing nothing": partial(whole, [sys.executable, "-c", ""], environment),
        }
        rows = in_turn(contenders, arguments.rounds)
    report("from the start of the command", rows, arguments.json)


if __name__ == "__main__":
    run(main)
