"""A client of another make, which joins a room again and again over one connection, and returns credit late.

It answers state frames when it likes, and with numbers that are those of other frames as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.frames import decode_notice
from tests.promises.simulation.checks import require
from tests.promises.simulation.network import Dealer, Network
from tests.promises.simulation.ruling import READ, Ruling
from tests.promises.simulation.truth import Stream, Truth, producer_of
from tests.promises.simulation.world import World
from zchat.messages import Position
from zchat.wire.blocks import messages_of
from zchat.wire.limits import JOIN_FLAGS, LOG, OLDEST_VERSION
from zchat.wire.notices import END, ERROR, GAP, OK, PUSH, STATE
from zchat.wire.values import pack

EVERY = 0.15
"""Seconds between two things that it does."""

SILENCE = 3.0

RULED = ("not_allowed", "no_such_room", "banned", "room_closed")
"""Refusals by rules and moderators, after which it tries again a while later."""


class Peer:
    """Read one room, by the letter of the protocol."""

    def __init__(
        self, world: World, network: Network, truth: Truth, room: str, flags: Callable[[], int],
        key: str | None, ruling: Ruling | None = None,
    ) -> None:  # fmt: skip
        self.world = world
        self.network = network
        self.truth = truth
        self.room = room
        self._flags = flags
        self._key = key
        self._ruling = ruling
        self.over = False
        self.stream: Stream | None = None
        self.rejoins = 0
        self._position: Position | None = None
        self._connect()
        world.after(EVERY, self._act)

    def _connect(self) -> None:
        if self.over:
            return
        random = self.world.random
        self._dealer = Dealer(self.network, self, lambda: 0, 1.0, self._key)
        told, token = random.randbytes(16), random.randbytes(16)
        self._producer = producer_of(told, token)
        self._request = self._join = self._mark = self._held = self._sent = self._taken = 0
        self._joining = False
        self._heard = self.world.now
        self._shown = 0
        self._stale: list[tuple[int, int]] = []
        self._tell("hello", OLDEST_VERSION, OLDEST_VERSION, "peer", told, token, 3, 1)

    def _tell(self, word: str, *fields: Any) -> None:
        self._request += 1
        self._dealer.send(pack((word, self._request, *fields)))

    def broken(self) -> None:
        """Begin anew."""
        self._dealer.close(None)
        self._connect()

    def refused(self, *, later: bool) -> None:
        """Begin anew, after a while."""
        self._dealer.close(None)
        self.world.after(EVERY, self._connect_after, self._dealer)

    def _connect_after(self, refused: Dealer) -> None:
        if self._dealer is refused:  # or silence has had it begin anew before
            self._connect()

    def _withheld(self) -> bool:
        """Return whether what was said before may have been withheld."""
        return self._ruling is not None and self._ruling.lacked("peer", self.room, READ, 0.0)

    def arrived(self, frame: bytes) -> None:
        """Take a frame."""
        if self.over:
            return
        self._heard = self.world.now
        notice = decode_notice(frame)
        kind = notice[0]
        if kind == END or (kind == ERROR and notice[2] == "no_session"):
            self.broken()
        elif kind == ERROR:
            require(notice[1] is not None, f"a peer's credit was refused: {notice[3]}")
            if notice[2] in RULED:
                self.refused(later=True)
            else:
                self.broken()
        elif kind == OK and self._joining and notice[1] == self._join_request:
            self._joined(notice)
        elif kind == OK and not self._mark:
            self._mark = notice[4]
            self._enter()
        elif kind in (PUSH, GAP) and not self._joining:
            self._notified(notice)
        elif kind == STATE:
            require(notice[1] == self._shown + 1, f"a peer was sent state {notice[1]} after {self._shown}")
            self._shown += 1

    def _enter(self) -> None:
        """Join, for the first time or again: what is under way of the earlier join will come again."""
        if self._sent:
            self._stale.append((self._join, self._sent))
            self.rejoins += 1
        self._join += 1
        self._joining = True
        self._held = self._sent - self._taken
        self._sent, self._taken = self._held, 0
        self._asked = self._flags()
        asked = [] if self._asked == JOIN_FLAGS else [self._asked]
        self._tell("join", self.room, self._join, self._position, self._held, True, *asked)
        self._join_request = self._request

    def _joined(self, notice: list[Any]) -> None:
        self._joining = False
        require(notice[9:] == ([] if self._asked == JOIN_FLAGS else [self._asked]), f"joined with {notice[9:]}")
        position = Position(notice[3], notice[4])
        if self._position is None:
            self.stream = Stream(self.truth, self.room, *position, self._producer, "peer", self._withheld)
        else:
            require(position == self._position, f"a peer joined at {position}, not at {self._position}")
        self._position = position

    def _notified(self, notice: list[Any]) -> None:
        assert self.stream is not None
        _, room, epoch, after, upto, rest, *_ = notice
        self._sent += 1
        require(self._sent - self._taken <= self._mark, f"{self._sent - self._taken} notifications, over the mark")
        if notice[0] == PUSH:
            require(self._asked & LOG, "a peer was sent the log, and asked for none of it")
            messages = messages_of(room, rest, after, upto)
            self.stream.took(epoch, after, upto, [(m.seq, m.user, m.body.rstrip(), m.timestamp) for m in messages])
            self.world.delivered += len(messages)
        else:
            self.stream.skipped(epoch, after, upto, rest)
        self._position = Position(epoch, upto)

    def _act(self) -> None:
        if self.over:
            return
        random = self.world.random
        if self.world.now - self._heard > SILENCE:
            self.broken()
        self._dealer.send(pack(("ping",)))
        if self._shown and random.random() < 0.5:
            self._dealer.send(pack(("seen", random.choice((self._shown, self._shown, 0, self._shown + 1)))))
        if self._mark and not self._joining:
            what = random.random()
            if what < 0.3:
                self._enter()
            elif what < 0.6 and self._stale:
                join, taken = self._stale.pop()
                self._dealer.send(pack(("credit", self.room, join, taken)))
            elif self._taken < self._sent:
                self._taken = random.randint(self._taken + 1, self._sent)
                self._dealer.send(pack(("credit", self.room, self._join, self._taken)))
        self.world.after(EVERY * 2 * random.random(), self._act)

    def close(self) -> None:
        """Go, without a word."""
        self.over = True
        self._dealer.close(None)
