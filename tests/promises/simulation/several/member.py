"""One broker of several: its process, over the store that they share."""

from __future__ import annotations

from contextlib import suppress

from tests.promises.simulation.broker import Broker, Crash, Process
from tests.promises.simulation.network import Network
from tests.promises.simulation.several.server import Server
from tests.promises.simulation.several.store import PLACE, SharedStore
from tests.promises.simulation.several.threads import Program
from tests.promises.simulation.several.wire import Raw
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import World
from zchat.broker.settings import Settings
from zchat.errors import StoreError

AGAIN = 0.3
"""Seconds after which a broker is started again whose store could not be opened."""


class SharingProcess(Process):
    """Be one run of the broker, opened and closed by a thread of its own: both wait."""

    def __init__(self, broker: Member, program: Program) -> None:
        self._program = program
        self._servers = broker.servers
        super().__init__(broker)

    def make_store(self) -> SharedStore:
        return SharedStore(self._program, self._servers)

    def finish(self, now: float) -> None:
        self.alive = False  # it has no more turns
        self._program.start(self._close)

    def _close(self) -> None:
        with suppress(Crash):
            self.core.dismiss()
            self.store.close()
            self.core.turn(self._now)
        self.broker.crash()


class Member(Broker):
    """Start, crash and start again one of several brokers; `name` tells them apart in what is noted."""

    def __init__(
        self, world: World, name: str, network: Network, truth: Truth, server: Server, settings: Settings,
        turn_frames: int,
    ) -> None:  # fmt: skip
        super().__init__(world, network, truth, None, settings, turn_frames, None, None, None, None)
        self.name = name
        self.servers = {PLACE: server}
        self._program: Program | None = None

    def start(self) -> None:
        if self.process is None and self._program is None:
            self.starts += 1
            self.world.note(f"broker {self.name} starts")
            self._program = Program(self.world, lambda: self.stopped_until)
            self._program.start(self._open)

    def _open(self) -> None:
        program = self._program
        assert program is not None
        try:
            process = SharingProcess(self, program)
        except StoreError:
            if self._program is program:
                self._end()
                self.world.after(AGAIN, self.start)
            return
        self.process = process
        self.network.entrance = process.entrance
        process.wake(0.0)

    def _end(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.end()

    def crash(self) -> None:
        super().crash()
        self._end()

    def has(self, connection: Raw) -> bool:
        """Return whether a connection is one of its process."""
        return connection.program is self._program
