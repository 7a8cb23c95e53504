"""How the command begins: it is ready for signals before it has loaded what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from tests.running import DEADLINE, ROOT, Start, output_of
from zchat.cli.main import WITH_VALUE, is_broker
from zchat.cli.program import program


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131)])
def test_a_signal_while_it_loads_ends_it_without_a_traceback(start: Start, name: str, code: int) -> None:
    program = (
        "import os, signal, sys; from zchat.cli.main import main\n"
        "class Loading:\n def find_spec(self, module, *_):\n"
        f"  if module == 'zchat.cli.program': os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Loading())\nmain(sys.argv[1:])"
    )
    running = start(shell='exec "$1" -c "$PROGRAM" rooms', PROGRAM=program)
    assert running.process.wait(DEADLINE) == code
    assert running.end() == code
    assert running.errors == ""


def test_no_file_that_it_opens_takes_the_place_of_a_closed_stream(start: Start) -> None:
    program = (
        "import os, stat, sys; from zchat.cli import program\n"
        "def rooms(*a, **k):\n"
        " kinds = [stat.S_IFMT(os.fstat(number).st_mode) == stat.S_IFCHR for number in (1, 2)]\n"
        " os._exit(7 if all(kinds) else 8)\n"
        "program.program.main = rooms\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    running = start(shell='exec "$1" -c "$PROGRAM" rooms >&- 2>&-', PROGRAM=program)
    assert running.process.wait(DEADLINE) == 7, "neither the pipe of signals nor a database"


def test_hardly_anything_is_loaded_before_it_is_ready_for_signals() -> None:
    loading = "import sys; before = set(sys.modules); import zchat.cli.main; print(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {loading}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    loaded = {name for name in run.stdout.split() if not name.startswith("importlib")}
    own = {"zchat", "zchat.version", "zchat.cli", "zchat.cli.main", "zchat.cli.first_signals"}
    assert loaded - {"__future__", "warnings"} == own


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("broker", True),
        ("--config file broker --bind x", True),
        ("--log-level=info broker", True),
        ("-- broker", True),
        ("send General broker", False),
        ("--config broker", False),
        ("--log-level broker rooms", False),
        ("", False),
    ],
)
def test_a_brokers_command_line_is_known_before_it_is_parsed(line: str, expected: bool) -> None:
    assert is_broker(line.split()) is expected


def test_every_option_before_the_command_that_takes_a_value_is_known_then() -> None:
    options = [each for each in program.params if isinstance(each, click.Option) and not each.is_flag]
    assert sorted(name for each in options for name in each.opts) == sorted(WITH_VALUE)


@pytest.mark.parametrize(
    "line", ["rooms", "client", "send General hi", "broker --store memory: --bind tcp://127.0.0.1:*"]
)
def test_without_threads_a_command_says_so_in_one_line(start: Start, line: str) -> None:
    program = (
        "import sys; from zchat.threads import RealThread\n"
        "start = RealThread.start; left = [None] * int(sys.argv.pop(1))\n"
        "def limited(self):\n"
        ' if not left: raise RuntimeError("can\'t start new thread")\n'
        " left.pop(); start(self)\n"
        "RealThread.start = limited\n"
        "from zchat.cli.main import main; main(sys.argv[1:])"
    )
    for count in range(3):
        running = start(shell=f'exec "$1" -c "$PROGRAM" {count} {line}', PROGRAM=program, traced=False)
        assert running.end() == 1, count
        assert re.fullmatch(
            r"zchat: no more threads can be started.*\(ulimit -u, or that of a container\)\n", running.errors
        ), count


IN_A_PROGRAM = {
    "sys.stdout = io.StringIO()": "sys.stdout is no open file",
    "sys.stderr = io.StringIO()": "sys.stderr is no open file",
    "sys.stdin.close()": "sys.stdin is no open file",
    "sys.stdout = io.TextIOWrapper(io.BytesIO())": "sys.stdout is no open file",
}


@pytest.mark.parametrize("before", IN_A_PROGRAM)
def test_a_program_whose_streams_are_no_files_gets_an_error_and_keeps_its_signals(before: str) -> None:
    program = (
        "import io, signal, sys; from zchat.cli.main import main\n"
        f"{before}\n"
        "try: main(['--help'])\n"
        "except SystemExit as error: sys.__stdout__.write(str(error.code))\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    assert output_of(program) == f"zchat: {IN_A_PROGRAM[before]}; run the command as a process of its own"


def test_another_thread_than_the_main_one_gets_an_error() -> None:
    program = (
        "import threading; from zchat.cli.main import main\n"
        "def run():\n"
        " try: main(['--help'])\n"
        " except SystemExit as error: print(error.code)\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()"
    )
    assert output_of(program) == "zchat: this is not the main thread; run the command as a process of its own\n"
