"""What the gateway's core needs from outside: a clock, tasks, clients of a broker, connections to browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol

from zchat.events import Event
from zchat.messages import Batch, Member, Message, Position, RoomInfo


class Connection(Protocol):
    """A browser's connection, as long as it lasts."""

    @property
    def paused(self) -> bool:
        """True while more than `limits.BUFFER_BYTES` wait in it."""

    def write(self, *frames: bytes) -> None:
        """Send frames, as `frames.frame` makes them. It never waits, and does nothing once the connection is lost."""

    def hold(self, held: bool) -> None:
        """Read nothing more from it, or (False) go on."""

    def close(self, code: int, text: str) -> None:
        """Close it, after what was written."""


class Room(Protocol):
    """A room of a client: what the core uses of `zchat.AsyncRoom`."""

    @property
    def name(self) -> str:
        """The room's name."""

    @property
    def position(self) -> Position:
        """How far it was read."""

    @property
    def joined(self) -> bool:
        """True while the user is in it, as the broker of the present connection has said."""

    @property
    def began(self) -> Position | None:
        """Where the user's stay in it began; None from a join on until the gap has come that it begins with."""

    @property
    def member_count(self) -> int:
        """How many are here, 0 before the broker's first report."""

    @property
    def crowded(self) -> bool:
        """True if the broker reports how many are here, and not who."""

    async def send(self, body: Any, *, timeout: float | None) -> Message:
        """Send a message."""

    def typing(self, active: bool) -> None:
        """Show that the user types, or no longer does."""

    def mark_read(self, seq: int) -> None:
        """Mark the room as read."""

    async def leave(self, *, timeout: float | None) -> None:
        """Leave the room, at once: a `join` that is asked for later begins another membership, and waits for it."""


class Client(Protocol):
    """A session with the broker: what the core uses of `zchat.AsyncClient`."""

    @property
    def user(self) -> str:
        """The user's name."""

    @property
    def max_message(self) -> int:
        """Bytes of a message."""

    async def connect(self) -> object:
        """Connect, once."""

    async def close(self, timeout: float) -> None:
        """Disconnect."""

    async def join(self, name: str, *, create: bool, echo: bool, reads: bool, present: bool) -> Room:
        """Join a room; cancelled, it is left again. Of one that is joined nothing is asked, and it is the same."""

    async def rooms(self, *, after: str | None, limit: int) -> list[RoomInfo]:
        """Return rooms by name, those after one."""

    async def members(self, name: str, *, after: str | None, limit: int) -> list[Member]:
        """Return members of a room by name, those after one."""

    async def history_batch(
        self, name: str, *, after: int | None = None, before: int | None = None, limit: int
    ) -> Batch | None:
        """Return messages of a room's log."""

    def events(self, *, batches: bool) -> AsyncIterator[Event | Batch]:
        """Return the events of all rooms."""


class Promise(Protocol):
    """Something to wait for, in one task."""

    def __await__(self) -> Any:
        """Wait until `keep` is called."""

    def keep(self) -> None:
        """Wake what waits; a second time, or if nothing waits any more, it does nothing."""


class Work(Protocol):
    """A task."""

    def cancel(self) -> object:
        """Have it end at its next wait."""


class World(Protocol):
    """All that the core can't do by itself."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall(self) -> float:
        """Return seconds since 1970."""

    def chance(self) -> str:
        """Return a text that nobody can guess."""

    def fraction(self) -> float:
        """Return a number from 0 to 1 by chance."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> Work:
        """Begin a task. Tasks begin in the order in which they are spawned; one may end before this returns."""

    def promise(self) -> Promise:
        """Return something to wait for."""

    def client(self, user: str) -> Client:
        """Return a client for a user, which has yet to connect; raises ZchatError if there can't be one."""

    def failed(self, what: str, error: BaseException) -> None:
        """Report a fault of the gateway's own."""
