"""The loop's turns: what it takes from the socket before members are served again."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from zchat.broker import loop
from zchat.broker.figures.histograms import Histograms
from zchat.broker.limits import RESUME_SECONDS, TURN_FRAMES, TURN_SECONDS
from zchat.broker.loop import Loop
from zchat.broker.settings import Settings
from zchat.broker.store.memory import MemoryStore
from zchat.transport.alarm import SLEPT


class Router:
    """Hand out messages, each a peer's name and its frames, as a ROUTER does."""

    def __init__(self, *messages: list[bytes]) -> None:
        self.frames = [(frame, at + 1 < len(message)) for message in messages for at, frame in enumerate(message)]
        self._more = False

    def recv(self, flags: int, copy: bool = True) -> Any:
        if not self.frames:
            raise zmq.Again
        frame, self._more = self.frames.pop(0)
        return frame if copy else SimpleNamespace(bytes=frame, more=self._more)

    def getsockopt(self, option: int) -> int:
        assert option == zmq.RCVMORE
        return self._more


class Core:
    """Keep what is received; each frame takes as long as it says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.received: list[tuple[bytes, list[bytes]]] = []
        self.passed_over = 0.0
        self.shares = SimpleNamespace(pass_over=self._pass_over)
        self.waiting = 0
        self.idle: list[bool] = []
        self.ran = 0.0
        self.sessions = frozenset({b"a", b"b"})

    def _pass_over(self, seconds: float) -> None:
        self.passed_over += seconds

    def resume(self, now: float, *, idle: bool) -> Any:
        assert now == self.now
        self.idle.append(idle)
        if not self.waiting:
            return None
        self.waiting -= 1
        self.now += RESUME_SECONDS / 4
        return SimpleNamespace(session=self)

    def receive(self, routing_id: bytes, frames: list[bytes], now: float, peer: None) -> None:
        self.received.append((routing_id, frames))
        if frames[0].startswith(b"slow"):
            self.now += TURN_SECONDS
            self.ran += TURN_SECONDS
        if frames[0].startswith(b"suspended"):
            self.now += TURN_SECONDS
            self.ran += TURN_SECONDS / 8


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    core = Core()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: core.now, thread_time=lambda: core.ran))
    return core


def looped(*messages: list[bytes]) -> Any:
    made: Any = Loop((), MemoryStore(), Settings())
    made._router = Router(*messages)
    made._entrance = SimpleNamespace()
    made._doorkeeper = SimpleNamespace(
        connections=SimpleNamespace(checking=False, sampled=()), drained=lambda core, now: None
    )
    return made


def test_a_turn_of_receiving_ends_after_so_many_frames(core: Core) -> None:
    looping = looped(*[[b"a", b"x"]] * (TURN_FRAMES + 1))
    assert not looping._receive(core)
    assert len(core.received) == TURN_FRAMES
    assert looping._receive(core)
    assert len(core.received) == TURN_FRAMES + 1


def test_where_nothing_has_arrived_the_socket_is_not_asked_and_one_frame_leaves_open_whether_others_have(
    core: Core,
) -> None:
    looping = looped([b"a", b"x"], [b"a", b"y"])
    assert looping._receive(core, 0)
    assert core.received == []
    assert not looping._receive(core, 1)
    assert core.received == [(b"a", [b"x"])]


class Scripted(Loop):
    """A loop of which each sleep is as long as the script says, and ends as it says, until that is over."""

    def __init__(self, core: Any, script: list[tuple[float, bool, dict[str, Any]]]) -> None:
        super().__init__((), MemoryStore(), Settings())
        self._script = script
        self._core = core
        self.most: list[int] = []
        self.drained: list[bool] = []
        self._watcher = self._audit = SimpleNamespace(due=math.inf)  # type: ignore[assignment]
        self._doorkeeper: Any = SimpleNamespace(
            connections=SimpleNamespace(checking=False, sampled=()),
            due=math.inf,
            wake=math.inf,
        )

    def _receive(self, core: Any, most: int = TURN_FRAMES) -> bool:
        self.most.append(most)
        return most != 1

    def _sleep(self, seconds: float) -> tuple[bool, bool]:
        slept, arrived, found = self._script.pop(0)
        self._core.now += slept
        for name, value in found.items():
            owner = self._doorkeeper.connections if name in ("checking", "sampled") else self._core
            setattr(owner if name != "waiting" else owner.shares, name, value)
        self._stopping = not self._script
        return arrived, False


def test_what_ends_a_sleep_is_taken_to_be_alone_unless_all_that_has_arrived_is_to_be_known(core: Core) -> None:
    script: list[tuple[float, bool, dict[str, Any]]] = [
        (1.0, False, {}),
        (1.0, True, {}),
        (SLEPT / 2, True, {}),
        (1.0, True, {"checking": True}),
        (1.0, True, {"checking": False, "sampled": (1,)}),
        (1.0, True, {"sampled": (), "waiting": [1]}),
        (1.0, True, {"waiting": [], "expiry_due": 0.0}),
        (1.0, True, {}),
    ]
    fields: dict[str, Any] = {"kept": (), "used": False, "pinged": False, "busy": False, "expiry_due": math.inf}
    for name, value in fields.items():
        setattr(core, name, value)
    ticks: list[bool] = []
    turns: Any = core
    turns.shares.waiting = []
    turns.tick, turns.turn = lambda now, drained: ticks.append(drained), lambda now: None
    turns.due = lambda: math.inf
    turns.histograms = Histograms()
    turns.log_lines = turns.audit = turns
    turns.counters = SimpleNamespace(log_dropped=0)
    looping = Scripted(turns, script)
    looping._resume = lambda core, drained: None  # type: ignore[method-assign]
    looping._turns(turns)
    every = TURN_FRAMES
    assert looping.most == [every, 0, 1, every, every, every, every, every]
    assert ticks == [True, True, False, True, True, True, True, True], "silence is judged once all is received"


def test_a_message_of_very_many_frames_is_refused_once_and_dropped_over_several_turns(core: Core) -> None:
    many = [b"a", *[b"x"] * (3 * TURN_FRAMES)]
    looping = looped([b"b", b"before"], many, [b"b", b"after"], many)
    turns = 1
    while not looping._receive(core):
        turns += 1
    assert turns == 7
    refused = (b"a", [b"x", b""])
    assert core.received == [(b"b", [b"before"]), refused, (b"b", [b"after"]), refused]


def test_a_turn_of_receiving_ends_after_its_time(core: Core) -> None:
    looping = looped(*[[b"a", b"slow"]] * 10)
    turns = 1
    while not looping._receive(core):
        turns += 1
    assert turns == 11, "one frame a turn, and a last one that finds none"
    assert len(core.received) == 10


def test_time_in_which_the_thread_did_not_run_is_nobodys(core: Core) -> None:
    looping = looped([b"a", b"slow"])
    looping._receive(core)
    looping._now(core)
    assert core.passed_over == pytest.approx(0)
    looping = looped([b"a", b"suspended"])
    looping._receive(core)
    looping._now(core)
    assert core.passed_over == pytest.approx(TURN_SECONDS * 7 / 8)


def test_waiting_frames_are_carried_out_for_a_moment(core: Core) -> None:
    looping = looped()
    core.waiting = 10
    looping._resume(core, True)
    assert core.waiting == 6
    looping._resume(core, True)
    looping._resume(core, True)
    looping._resume(core, True)
    assert core.waiting == 0


@pytest.mark.parametrize("drained", [True, False])
def test_between_frames_that_wait_and_are_not_paid_for_the_socket_is_read_again(core: Core, drained: bool) -> None:
    looping = looped()
    core.waiting = 10
    for _ in range(2):
        looping._resume(core, drained)
        assert core.idle == [drained, False, False, False]
        core.idle.clear()
