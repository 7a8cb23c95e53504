"""A folder that stands for a machine, where documents' commands are carried out as they are written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.running import DEADLINE, ROOT, ZCHAT, Running


class Machine:
    """A folder whose shell finds the `zchat` of this checkout, and what is added; `/etc` and the like are within it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / "bin"
        self._programs.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZCHAT_")}
        path = f"{self._programs}:{os.environ['PATH']}"
        self.variables = kept | {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
        """The environment of every command."""
        self.add("zchat", f'exec {shlex.join(ZCHAT)} "$@"')

    def add(self, name: str, line: str) -> None:
        """Add a program, of one line of bash."""
        script = self._programs / name
        script.write_text(f"#!/bin/bash\n{line}\n")
        script.chmod(0o755)

    def placed(self, text: str) -> str:
        """Return a text with the machine's paths in place of those that are written."""
        return re.sub(r"(?<![\w.-])/(?=(?:var|run|etc)\b)", f"{self.folder}/", text)

    def run(self, block: str) -> subprocess.CompletedProcess[str]:
        """Carry lines of bash out to their end."""
        return subprocess.run(
            ["bash", "-c", self.placed(block)],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    @contextmanager
    def start(self, line: str, **variables: str) -> Iterator[Running]:
        """Give a command that runs for as long as the block; it is ended with SIGTERM."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self.placed(line)}"],
            cwd=self.folder,
            env=self.variables | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        running = Running(process)
        try:
            yield running
            process.terminate()
            assert running.end() == 0, running.errors
        finally:
            process.kill()
            running.end()
            for stream in (process.stdout, process.stderr):
                assert stream
                stream.close()
