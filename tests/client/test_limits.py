"""Clients for which the system has no more descriptors or threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.running import DEADLINE, FORKING, ROOT, eventually
from zchat import threads
from zchat.broker import Broker

pytestmark = pytest.mark.threads_alone("threads are what there is no more of, or descriptors in a process of its own")

with_descriptors = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing tells the descriptors")

CONNECTING = """
import os, resource, sys, threading, time
import zchat

url, warm, *limits = sys.argv[1:]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

def open_now():
    return len(os.listdir("/proc/self/fd")) - 1

def at_rest():
    # once none has been closed for a while: sockets linger
    count, since = open_now(), time.monotonic()
    while time.monotonic() < since + 0.4:
        time.sleep(0.01)
        if open_now() != count:
            count, since = open_now(), time.monotonic()
    return count

if warm == "warm":
    zchat.Client(url, user="first").close()
for left in map(int, limits):
    before = at_rest()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + left, hard))
    try:
        zchat.Client(url, user="alice", timeout=20).close()
        found = "connected"
    except zchat.ZchatError as error:
        found = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    more = at_rest() - before if found != "connected" else 0
    print(left, found, f"leaves {more} open, {threading.active_count() - 1} threads")
with zchat.Client(url, user="alice") as client:
    print(client.join("General").send("works again").seq)
"""

REFUSED = (
    "ZchatError: no more sockets can be opened (Too many open files): close clients that aren't used, "
    "or raise the limit on open files (ulimit -n) leaves 0 open, 0 threads"
)


def ran(program: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


@with_descriptors
@pytest.mark.parametrize("left", [3, 9])
def test_the_first_client_of_a_process_without_descriptors_says_so_and_leaves_none_open(left: int) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        assert ran(CONNECTING, broker.url, "cold", str(left)) == [f"{left} {REFUSED}", "1"]


@with_descriptors
def test_another_client_without_descriptors_says_so_or_connects() -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        *lines, last = ran(CONNECTING, broker.url, "warm", *map(str, range(0, 16, 2)))
    found = [line.split(" ", 1)[1] for line in lines]
    connected = "connected leaves 0 open, 0 threads"
    refused = found.index(connected)
    assert found == [REFUSED] * refused + [connected] * (8 - refused)
    assert last == "1"


RECONNECTING = """
import resource, sys, time
import zchat
from tests.mortal import Mortal

with Mortal(sys.argv[1]) as broker, zchat.Client(broker.url, user="alice") as client:
    room = client.join("General")
    events = client.events(timeout=20)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    broker.process.kill()
    print(type(next(events)).__name__)
    time.sleep(0.5)  # it tries, in vain
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    broker.kill()
    broker.start()
    print(type(next(events)).__name__)
    print(room.send("back", timeout=20).body)
"""


@with_descriptors
def test_a_client_that_reconnects_without_descriptors_tries_until_there_are_some(tmp_path: Path) -> None:
    assert ran(RECONNECTING, f"sqlite:{tmp_path}/z.db") == ["Disconnected", "Reconnected", "back"]


@pytest.mark.parametrize("started", [0, 1])
def test_without_threads_a_client_says_so_and_leaves_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    url = connect().url
    before = threading.active_count()
    start, left = threads._start_new_thread, [started]

    def limited(*arguments: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    events: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_start_new_thread", limited)
        with pytest.raises(zchat.ZchatError, match=r"no more threads can be started.*ulimit -u"):
            zchat.Client(url, user="bob", on_event=events.append)
    eventually(lambda: threading.active_count() == before, "its threads have ended")


FEW_THREADS = """
import os, resource, sys
import zchat
from zchat.broker import Broker

what, url = sys.argv[1:3]

def used():
    return zchat.Client(url, user="bob") if what == "client" else Broker(url, store="memory:")

with used():
    pass  # all is loaded: another user may not be able to
for most in range(1, 9):  # of the processes and threads of a user who has no others
    pid = os.fork()
    if not pid:
        os.setresuid(54_321, 54_321, 54_321)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        try:
            with used():
                print("it works", flush=True)
        except zchat.ZchatError as error:
            print(error, flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may become a user without processes")
@pytest.mark.parametrize("what", ["client", "broker"])
def test_whatever_the_limit_on_threads_it_works_or_says_which_to_raise(connect: Connect, what: str) -> None:
    url = connect().url if what == "client" else "tcp://127.0.0.1:*"
    line = [sys.executable, *FORKING, "-c", FEW_THREADS, what, url]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE)
    *found, last, _ = ran.stdout.splitlines()
    assert set(found[1::2]) == {"0"}, ran.stderr
    assert last == "it works"
    assert re.fullmatch(r"no more threads can be started .*ulimit -u.*", found[0])
