"""Clients that are dropped without `close`: they warn, and leave nothing behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zchat
from tests.client.driver import Connect
from tests.running import DEADLINE, ROOT, eventually
from zchat.broker import Broker

pytestmark = pytest.mark.threads_alone("what ends is a thread; tests/aio/test_client.py drops a client in a loop")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


_others: set[threading.Thread] = set()
"""The threads that other tests have left."""


def receivers() -> int:
    own = [thread for thread in threading.enumerate() if thread not in _others]
    return sum(thread.name.startswith("zchat-") and "broker" not in thread.name for thread in own)


@pytest.fixture
def alone() -> Iterator[Broker]:
    """Give a broker without other clients."""
    gc.collect()
    _others.clear()
    _others.update(threading.enumerate())
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


def test_a_client_that_is_dropped_warns_and_its_thread_ends(alone: Broker) -> None:
    client = zchat.Client(alone.url, user="alice")
    held = [client, client.join("General")]
    del client
    with pytest.warns(ResourceWarning, match=r"a client of 'alice' at tcp://.* was dropped without close"):
        drop(held)
    eventually(lambda: receivers() == 0, "its thread has ended")


def drop(held: list[Any]) -> None:
    held.clear()
    gc.collect()


@pytest.mark.parametrize("way", ["messages", "events", "on_event"])
def test_what_is_held_of_it_keeps_a_client(alone: Broker, way: str) -> None:
    heard: list[zchat.Event] = []
    held: list[Any] = []
    if way == "on_event":
        held.append(zchat.Client(alone.url, user="alice", on_event=heard.append).join("General"))
    elif way == "events":
        client = zchat.Client(alone.url, user="alice")
        client.join("General")
        held.append(client.events(timeout=DEADLINE))
        del client
    else:
        held.append(zchat.Client(alone.url, user="alice").join("General").messages(timeout=DEADLINE))
    gc.collect()
    with zchat.Client(alone.url, user="bob") as bob:
        bob.join("General").send("still there")
        if way != "on_event":
            heard.append(next(event for event in held[0] if isinstance(event, zchat.Message)))
        eventually(lambda: any(isinstance(event, zchat.Message) for event in heard), "it hears")
    with pytest.warns(ResourceWarning):
        drop(held)
    eventually(lambda: receivers() == 0, "its threads have ended")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nothing tells the descriptors")
@pytest.mark.filterwarnings("ignore:.*was dropped without close:ResourceWarning")
def test_many_that_are_dropped_leave_neither_threads_nor_descriptors(alone: Broker) -> None:
    with zchat.Client(alone.url, user="before") as client:
        client.join("General")
        before = descriptors()
        for number in range(300):
            zchat.Client(alone.url, user=f"user{number}").join("General")
        gc.collect()
        eventually(lambda: receivers() == 1, "their threads have ended")
        eventually(lambda: descriptors() <= before + 2, "their descriptors are free")
        eventually(lambda: [member.user for member in client.members("General")] == ["before"], "they have left")


def test_one_that_is_closed_warns_of_nothing(connect: Connect, name: str) -> None:
    client = connect()
    client.join(name)
    client.close()
    del client
    gc.collect()


FORGOTTEN = """
import sys, zchat
from zchat.broker import Broker
with Broker("tcp://127.0.0.1:*") as broker:
    client = zchat.Client(broker.url, user="alice", on_event=print if sys.argv[1] == "handler" else None)
    room = client.join("General")
    room.send("x")
    if sys.argv[1] == "cycle":
        client.itself = client
"""


@pytest.mark.parametrize("how", ["global", "cycle", "handler"])
def test_a_program_that_forgets_to_close_its_client_ends(how: str) -> None:
    run = subprocess.run([sys.executable, "-c", FORGOTTEN, how], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")
