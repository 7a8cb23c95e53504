from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT, Running

Example = Callable[..., Running]


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    """Give a function that runs an example as it stands, or a program that uses it, in the test's folder."""
    with ExitStack() as stack:

        def run(name: str, url: str, program: str = "") -> Running:
            place = ROOT / "examples"
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                [sys.executable, *(("-c", program) if program else (str(place / f"{name}.py"),))],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
                cwd=tmp_path,
                env={**os.environ, "ZCHAT_URL": url, "PYTHONPATH": f"{ROOT}{os.pathsep}{place}"},
            )
            running = Running(process)
            stack.callback(_end, running)
            return running

        yield run


def _end(running: Running) -> None:
    running.process.kill()
    running.process.wait(DEADLINE)
    running.end()
    for stream in (running.process.stdout, running.process.stderr):
        assert stream
        stream.close()
