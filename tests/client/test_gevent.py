"""Programs in which gevent has replaced threads and locks: a client has real ones all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.running import ROOT
from zchat.broker import Broker

PROGRAM = """
import sys, time
from itertools import islice
url, order, way = sys.argv[1:]
if order == "before":
    from gevent import monkey
    monkey.patch_all()
import zchat
if order == "after":
    from gevent import monkey
    monkey.patch_all()

began = time.monotonic()
try:
    zchat.Client("tcp://127.0.0.1:1", user="alice", timeout=0.5)
except zchat.ConnectionLost:
    print("in time" if 0.5 <= time.monotonic() - began < 10 else "late")

heard = []
with zchat.Client(url, user="alice", on_event=heard.append if way == "handler" else None) as alice:
    general = alice.join("General")
    with zchat.Client(url, user="bob") as bob:
        said = bob.join("General")
        said.send("one")
        print(said.send_many(["x"] * 100))
    if way == "handler":
        while sum(isinstance(event, zchat.Message) for event in heard) < 101:
            time.sleep(0.01)
    else:
        heard += islice(general.messages(timeout=20), 101)
        print(len(heard))
    print(len(general.history(limit=1000)), alice.wait(0.01))
    began = time.monotonic()
print("closed in time" if time.monotonic() - began < 10 else "late")
"""


def ran(program: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("way", ["messages", "handler"])
def test_a_client_works_and_waits_no_longer_than_it_should(order: str, way: str) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:
        taken = ["101"] if way == "messages" else []
        assert ran(PROGRAM, broker.url, order, way) == ["in time", "100", *taken, "101 False", "closed in time"]


BROKER = """
from gevent import monkey
monkey.patch_all()
import zchat
from zchat.broker import Broker
try:
    with Broker("tcp://127.0.0.1:*"):
        print("it runs")
except zchat.UsageError as error:
    print(error)
"""


def test_a_broker_says_that_it_requires_real_threads() -> None:
    (text,) = ran(BROKER)
    assert text.startswith("a broker requires real threads")
    assert "thread=False" in text
