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
