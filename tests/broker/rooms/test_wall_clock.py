"""What is believed of a clock that somebody sets."""

from __future__ import annotations

import pytest

from tests.broker.driver import Clock, Peer, World
from zchat.broker.limits import CLOCK_JUMP, RETAIN_EVERY, SETTLING, START_SETTLING
from zchat.broker.rooms.wall_clock import SECOND, WallClock
from zchat.broker.settings import Settings
from zchat.broker.store.contract import PRODUCER_DAY
from zchat.wire.notices import OK

DAY = 86_400 * SECOND
START = 1_700_000_000 * SECOND


class Time:
    """Let time pass on both clocks, with a sample each second; `jump` sets the wall clock alone."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = Clock()
        self.clock = WallClock(self.wall, self.now)
        self.jumps: list[int] = []

    def jump(self, seconds: float) -> None:
        self.wall.time += int(seconds * SECOND)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            step = min(1.0, end - self.now)
            self.now += step
            self.wall.time += int(step * SECOND)
            if jump := self.clock.sample(self.now):
                self.jumps.append(jump)

    @property
    def behind(self) -> float | None:
        """Return how many seconds the earliest time that is possible is before the wall clock's."""
        settled = self.clock.settled(self.now)
        return None if settled is None else (self.wall.time - settled.earliest) / SECOND

    @property
    def before(self) -> float | None:
        """Return how many seconds the latest time that is possible is after the wall clock's."""
        settled = self.clock.settled(self.now)
        return None if settled is None else (settled.latest - self.wall.time) / SECOND


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_clock_is_believed_soon_after_the_start(time: Time) -> None:
    assert time.behind is None
    time.run(START_SETTLING - 1)
    believed = [time.behind]
    for seconds in (1, 3 * SETTLING):
        time.run(seconds)
        believed.append(time.behind)
    assert believed == [None, 0, 0]
    assert time.jumps == []


def test_a_clock_that_was_set_ahead_is_believed_after_an_hour_or_two(time: Time) -> None:
    time.run(SETTLING)
    time.jump(60 * 86_400)
    time.run(SETTLING - 1)
    assert time.behind == 60 * 86_400
    time.run(SETTLING + 2)
    assert time.behind == 0
    assert time.jumps == [60 * DAY]


@pytest.mark.parametrize("seconds", [6, 600, SETTLING - 1])
def test_a_clock_that_is_ahead_for_less_than_an_hour_is_never_believed(time: Time, seconds: float) -> None:
    time.run(SETTLING / 3)
    for _ in range(20):
        time.jump(60 * 86_400)
        time.run(seconds)
        assert time.behind == 60 * 86_400
        time.jump(-60 * 86_400)
        time.run(5)
        assert time.behind == 0
    assert time.jumps == [60 * DAY, -60 * DAY] * 20


def test_a_clock_that_was_set_back_is_believed_at_once(time: Time) -> None:
    time.run(SETTLING)
    time.jump(-60 * 86_400)
    time.run(1)
    assert (time.behind, time.before) == (0, 60 * 86_400)
    time.run(2 * SETTLING + 1)
    assert (time.behind, time.before) == (0, 0)


def test_a_clock_that_is_corrected_by_little_makes_no_jump(time: Time) -> None:
    time.run(SETTLING)
    time.jump(CLOCK_JUMP)
    time.run(1)
    time.jump(-CLOCK_JUMP)
    time.run(1)
    assert time.jumps == []
    time.jump(CLOCK_JUMP + 0.001)
    time.run(1)
    assert time.jumps == [int((CLOCK_JUMP + 0.001) * SECOND)]


# The broker


def run(world: World, seconds: float) -> None:
    """Let time pass on both clocks; no session expires."""
    for _ in range(int(seconds)):
        world.clock.time += SECOND
        world.now += 1
        for session in world.sessions.values():
            session.heard = world.now
        world.run()


def retaining(days: float = 30) -> tuple[World, Peer]:
    world = World(Settings(retain_days=days))
    alice = Peer(world, "alice")
    alice.join("General")
    run(world, START_SETTLING + 1)
    alice.send("General", "a")
    return world, alice


@pytest.mark.parametrize("days", [-3650, -60, 60, 3650])
def test_six_seconds_of_a_wrong_clock_remove_nothing(days: int) -> None:
    world, alice = retaining()
    world.clock.time += days * DAY
    run(world, 6)
    assert alice.send("General", "meanwhile", number=2)[0] == OK
    run(world, 6)
    world.clock.time -= days * DAY
    run(world, SETTLING / 2)
    assert alice.send("General", "later", number=3)[0] == OK
    run(world, SETTLING * 2)
    assert world.rooms["general"].first == 1


def test_two_wrong_clocks_one_after_the_other_remove_no_more_than_what_was_stored_by_the_first() -> None:
    world, alice = retaining()
    world.clock.time -= 3650 * DAY
    run(world, 6)
    alice.send("General", "long ago", number=2)
    world.clock.time += 3650 * DAY
    run(world, 3 * SETTLING)
    world.clock.time -= 40 * DAY  # so that all but the second seems to be dated ahead
    run(world, SETTLING / 2)
    world.clock.time += 40 * DAY
    run(world, 3 * SETTLING)
    assert world.rooms["general"].first == 1


def test_days_that_really_pass_remove_what_they_should() -> None:
    world, _ = retaining(days=0.1)
    run(world, 0.09 * 86_400)
    assert world.rooms["general"].first == 1
    run(world, 0.01 * 86_400 + 3 * RETAIN_EVERY)
    assert world.rooms["general"].first == 2


def test_a_producer_is_not_forgotten_for_a_moment_of_a_wrong_clock() -> None:
    world, alice = retaining()
    world.clock.time += 60 * DAY
    run(world, 6)
    world.clock.time -= 60 * DAY
    assert alice.send("General", "a", number=1)[0] == OK
    assert world.core.counters.duplicates == 1
    world.clock.time += PRODUCER_DAY
    run(world, 2 * SETTLING + 2)
    alice.send("General", "b", number=2)
    assert world.core.counters.refused["forgotten"] == 1


def test_a_jump_is_logged_once_with_its_size() -> None:
    world, _ = retaining()
    world.clock.time += 60 * DAY
    run(world, 10)
    world.clock.time -= 90 * SECOND
    run(world, 10)
    lines = [(line.text, line.grave, line.fields) for line in world.core.log_lines.take()]
    assert lines == [
        (
            "the wall clock is 5,184,000.0 s further ahead: it was set, or the machine was suspended",
            True,
            {"event": "clock_jumped", "seconds": 5_184_000},
        ),
        ("the wall clock is 90.0 s further back: it was set", True, {"event": "clock_jumped", "seconds": -90}),
    ]
