"""A signal that comes once all that a command is to do is done, or the end of its terminal: it changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.outside import command, pipes
from tests.running import DEADLINE, ROOT, Start, eventually
from zchat.broker import Broker

DOING = ["backup --store sqlite:{0}/old {0}/new", "restore {0}/old {0}/new", "keygen new"]


GONE = (
    "import os, sys, click; before = click.echo; own, other = os.openpty(); os.dup2(other, 1)\n"
    "def echo(*a, **k): os.closerange(own, own + 1); before(*a, **k)\n"
)
"""Closes the terminal that is standard output once the first line about the files is to be written."""

SIGNALLED = (
    "import os, signal, sys, click; before = click.echo\n"
    "def echo(*a, **k): os.kill(os.getpid(), signal.SIGTERM); before(*a, **k)\n"
)
"""Has a signal come then."""


@pytest.mark.parametrize("happening", [GONE, SIGNALLED], ids=["the terminal is gone", "a signal"])
@pytest.mark.parametrize("line", DOING)
def test_what_happens_once_the_files_are_there_changes_nothing(
    start: Start, tmp_path: Path, line: str, happening: str
) -> None:
    (tmp_path / "old").write_bytes((ROOT / "tests" / "data" / "store-0.1.0.db").read_bytes())
    program = f"{happening}click.echo = echo\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    running = start(shell=f'cd {tmp_path} && exec "$1" -c "$PROGRAM" {line.format(tmp_path)}', PROGRAM=program)
    assert running.end() == 0
    assert running.errors == ""
    assert list(tmp_path.glob("new*"))


@pytest.mark.parametrize(
    "line",
    [
        "backup --store sqlite:{0}/old {0}/new",
        "restore {0}/old {0}/new",
        "copy sqlite:{0}/copied sqlite:{0}/new",
        "keygen new --out {0}",
        "keygen --server {0}/new",
    ],
)
def test_nor_does_one_while_nobody_reads_the_line_that_says_so(
    environment: dict[str, str], tmp_path: Path, line: str
) -> None:
    (tmp_path / "old").write_bytes((ROOT / "tests" / "data" / "store-0.1.0.db").read_bytes())
    if "copied" in line:  # which takes no file of an earlier version
        Path(tmp_path / "copied").write_bytes((tmp_path / "old").read_bytes())
        with Broker("tcp://127.0.0.1:*", store=f"sqlite:{tmp_path}/copied"):
            pass
    with pipes(1) as (out,):
        out.fill()
        with command(*line.format(tmp_path).split(), environment=environment, stdout=out.into) as process:
            eventually(lambda: list(tmp_path.glob("new*")), "the files are there")
            time.sleep(0.5)  # nothing shows that it waits
            process.terminate()
            assert process.wait(DEADLINE) == 0
