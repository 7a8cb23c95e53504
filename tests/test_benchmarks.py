"""What a benchmark leaves behind: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import DEADLINE, ROOT, eventually


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_benchmark_that_a_signal_ends_leaves_neither_workers_nor_stores(tmp_path: Path, number: int) -> None:
    line = [sys.executable, str(ROOT / "benchmarks" / "latency.py"), "--store", "sqlite", "--keys"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        line, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: list(tmp_path.glob("zchat-benchmark-*/log.sqlite")), "it has made its keys, and its store")
        process.send_signal(number)
        told = process.communicate(timeout=DEADLINE)
        assert (process.returncode, *told) == (128 + number, b"", b"")
        assert list(tmp_path.glob("zchat-benchmark-*")) == []
        eventually(lambda: not _group(process.pid), "its workers have ended")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _group(number: int) -> bool:
    """Return True if a process group has processes."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
