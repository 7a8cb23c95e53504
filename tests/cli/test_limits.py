"""Limits on open files, threads and memory that are too low: the command says so in one line, and does nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal
from tests.running import Start, eventually, output_of
from zchat.cli.limits import FILES, THREADS

LINES = ["", "--help", "rooms", "members General", "stats", "ping", "tail General", "tail -f General", "client"]
LINES += ["send General hi", "top -n 1", "backup --store sqlite:{}/old.db {}/new", "restore {}/old {}/new.db"]
LINES += ["copy sqlite:{}/old.db sqlite:{}/new.db"]
LINES += ["broker --store sqlite:{}/new.db --bind tcp://127.0.0.1:*"]


@pytest.mark.parametrize("line", LINES)
def test_with_too_few_open_files_a_command_says_what_to_do(start: Start, tmp_path: Path, line: str) -> None:
    for limit in (5, 7, 12, FILES):
        running = start(shell=f'ulimit -n {limit}; exec "$@" {line.replace("{}", str(tmp_path))}', traced=False)
        assert running.end() == 1, limit
        assert running.text == "", limit
        assert running.errors.startswith("zchat: too few files can be opened: "), limit
        assert running.errors.endswith("; raise the limit (ulimit -n 1024)\n"), limit
        assert running.errors.count("\n") == 1, limit
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_may_be_raised_is(start: Start) -> None:
    running = start(shell='ulimit -Sn 12; exec "$@" rooms')
    assert running.end() == 0
    assert running.errors == ""
    assert "General" in running.text


@pytest.mark.parametrize(("line", "ready", "end"), [("client", "General>", "/quit"), ("top", "per second", "q")])
def test_what_has_the_screen_connects_again_with_no_more_files_than_are_asked_for(
    tmux: Tmux, line: str, ready: str, end: str
) -> None:
    with Mortal() as mortal:
        limit = f"ulimit -n {FILES + 3}; "
        terminal = Terminal(tmux, "alice", 80, "--connect", mortal.url, before=limit, command=line)

        def shows(text: str, *, there: bool = True) -> None:
            eventually(lambda: (text in terminal.screen()) is there, text)

        shows(ready)
        for _ in range(2):
            mortal.kill()
            shows("offline" if line == "client" else "connection lost")
            mortal.start()
            shows("offline" if line == "client" else "connection lost", there=False)
        terminal.type(end, "Enter")
        shows("exit code 0")


FEW = (
    "import os, sys; from zchat import threads; start, left = threads._start_new_thread, [int(os.environ['LEFT'])]\n"
    "def limited(*args):\n"
    " left[0] -= 1\n"
    ' if left[0] < 0: raise RuntimeError("can\'t start new thread")\n'
    " return start(*args)\n"
    "threads._start_new_thread = limited; from zchat.cli.main import main; main(sys.argv[1:])"
)
"""The command where as many threads can be started as LEFT says, if it tries."""


@pytest.mark.parametrize("line", LINES)
def test_with_too_few_threads_a_command_says_what_to_do(start: Start, tmp_path: Path, line: str) -> None:
    shell = f'exec "$1" -c "$PROGRAM" {line.replace("{}", str(tmp_path))}'
    running = start(shell=shell, PROGRAM=FEW, LEFT=str(THREADS - 1))
    assert running.end() == 1
    assert running.text == ""
    limit = "raise the limit on processes (ulimit -u, or that of a container)"
    assert (
        running.errors
        == f"zchat: too few threads can be started: {THREADS - 1} of the {THREADS} that are needed; {limit}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kib", [60_000, 80_000])
def test_with_too_little_memory_a_command_says_so(start: Start, kib: int) -> None:
    running = start(shell=f'ulimit -v {kib}; exec "$@" rooms', traced=False)
    assert running.end() == 1
    assert running.text == ""
    last = running.errors.splitlines()[-1]
    assert last.startswith("zchat: ")
    assert last.endswith("(ulimit -v)")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system doesn't say how much memory is taken")
def test_any_error_of_a_command_that_is_near_its_limit_on_memory_is_that() -> None:
    found = output_of(
        "import resource\n"
        "from zchat.cli import limits, main\n"
        "def fails(args): raise AttributeError(\"'NoneType' object has no attribute 'st_mtime'\")\n"
        "main._run = fails\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "for more in (limits.MEMORY // 2, 4 * limits.MEMORY):\n"
        " resource.setrlimit(resource.RLIMIT_AS, (taken + more, resource.RLIM_INFINITY))\n"
        " try: main.main([])\n"
        " except SystemExit as end: print(end.code)\n"
        " except AttributeError: print('its own')"
    )
    assert found.splitlines() == ["1", "its own"]


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:*", "ipc://*"])
def test_a_broker_that_can_write_no_temporary_file_says_what_to_do(start: Start, place: str) -> None:
    running = start(shell=f"ulimit -f 0; exec \"$@\" broker --bind '{place}' --store memory:", traced=False)
    assert running.end() == 1
    assert running.text == ""
    assert "no temporary folder can be made (" in running.errors
    assert "; set TMPDIR to a folder where files can be written, or raise the limit" in running.errors
    assert "Errno" not in running.errors
