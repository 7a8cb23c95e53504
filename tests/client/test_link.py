"""The connection of a client with threads: what a fork leaves of it, and an exception that breaks its making off."""

from __future__ import annotations

import subprocess
import sys
import time
from threading import Event

import pytest

import zchat
from tests.running import DEADLINE, FORKING, ROOT
from zchat.broker import Broker
from zchat.threads import BROKEN_OFF_SECONDS, start
from zchat.transport.receive_thread import ReceiveThread

FORK = """
import os, sys, zchat
from zchat.broker import Broker
with Broker("tcp://127.0.0.1:*") as broker:
    client = zchat.Client(broker.url, user="alice")
    room = client.join("General")
    child = os.fork()
    if not child:
        try:
            for call in (lambda: room.send("x"), client.rooms, lambda: next(room.messages()), lambda: client.join("a")):
                try:
                    call()
                    os._exit(3)
                except zchat.UsageError as error:
                    assert "fork" in str(error)
            client.close()
            with zchat.Client(broker.url, user="bob") as own:
                own.join("General").send("from the child")
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert next(room.messages(timeout=20)).body == "from the child"
    client.close()
"""


def test_after_a_fork_the_child_is_asked_to_make_its_own_client() -> None:
    ran = subprocess.run([sys.executable, *FORKING, "-c", FORK], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_client_that_is_broken_off_waits_so_long_for_its_thread_and_no_longer(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(thread: ReceiveThread) -> None:
        start(thread.thread)
        raise KeyboardInterrupt

    go_on = Event()
    monkeypatch.setattr(ReceiveThread, "start", broken)
    monkeypatch.setattr(ReceiveThread, "_turns", lambda thread: go_on.wait(DEADLINE))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        zchat.Client(broker.url, user="alice")
    assert BROKEN_OFF_SECONDS <= time.monotonic() - began < DEADLINE
    go_on.set()
