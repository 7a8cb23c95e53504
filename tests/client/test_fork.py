"""Children that are forked while there are clients: they end like any other program, wherever they were forked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import FORKING, ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork")

PROGRAM = """
import logging, os, sys, threading, time
import zchat
from zchat.broker import Broker

where, store, how = sys.argv[1:4]
ended = []

def fork():
    child = os.fork()
    if child:
        deadline = time.monotonic() + 30
        while not (found := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                ended.append("never")
                return
            time.sleep(0.005)
        ended.append(os.waitstatus_to_exitcode(found[1]))
    else:
        exec(how)

def handle(event):
    if where == "handler" and isinstance(event, zchat.Message):
        fork()

class Forking(logging.Handler):
    # A handler of log records that forks once, in a thread of zchat's own.
    forked = False

    def emit(self, record):
        if not self.forked and threading.current_thread() is not threading.main_thread():
            self.forked = True
            fork()

def main():
    if where.startswith("zchat."):
        logging.getLogger(where).addHandler(Forking())
        logging.getLogger(where).setLevel(logging.DEBUG)
    with Broker("tcp://127.0.0.1:*", store=store, audit=True) as broker:
        with zchat.Client(broker.url, user="alice", on_event=handle) as alice, zchat.Client(broker.url) as bob:
            general = alice.join("General")
            bob.join("General").send("hello")
            if where == "main":
                fork()
            elif where == "thread":
                thread = threading.Thread(target=fork)
                thread.start()
                thread.join()
            while not ended:
                time.sleep(0.005)
            assert general.send("still here").seq > 1
            print(*ended)

main()
"""

FAULT = "ZeroDivisionError: division by zero"


def ran(where: str, how: str, store: str = "memory:") -> tuple[str, str]:
    command = [sys.executable, *FORKING, "-c", PROGRAM, where, store, how]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


@pytest.mark.parametrize("where", ["main", "handler"])
@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        ("sys.exit(0)", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('no more')", 1, "no more\n"),
        ("os._exit(5)", 5, ""),
    ],
)
def test_a_child_ends_with_its_code_where_it_says_so(where: str, how: str, code: int, text: str) -> None:
    assert ran(where, how) == (f"{code}\n", text)


def test_a_child_whose_handler_fails_shows_why() -> None:
    out, shown = ran("handler", "raise ValueError('no')")
    assert out == "1\n"
    assert shown.count("ValueError: no") == 1


def test_a_child_whose_handler_returns_ends() -> None:
    assert ran("handler", "print('from the child', flush=False)") == ("from the child\n0\n", "")


@pytest.mark.parametrize("where", ["zchat.broker", "zchat.audit"])
@pytest.mark.parametrize(("how", "code", "last"), [("sys.exit(7)", 7, []), ("pass", 0, []), ("1 / 0", 1, [FAULT])])
def test_a_child_of_a_handler_of_log_records_ends(where: str, how: str, code: int, last: list[str]) -> None:
    out, shown = ran(where, how)
    assert out == f"{code}\n"
    assert shown.splitlines()[-1:] == last


def test_a_child_of_another_thread_ends() -> None:
    assert ran("thread", "sys.exit(0)") == ("0\n", "")


def test_a_child_of_a_process_with_a_broker_on_a_file_ends_and_harms_nothing(tmp_path: Path) -> None:
    assert ran("main", "sys.exit(0)", f"sqlite:{tmp_path}/z.db") == ("0\n", "")
    assert ran("handler", "sys.exit(0)", f"sqlite:{tmp_path}/z.db") == ("0\n", "")


AGAIN = """
import os, sys
import zchat
from zchat.broker import Broker

url, store = sys.argv[1:]
said = []
waiting, into = os.pipe()
for _ in range(2):
    with Broker(url, store=store) as broker, zchat.Client(broker.url, user="alice") as alice:
        url = broker.url
        said.append(alice.join("General").send("hello").seq)
        child = os.fork() if len(said) == 1 else child
        if not child:
            os.close(into)
            os.read(waiting, 1)
            os._exit(0)
print(said, os.waitpid(child, os.WNOHANG))
os.close(into)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:*", "ipc://s"])
def test_what_a_broker_has_let_go_of_is_free_though_a_child_lives(tmp_path: Path, url: str) -> None:
    command = [sys.executable, *FORKING, "-c", AGAIN, url, f"sqlite:{tmp_path}/z.db"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("[1, 2] (0, 0)\n", "")
