"""What a broker has reported of a log, and what it waits to see there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, Full
from zchat.broker.store.epochs import Epochs
from zchat.broker.store.redis.attachment import RoomState
from zchat.broker.store.redis.forms import block_of
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.requests import Call, SetReadMark, Write
from zchat.messages import Position

LOST = Failed("the connection to the server was lost before the block could be read back")


class CatchUp(NamedTuple):
    """A request for a room's state, and its next blocks after a seq; `turn`: since which connection it is asked."""

    room: str
    after: int
    turn: int
    blocks: bool
    """Whether blocks are wanted: this broker has members there."""
    locating: bool = False
    """Whether it is asked for `Mirror.locate`."""


class CaughtUp(NamedTuple):
    """What has been read of a room: the partition's epoch, the room's state, None if it has no log, and the blocks."""

    asked: CatchUp
    epoch: int
    state: RoomState | None
    blocks: list[Block]


class MirroredLog:
    """What was reported of a room's log: `last` is the last seq that was."""

    __slots__ = ("epochs", "first", "last", "maker", "name")

    def __init__(self, name: str, maker: str, first: int = 1) -> None:
        self.name = name
        self.maker = maker
        self.first = first
        self.last = first - 1
        self.epochs = Epochs()

    def is_lost(self, state: RoomState | None) -> bool:
        """Return whether what there is now in another epoch, None for nothing, lacks some of what was reported."""
        if state is None:
            return True
        return Epochs(state.epochs).parted(Position(self.epochs.current, self.last), state.ends.last) is not None


def mirrored(state: RoomState) -> MirroredLog:
    """Return a log of which all was reported that it has."""
    log = MirroredLog(state.name, state.maker, state.ends.first)
    log.last = state.ends.last
    log.epochs = Epochs(state.epochs)
    return log


class Claim:
    """The place of a block in its log, as the server has told it over a connection that is lost: is it there?"""

    __slots__ = ("block", "found")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.found = False

    def look(self, read: Iterable[Block]) -> None:
        """Look for the block among those that were read of the log: at its place, with its time and its bytes."""
        block = self.block
        self.found = self.found or any(each.first == block.first and each.data == block.data for each in read)


def claim_of(call: Call, reply: Any) -> Claim | None:
    """Return where a block is said to be, by the reply to a Write; None if it is not known which bytes were stored."""
    request = call.request
    assert isinstance(request, Write)
    if isinstance(reply, Claim):
        return reply
    word, *rest = reply
    if word == b"stored":
        first, timestamp = rest[:2]
    elif word == b"duplicate" and call.again and request.append.count:
        first, _, timestamp, _ = rest
    else:
        return None
    return Claim(block_of(request.append, request.suffix, first, timestamp))


def doubt(waiting: deque[tuple[Call | Notice, Any]], *, lost: bool, anew: bool) -> None:
    """Have the blocks that wait with a place in a log, which is `lost` or not, looked for there.

    `anew`: it is another run of the server, which may have lost what was marked as well: that fails.
    """
    kinds = (Write, SetReadMark) if anew else (Write,)
    for _ in range(len(waiting)):
        what, reply = waiting.popleft()
        if not isinstance(what, Call) or what.done is None or type(what.request) not in kinds:
            waiting.append((what, reply))
        elif isinstance(reply, Full | Failed):
            what.done(reply)
        elif lost or type(what.request) is not Write or (claim := claim_of(what, reply)) is None:
            what.done(LOST)
        else:
            waiting.append((what, claim))
