"""The simulated disk keeps what a real one would, and what is said of it is true."""

from __future__ import annotations

import pytest

from tests.broker.store.driver import Reports, block
from tests.promises.simulation.store import Disk, DurableStore
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import Violation, World
from zchat.broker.store.contract import Failed, Marked, Stored


class Bench:
    """Hold a disk and the store that is open on it."""

    def __init__(self) -> None:
        self.world = World(1)
        self.truth = Truth()
        self.disk = Disk(self.world, self.truth)
        self.answers: list[object] = []
        self.open()

    def open(self) -> None:
        self.store = DurableStore(self.disk)
        self.store.open(lambda: None)

    def ask(self, number: int, *texts: str) -> None:
        self.truth.orders.update({text: ("alice", len(self.truth.orders)) for text in texts})
        self.store.append(block(number, *texts), self.answers.append)

    def mark(self, seq: int) -> None:
        self.store.set_read_mark("General", "bob", seq, self.answers.append)

    def run(self) -> list[object]:
        """Let every commit that was asked for happen, and return the answers since the last call."""
        self.world.run(self.world.now + 1)
        self.store.poll(Reports())
        answers, self.answers = self.answers, []
        return answers

    def crash(self) -> None:
        self.store.crash()
        self.answers = []
        self.open()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_mark_survives_a_crash_only_if_it_was_committed(bench: Bench) -> None:
    bench.ask(1, "a", "b", "c")
    bench.mark(1)
    assert isinstance(bench.run()[0], Stored)
    bench.mark(3)
    bench.crash()
    assert bench.store.read_marks() == [("General", "bob", 1)]
    assert bench.truth.marks == {("General", "bob"): 1}
    bench.mark(2)
    assert bench.run() == [Marked(2)]
    bench.crash()
    assert bench.store.read_marks() == [("General", "bob", 2)]
    assert bench.truth.marks == {("General", "bob"): 2}


def test_a_mark_that_met_a_full_disk_failed_and_is_not_there(bench: Bench) -> None:
    bench.ask(1, "a", "b")
    bench.mark(1)
    bench.run()
    bench.disk.failing = True
    bench.mark(2)
    assert isinstance(bench.run()[0], Failed)
    bench.disk.failing = False
    assert bench.store.read_marks() == [("General", "bob", 1)]
    assert bench.truth.marks == {("General", "bob"): 1}
    bench.mark(2)
    assert bench.run() == [Marked(2)]


def test_a_backup_has_the_marks_of_its_time(bench: Bench) -> None:
    bench.ask(1, "a")
    bench.mark(1)
    bench.run()
    bench.disk.copies.append(bench.disk.file.copy())
    bench.ask(2, "b")
    bench.mark(2)
    assert bench.run()[-1] == Marked(2)
    bench.disk.go_back(1)
    bench.crash()
    assert bench.store.read_marks() == [("General", "bob", 1)]
    assert bench.truth.marks == {("General", "bob"): 1}


def test_a_mark_that_goes_back_or_beyond_the_log_breaks_a_promise(bench: Bench) -> None:
    bench.ask(1, "a", "b")
    bench.mark(1)
    bench.run()
    for seq in (0, 3):
        with pytest.raises(Violation, match=f"General: bob has read {seq}, after 1"):
            bench.truth.marked("General", "bob", seq)
