"""A wall clock that jumps, there and back, for less time than it takes to be believed."""

from __future__ import annotations

from random import Random

from tests.promises.simulation.world import World

SETTLING = 3.0
"""Seconds that a clock must have run ahead to be believed, in place of an hour."""

SAMPLES = 0.2
"""Seconds between two samples of the clock, in place of one."""

AGES = (0, 0, 20.0)
"""Seconds that messages are kept (0: for ever)."""

JUMPS = (-70_000.0, -30.0, 30.0, 4_000.0, 60 * 86_400.0, 10 * 365 * 86_400.0)
"""Seconds of a jump: back by less than the day after which producers are forgotten, ahead as far as one likes."""


class WallClockFaults:
    """Have the wall clock of a world jump now and then, by chance of its own: all else goes as it would without."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"wall clock {world.seed}")
        self.days = self._random.choice(AGES) / 86_400
        self.jumps = 0
        self.jumping = self._random.random() < 0.5
        if self.jumping:
            self._later()

    def _later(self) -> None:
        self._world.after(2 * SETTLING + self._random.expovariate(0.3), self._jump)

    def _jump(self) -> None:
        self.jumps += 1
        self._world.jump_us = int(self._random.choice(JUMPS) * 1_000_000)
        self._world.note(f"the wall clock jumps by {self._world.jump_us}")
        self._world.after(0.8 * SETTLING * self._random.random(), self._back)

    def _back(self) -> None:
        self._world.jump_us = 0
        self._world.note("the wall clock jumps back")
        self._later()
