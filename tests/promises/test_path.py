"""The path of one message: on its way out it enters no file twice within a thread.

A tracer takes the stack of the package's files at the moments when the message leaves a thread's part of the
way. What drives a thread may stand at both ends of it: it takes in, and what it takes in makes it send.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zchat
from tests.running import DEADLINE, eventually
from zchat.broker import Broker

PACKAGE = Path(zchat.__file__).parent.as_posix() + "/"
DRIVING = {"transport/link.py", "broker/loop.py"}
"""Where the turns are that drive a thread."""

HANDED_OVER = "transport/receive_thread.py:do"
SENT = "transport/dealer.py:send"
STORED_IN_MEMORY = "broker/store/memory.py:append"
STORED_IN_A_FILE = "broker/store/sqlite/store.py:append"
ROUTED = "broker/loop.py:send"
ARRIVED = "protocol/faces/inbox.py:push"
TAKEN = "wire/blocks.py:run_of"
WAYS_OUT = {HANDED_OVER, SENT, STORED_IN_MEMORY, STORED_IN_A_FILE, ROUTED, ARRIVED, TAKEN}


class Tracer:
    """The stacks of files with which the ways out are reached, by way, each once, outermost first."""

    def __init__(self) -> None:
        self.paths: dict[str, set[tuple[str, ...]]] = {way: set() for way in WAYS_OUT}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            way = f"{_file(frame)}:{frame.f_code.co_name}"
            if way in WAYS_OUT:
                self.paths[way].add(_stack(frame))

    def clear(self) -> None:
        for paths in self.paths.values():
            paths.clear()

    def through(self, way: str, part: str) -> list[tuple[str, ...]]:
        """Return the paths to a way out that lead through a file whose name ends so."""
        return [path for path in self.paths[way] if any(file.endswith(part) for file in path)]


def _file(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    return name.removeprefix(PACKAGE) if name.startswith(PACKAGE) else ""


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    files = []
    while frame is not None:
        files.append(_file(frame))
        frame = frame.f_back
    return tuple(file for file, _ in groupby(file for file in reversed(files) if file))


@contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    """Trace this thread and all that are started meanwhile."""
    before = sys.getprofile()
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def paths(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    """Give the paths of some messages from one client to another, and of their answers, once both have joined."""
    tracer = Tracer()
    store = "memory:" if request.param == "memory" else f"sqlite:{tmp_path_factory.mktemp('path') / 'log'}"
    with ExitStack() as stack:
        stack.enter_context(traced(tracer))
        broker = stack.enter_context(Broker("tcp://127.0.0.1:*", store=store))
        to, room = (stack.enter_context(zchat.Client(broker.url, user=user)).join("General") for user in ("a", "b"))
        eventually(lambda: to.member_count == room.member_count == 2, "both are here")
        tracer.clear()
        said = [to.send(f"message {number}").body for number in range(5)]
        assert to.send_many(said) == len(said)
        heard = room.messages(timeout=DEADLINE)
        assert [next(heard).body for _ in range(2 * len(said))] == 2 * said
    return tracer


def check(paths: list[tuple[str, ...]]) -> None:
    """Check that there are some, and that none enters a file twice."""
    assert paths, "none was found"
    for path in paths:
        twice = {file for file in path if path.count(file) > 1} - DRIVING
        assert not twice, f"{', '.join(sorted(twice))} twice: {' > '.join(path)}"


def test_a_callers_thread_hands_a_message_over_without_turning_round(paths: Tracer) -> None:
    check(paths.through(HANDED_OVER, "client/room.py"))


def test_the_receive_thread_sends_a_message_without_turning_round(paths: Tracer) -> None:
    check(paths.through(SENT, "protocol/core.py"))


def test_the_receive_thread_delivers_a_message_without_turning_round(paths: Tracer) -> None:
    check(paths.through(ARRIVED, "protocol/core.py"))


def test_a_readers_thread_takes_a_message_without_turning_round(paths: Tracer) -> None:
    check(paths.through(TAKEN, "client/reading.py"))


def test_the_broker_stores_a_message_without_turning_round(paths: Tracer) -> None:
    check(paths.through(STORED_IN_MEMORY, "broker/loop.py") + paths.through(STORED_IN_A_FILE, "broker/loop.py"))


def test_the_broker_pushes_a_message_without_turning_round(paths: Tracer) -> None:
    check(paths.through(ROUTED, "delivery/pusher.py"))


def test_the_broker_answers_a_sender_without_turning_round(paths: Tracer) -> None:
    check([path for path in paths.paths[ROUTED] if not any(file.endswith("pusher.py") for file in path)])
