"""The contexts of ZeroMQ."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.running import ROOT
from zchat.transport.context import context_of_this_process, new_context


def test_the_clients_of_a_process_share_one_context_and_a_broker_has_its_own() -> None:
    assert context_of_this_process() is context_of_this_process()
    with new_context() as context:
        assert context is not context_of_this_process()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_a_context_of_its_own() -> None:
    program = """
import os
from zchat.transport.context import context_of_this_process
before = context_of_this_process()
child = os.fork()
if child == 0:
    os._exit(0 if context_of_this_process() is not before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert run.stdout == "0\n", run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("most", [4, 7, 8, 9, 10, 12, 14, 20])
def test_a_client_that_has_too_few_descriptors_says_so(most: int) -> None:
    program = """
import resource, sys
import zchat
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
try:
    zchat.Client("tcp://127.0.0.1:1", user="alice", timeout=3)
except zchat.ConnectionLost:
    print("tried")
except zchat.ZchatError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(most)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "tried\n" if most >= 20 else "Too many open files" in run.stdout
