"""Signals at any moment from the command's first line on: none is lost, none ends it in a traceback."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.driver import say
from tests.cli.outside import CODES, caught, child, command, members, pipes, terminal
from tests.running import DEADLINE, Start, eventually, read_to_the_end
from zchat.broker import Broker

BROKER = "broker --store memory: --bind tcp://127.0.0.1:*"

STAYING = ["client", "tail -f General", "tail -f --resume {}/seen General", "top", "send General"]
"""Command lines that stay until a signal ends them, in pipes."""

PASSING = ["", "--help", "--version", "rooms", "members General", "stats", "ping", "tail General", "send General hello"]
PASSING += ["top -n 1", "backup --store sqlite:{}/chat.db {}/new.zchat", "restore {}/old.zchat {}/new.db"]
PASSING += ["copy sqlite:{}/chat.db sqlite:{}/other.db"]
"""Command lines that end by themselves."""

IMPORTS = [1, 3, 10, 40, 70, 130, 190]
"""Which of the modules that a command loads is the one before which a signal comes: it loads some 200."""

PROGRAM = """
import os, signal, sys
from zchat.cli.main import main
class Loading:
    left = int(os.environ["LEFT"])
    def find_spec(self, module, *_):
        Loading.left -= 1
        if not Loading.left:
            os.kill(os.getpid(), int(os.environ["NUMBER"]))
sys.meta_path.insert(0, Loading())
main(sys.argv[1:])
"""
"""A command to which a signal comes before it loads the module of a number."""

LATEST = 0.5
"""Seconds after a command's first line up to which it is ended here: by then each has begun, or is over."""

MOMENTS = int(os.environ.get("ZCHAT_SIGNAL_MOMENTS", "1"))
"""How many moments are tried of each command and signal."""

TOLD = re.compile(
    r"(zchat: interrupted: (no line stored|the message (is|is not|may or may not be) stored)\n)?"
    r"|zchat: there is no file \S+\n"
)
"""What a command may say on standard error when a signal ends it: its own error, if the signal came just after that."""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Give it without what measures coverage, which has loaded some of the modules before, and can hang at a signal."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


@pytest.fixture
def chance() -> random.Random:
    """Draw moments: others with each run, and those of a run that has failed by the seed that it printed."""
    seed = int(os.environ.get("ZCHAT_SIGNAL_SEED") or random.randrange(1 << 32))
    print(f"ZCHAT_SIGNAL_SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize(
    ("line", "number"), [("client", signal.SIGTERM), *(("send General", number) for number in CODES)]
)
def test_whatever_it_loads_when_a_signal_comes_it_ends_by_that(start: Start, line: str, number: signal.Signals) -> None:
    def ends(left: int) -> tuple[int, str]:
        running = start(shell=f'exec "$1" -c "$PROGRAM" {line}', PROGRAM=PROGRAM, LEFT=str(left), NUMBER=str(number))
        code = running.process.wait(DEADLINE)
        running.end()
        return code, running.errors

    with ThreadPoolExecutor(2) as pool:
        for left, (code, told) in zip(IMPORTS, pool.map(ends, IMPORTS), strict=True):
            assert code == CODES[number], (left, told)
            assert told == ("zchat: interrupted: no line stored\n" if line.startswith("send") else ""), left


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def test_whatever_a_broker_loads_when_a_signal_comes_it_takes_it_as_later(start: Start, number: signal.Signals) -> None:
    def ends(left: int) -> tuple[int, str]:
        variables = {"PROGRAM": PROGRAM, "LEFT": str(left), "NUMBER": str(int(number))}
        running = start(shell=f'exec "$1" -c "$PROGRAM" {BROKER} --log-level info', **variables)
        if number == signal.SIGHUP:
            running.until("clients: about")
            eventually(lambda: "SIGHUP" in running.errors, "it is in the log")
            running.process.terminate()
        return running.end(), running.errors

    with ThreadPoolExecutor(2) as pool:
        for left, (code, told) in zip(IMPORTS, pool.map(ends, IMPORTS), strict=True):
            assert code == 0, (left, told)
            assert "Traceback" not in told


def test_whatever_signal_would_end_it_a_command_catches_it(start: Start, broker: Broker) -> None:
    faults = {
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGSEGV,
        signal.SIGSYS,
    }
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    stopping = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    ignored = {signal.SIGPIPE, signal.SIGXFSZ}  # by Python: what would be written fails
    ending = signal.valid_signals() - faults - harmless - stopping - ignored - {signal.SIGKILL}
    running = start("tail", "-f", "General")
    eventually(lambda: members(broker) == 1, "it follows")
    assert caught(running.process.pid, ending) == len(ending)
    running.process.send_signal(signal.SIGRTMAX)
    assert running.process.wait(DEADLINE) == 128 + signal.SIGRTMAX
    assert running.errors == ""


def test_a_broker_that_another_signal_ends_stops_in_order_and_says_by_which(start: Start) -> None:
    running = start("broker", "--store", "memory:", "--bind", "tcp://127.0.0.1:*")
    running.until("clients: about")
    running.process.send_signal(signal.SIGXCPU)
    running.until("stopped; 0 messages stored")
    assert running.process.wait(DEADLINE) == 128 + signal.SIGXCPU


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_signal_at_any_moment_ends_it_by_that(
    broker: Broker, environment: dict[str, str], tmp_path: Path, chance: random.Random, number: signal.Signals
) -> None:
    say(broker, "General", "hi")
    lines = [*STAYING, *PASSING, BROKER] * MOMENTS
    chance.shuffle(lines)
    moments = [chance.uniform(0, LATEST) for _ in lines]

    def check(place: int, line: str, moment: float) -> None:
        folder = tmp_path / str(place)
        folder.mkdir()
        with pipes(3) as (into, out, errors):
            words = line.format(folder, folder).split()
            with command(
                *words, environment=environment, stdin=into.out, stdout=out.into, stderr=errors.into
            ) as process:
                signalled(process, process.pid, number, moment)
                if line == BROKER and number == signal.SIGHUP:
                    eventually(lambda: b"clients: about" in out.read() or process.poll() is not None, "it runs")
                    process.terminate()
                code = process.wait(DEADLINE)
            told = errors.read().decode()
        allowed = {CODES[number]}
        if line == BROKER:
            allowed = {0}
        elif line in PASSING:  # its own end may come first
            allowed |= {{"": 2, "backup": 1, "restore": 1, "copy": 1}.get(line.partition(" ")[0], 0)}
        assert code in allowed, (line, moment, told)
        if code == CODES[number]:
            assert TOLD.fullmatch(told) or not line, (line, moment, told)
        assert "Traceback" not in told, (line, moment, told)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, range(len(lines)), lines, moments))
    eventually(lambda: members(broker) == 0, "all have left")


def signalled(process: subprocess.Popen[bytes], pid: int, number: int, moment: float) -> None:
    """Send a signal to a command so many seconds after its first line, unless it has ended before."""
    while process.poll() is None and not begun(pid):
        pass
    if process.poll() is None:
        time.sleep(moment)
        process.send_signal(number) if pid == process.pid else os.kill(pid, number)


def begun(pid: int) -> bool:
    """Return whether a command has handlers for the signals: before its first line Python has one for SIGINT alone."""
    try:
        return caught(pid) == len(CODES)
    except (FileNotFoundError, ProcessLookupError):
        return False


LATE = """
import os, sys
from zchat.cli.main import main
class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), number=int(os.environ["NUMBER"])):
        kill(process, number)
late = Late()
main(sys.argv[1:])
"""
"""A command to which a signal comes when all is done, and the interpreter is almost gone."""


@pytest.mark.parametrize("number", [*CODES, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.parametrize(("line", "code"), [("--version", 0), ("rooms --nonsense", 2)])
def test_a_signal_once_all_is_done_changes_no_exit_code(
    start: Start, line: str, code: int, number: signal.Signals
) -> None:
    running = start(shell=f'exec "$1" -c "$PROGRAM" {line}', PROGRAM=LATE, NUMBER=str(int(number)))
    assert running.process.wait(DEADLINE) == code


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_as_process_1_a_signal_at_any_moment_ends_it(
    broker: Broker,
    environment: dict[str, str],
    alone: tuple[str, ...],
    chance: random.Random,
    number: signal.Signals,
) -> None:
    say(broker, "General", "hi")
    for moment in [0.0, 0.02, 0.1, *(chance.uniform(0, LATEST) for _ in range(MOMENTS))]:
        with command("tail", "-f", "General", environment=environment, before=alone) as process:
            signalled(process, child(process.pid), number, moment)
            assert process.wait(DEADLINE) == CODES[number], moment


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
@pytest.mark.parametrize("line", ["client", "top"])
def test_on_a_terminal_a_signal_at_any_moment_leaves_it_as_it_was(
    broker: Broker, environment: dict[str, str], chance: random.Random, line: str, number: signal.Signals
) -> None:
    for moment in [0.0, 0.1, 0.2, *(chance.uniform(0, 2 * LATEST) for _ in range(MOMENTS))]:
        with terminal() as (master, slave):
            before = termios.tcgetattr(slave)
            variables = environment | {"TERM": "xterm"}
            with command(line, environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
                signalled(process, process.pid, number, moment)
                assert process.wait(DEADLINE) == CODES[number], moment
            assert termios.tcgetattr(slave) == before, moment
            os.close(slave)
            shown = read_to_the_end(master)
        assert b"Traceback" not in shown, (moment, shown)
        assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l"), (moment, shown)
    eventually(lambda: members(broker) == 0, "it has left")
