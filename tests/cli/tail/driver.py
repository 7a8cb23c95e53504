"""What the tests of `zchat tail --resume` share."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import zchat


def say(url: str, *texts: str, room: str = "General", user: str = "bob") -> None:
    with zchat.Client(url, user=user) as client:
        client.join(room).send_many(texts)


def seqs(done: subprocess.CompletedProcess[str]) -> list[int]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def kept(file: Path) -> int:
    return int(json.loads(file.read_text())["seq"]) if file.exists() and file.stat().st_size else 0


class Resting:
    """True if a process's main thread has been asleep since the call before, not waiting for Python's lock."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._before = ""

    def __call__(self) -> bool:
        state, switches = re.findall(
            r"^(?:State|voluntary_ctxt_switches):\t(.*)$", self._status.read_text(), re.MULTILINE
        )
        before, self._before = self._before, switches  # who waits for the lock wakes every 5 ms
        return bool(state.startswith("S") and switches == before)


def zchat_client(url: str) -> zchat.Client:
    return zchat.Client(url, user="looker")
