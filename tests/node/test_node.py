"""The clients in JavaScript (examples/node): vectors, conversations, and talking with a client in Python."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

import zchat
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT

EXAMPLE = ROOT / "examples" / "node"
COUNT = 10_000
BLOCK = 50


@pytest.fixture
def node(needs: Callable[[str], str]) -> str:
    """Give the program, once the packages are there that the example requires."""
    program = needs("node")
    if not (EXAMPLE / "node_modules").is_dir():
        reason = "examples/node has no packages: make test-node installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def test_they_pass_the_vectors_and_say_what_the_conversations_have(node: str) -> None:
    files = sorted(str(path) for path in (EXAMPLE / "test").glob("*.test.mjs"))
    assert len(files) == 5
    run = subprocess.run([node, "--test", *files], cwd=EXAMPLE, capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stdout[-5_000:] + run.stderr[-2_000:]
    assert "# skipped 0" in run.stdout


@pytest.mark.parametrize("kind", ["minimal", "whole"])
def test_ten_thousand_messages_each_way_arrive_once_through_two_kills_of_the_broker(
    node: str, kind: str, tmp_path: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'log'}") as broker, zchat.Client(broker.url, user="python") as client:
        room = client.join("both", after=zchat.START)
        command = [node, str(EXAMPLE / "test" / "beside.mjs"), kind, broker.url, str(COUNT)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as beside:
            try:
                sender = Thread(target=send, args=(room,))
                sender.start()
                received = 0
                for message in room.messages(timeout=DEADLINE):
                    assert (message.user, message.body) == ("node", f"node {received}")
                    received += 1
                    if received in (COUNT // 3, 2 * COUNT // 3):
                        broker.kill()
                        broker.start()
                    if received == COUNT:
                        break
                assert received == COUNT
                sender.join(DEADLINE)
                output, _ = beside.communicate(timeout=DEADLINE)
            finally:
                beside.kill()
        assert json.loads(output.splitlines()[-1]) == [], output
        log = room.history(after=0, limit=3 * COUNT)
        assert [message.seq for message in log] == list(range(1, 2 * COUNT + 1))
        for user in ("node", "python"):
            assert [each.body for each in log if each.user == user] == [f"{user} {n}" for n in range(COUNT)]


def send(room: zchat.Room) -> None:
    for first in range(0, COUNT, BLOCK):
        room.send_many((f"python {first + index}" for index in range(BLOCK)), timeout=None)
        time.sleep(0.005)
