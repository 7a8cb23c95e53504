"""What a child that is forked has no part in."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import FORKING, ROOT
from zchat.broker.store.sqlite.lock import FileLock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork")

KILLED = """
import os, signal, sys
from zchat.broker.broker import Broker
from zchat.broker.metrics import Metrics

with Broker("tcp://127.0.0.1:*", store="sqlite:" + sys.argv[1]) as broker, Metrics(broker, "127.0.0.1:0") as metrics:
    parent = os.getpid()
    if os.fork():
        signal.pause()
    os.kill(parent, signal.SIGKILL)
    print(os.getpid(), *(url.split(":")[2].partition("/")[0] for url in (broker.url, metrics.url)), flush=True)
    sys.stdin.read(1)  # as long as the test lives
    os._exit(0)
"""


def test_a_broker_that_is_killed_leaves_its_file_and_its_ports_free_though_a_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "z.db"
    command = [sys.executable, *FORKING, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        child, *ports = process.stdout.readline().split()
        assert process.wait(60) == -signal.SIGKILL
        assert os.path.exists(f"/proc/{child}") or sys.platform != "linux"
        for port in ports:
            with socket.socket() as caller:
                assert caller.connect_ex(("127.0.0.1", int(port))) == errno.ECONNREFUSED
        for each in (path, path.with_name("z.db.lock")):
            FileLock(each).release()
        process.stdin.close()


NUMBERS = """
import os
from zchat.broker.forks import forget, keep_from_children

kept, other, forgotten = (os.pipe()[1] for _ in range(3))
for each in (kept, forgotten):
    keep_from_children(each)
forget(forgotten)
child = os.fork()
if not child:
    nothing = os.stat(os.devnull)
    leads = [os.path.samestat(nothing, os.fstat(each)) for each in (kept, other, forgotten)]
    os._exit(0 if leads == [True, False, False] and not os.get_inheritable(kept) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os.fstat(kept)
assert not os.path.samestat(os.stat(os.devnull), os.fstat(kept))
"""


def test_in_a_child_the_number_stays_taken_and_leads_nowhere() -> None:
    subprocess.run([sys.executable, "-c", NUMBERS], cwd=ROOT, timeout=60, check=True)
