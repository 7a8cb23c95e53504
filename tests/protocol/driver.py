"""Drive the client's core by hand: a port that records, and a broker's part played frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from tests.frames import decode_command
from zchat import errors
from zchat.broker.limits import MAX_REQUESTS
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.protocol.rooms.cursor import Cursor
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.removal import Removal
from zchat.protocol.rooms.roster import Roster
from zchat.wire.limits import JOIN_FLAGS, VERSION
from zchat.wire.notices import GapNotice, Push
from zchat.wire.replies import Welcome
from zchat.wire.values import pack, unpack


class FakePort:
    """Record what goes out."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.welcome: Welcome | None = None
        self.ends: list[errors.ZchatError | None] = []
        self.losses: list[errors.ZchatError] = []
        self.invitations: list[tuple[str, str, Position]] = []
        self.marks_refused: list[tuple[str, errors.Refused]] = []
        self.connections = 1

    def send(self, frame: bytes) -> None:
        self.sent.append(decode_command(frame))

    def opened(self, welcome: Welcome) -> None:
        self.welcome = welcome

    def invited(self, room: str, user: str, position: Position) -> None:
        self.invitations.append((room, user, position))

    def mark_refused(self, room: str, error: errors.Refused) -> None:
        self.marks_refused.append((room, error))

    def lost(self, error: errors.ZchatError, was_open: bool) -> None:
        self.losses.append(error)

    def connect(self) -> None:
        self.connections += 1

    def ended(self, error: errors.ZchatError | None) -> None:
        self.ends.append(error)


class FakeCall:
    """Take one answer, once."""

    def __init__(self) -> None:
        self.withdrawn = False
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False

    def resolve(self, result: Any) -> bool:
        assert not self.done
        self.done, self.result = True, result
        return not self.withdrawn

    def fail(self, error: Exception) -> None:
        assert not self.done
        self.done, self.error = True, error


class FakeSubmission:
    """Hold messages; `seqs` are those of the stored ones."""

    def __init__(self, *texts: Any) -> None:
        self.bodies = deque(map(pack, texts))
        self.out = 0
        self.queued = True
        self.failed = False
        self.seqs: list[int] = []
        self.errors: list[Exception] = []

    def stored(self, count: int, first: int, timestamp: int) -> None:
        self.seqs += range(first, first + count)

    def fail(self, error: Exception) -> None:
        self.failed = True
        self.errors.append(error)


class FakeFeed:
    """Record what a membership is sent."""

    def __init__(self) -> None:
        self.membership: Membership | None = None
        self.told = 0
        self.roster = Roster(self.tell)
        self.notices: list[Push | GapNotice] = []
        self.cursor = Cursor()
        self.begun = 0
        self.moves = 0
        self.removals: list[Removal] = []

    def tell(self) -> None:
        self.told += 1

    def begin(self, membership: Membership) -> None:
        self.membership = membership
        self.begun += 1

    def push(self, notice: Push | GapNotice) -> None:
        assert self.membership is not None
        self.notices.append(notice)

    def moved(self) -> None:
        self.moves += 1

    def removed(self, removal: Removal) -> None:
        self.removals.append(removal)


class Wire:
    """Hold a core and play the broker: `commands` gives what came since it was last asked for."""

    def __init__(self, *, greet: bool = True, requests: int = MAX_REQUESTS) -> None:
        self.port = FakePort()
        self.core = ClientCore(self.port, "alice", b"p" * 16, b"t" * 16, 0, Random(1))
        self.now = 50.0
        self.seq = 0
        self._seen = 0
        self.core.start(self.now)
        if greet:
            self.greet(requests=requests)

    def greet(self, *, mark: int = 10, requests: int = MAX_REQUESTS, version: int = VERSION) -> list[Any]:
        """Answer a greeting; returns it."""
        [hello] = self.commands()
        self.ok(hello, version, "alice", mark, 1 << 20, 1 << 20, 1000, requests, 1000, 3000, 10_000)
        return hello

    def pass_time(self, until: Callable[[], bool]) -> float:
        """Tick when it is due until something is true; returns the seconds that it took."""
        start = self.now
        while not until():
            assert self.now < start + 10
            self.now = max(self.core.tick(self.now), self.now + 0.001)
            self.core.tick(self.now)
        return self.now - start

    def connected_anew(self) -> float:
        """Wait for a fresh connection; returns the seconds that it took."""
        before = self.port.connections
        return self.pass_time(lambda: self.port.connections > before)

    def come_back(
        self, reason: str = "cut", *, mark: int = 10, requests: int = MAX_REQUESTS, version: int = VERSION
    ) -> list[Any]:
        """Lose the connection, and answer the greeting of the next; returns it."""
        self.commands()
        self.core.lost(reason)
        self.connected_anew()
        return self.greet(mark=mark, requests=requests, version=version)

    def rejoin(self, seq: int = 0, mark: int = 10, *, gap: bool = False) -> list[Any]:
        """Answer the joins that have come; returns the one of General."""
        [join] = self.commands("join")
        self.ok(join, join[2], *(join[4] or (77, seq)), 1, 0, mark, gap)
        return join

    def commands(self, word: str | None = None) -> list[list[Any]]:
        new, self._seen = self.port.sent[self._seen :], len(self.port.sent)
        return [command for command in new if word in (None, command[0])]

    def say(self, *notice: Any) -> None:
        self.core.receive(pack(notice), self.now)

    def ok(self, command: list[Any], *result: Any) -> None:
        self.say("ok", command[1], *result)

    def remove(
        self, membership: Membership, code: str = "kicked", text: str = "", by: str = "bob", until: int = 0
    ) -> None:
        """Remove the user from a room."""
        self.say("removed", membership.name, membership.join, code, text, by, until)

    def refuse(self, command: list[Any], error: errors.Refused) -> None:
        self.say("error", command[1], error.code, error.text, error.retryable, error.detail)

    def store(self, command: list[Any]) -> None:
        """Answer a block as stored."""
        first = self.seq + 1
        self.seq += len(unpack(command[4]))
        self.ok(command, first, 1_000, 77)

    def join(
        self, room: str = "General", feed: FakeFeed | None = None, flags: int = JOIN_FLAGS
    ) -> tuple[FakeFeed, Membership]:
        feed, call = feed or FakeFeed(), FakeCall()
        self.core.join(room, None, True, call, feed, flags)
        [join] = self.commands("join")
        self.ok(join, room, 77, 0, 1, 0, 10, False, *(() if flags == JOIN_FLAGS else (flags,)))
        assert call.result is feed.membership
        assert feed.membership is not None
        return feed, feed.membership

    def take(self, membership: Membership, taken: int) -> None:
        """Return credit once so many notifications were taken since the first join."""
        membership.cursor.taken = taken
        self.core.credit(membership)

    def texts(self, command: list[Any]) -> list[str]:
        texts: list[str] = unpack(command[4])
        return texts

    def lost_with(self) -> errors.ZchatError:
        [error] = self.port.losses
        assert not self.core.connected
        return error

    def failed_with(self) -> Exception | None:
        [error] = self.port.ends
        assert self.core.over
        return error
