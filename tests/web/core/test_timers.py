"""What is due when, and what tasks wait by."""

from __future__ import annotations

from tests.web.core.harness import Broker, Promise, World
from zchat.web.core.timers import SWEEP, Outcome, Timers, Turn


def test_what_is_due_is_called_once_and_in_order() -> None:
    timers, called = Timers(), list[str]()
    timers.at(2, lambda: called.append("two"))
    timers.at(1, lambda: called.append("one"))
    timers.at(1, lambda: called.append("one too"))
    timers.at(9, lambda: called.append("nine"))
    timers.turn(0.5)
    assert called == []
    timers.turn(2)
    timers.turn(2)
    assert called == ["one", "one too", "two"]
    assert len(timers) == 1


def test_what_is_cancelled_is_not_called() -> None:
    timers, called = Timers(), list[str]()
    timer = timers.at(1, lambda: called.append("x"))
    timer.cancel()
    timer.cancel()
    timers.turn(2)
    assert called == []
    assert len(timers) == 0


def test_what_is_begun_while_others_are_called_is_called_too_if_it_is_due() -> None:
    timers, called = Timers(), list[str]()

    def begin() -> None:
        timers.at(1, lambda: called.append("x"))

    timers.at(1, begin)
    timers.turn(1)
    assert called == ["x"]


def test_what_was_cancelled_is_not_kept_until_it_would_have_been_due() -> None:
    timers, called = Timers(), list[int]()
    for number in range(100):
        timers.at(1000 - number, lambda number=number: called.append(number))  # type: ignore[misc]
    most = 0
    for _ in range(10_000):
        timers.at(365 * 86_400, lambda: called.append(-1)).cancel()
        most = max(most, len(timers))
    assert most <= 3 * 100 + SWEEP
    timers.turn(1e9)
    assert called == [*reversed(range(100))]
    assert len(timers) == 0


def test_those_that_are_not_cancelled_cost_no_sweep_each() -> None:
    timers = Timers()
    sweeps = 0
    for _ in range(10_000):
        before = timers._due
        timers.at(1, lambda: None)
        sweeps += timers._due is not before
    assert sweeps <= 8


def test_one_at_a_time_and_a_cancelled_one_holds_nobody_up() -> None:
    world = World(Broker())
    turn = Turn(world.promise)
    log: list[str] = []
    gates = [Promise(world) for _ in range(3)]

    async def work(name: str, gate: Promise) -> None:
        async with turn:
            log.append(f"{name} in")
            await gate
            log.append(f"{name} out")

    tasks = [world.spawn(work(name, gate)) for name, gate in zip("abc", gates, strict=True)]
    world.run()
    assert log == ["a in"]
    tasks[1].cancel()
    gates[0].keep()
    world.run()
    assert log == ["a in", "a out", "c in"]
    tasks[2].cancel()
    world.run()
    assert all(task.done for task in tasks)
    world.spawn(work("d", gates[0]))
    world.run()
    assert log[-2:] == ["d in", "d out"]


def test_what_becomes_of_something_is_known_to_all_who_wait_and_to_who_asks_later_and_the_first_time_counts() -> None:
    world = World(Broker())
    good, bad = Outcome(world.promise), Outcome(world.promise)
    log: list[str] = []

    async def work(outcome: Outcome) -> None:
        try:
            await outcome.wait()
            log.append("done")
        except ValueError as error:
            log.append(str(error))

    tasks = [world.spawn(work(outcome)) for outcome in (good, good, bad, bad)]
    world.run()
    assert log == []
    tasks[0].cancel()
    good.settle()
    good.settle(ValueError("never"))
    bad.settle(ValueError("no"))
    world.run()
    assert log == ["done", "no", "no"]
    world.spawn(work(good))
    world.spawn(work(bad))
    world.run()
    assert log[3:] == ["done", "no"]
