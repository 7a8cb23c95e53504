"""How the command begins: it is ready for signals before it has loaded what it needs."""

from __future__ import annotations

import pytest

from tests.running import DEADLINE, Start


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
