"""What a broker has reported of a log, and what it waits to see there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed
from zchat.broker.store.epochs import Epochs
from zchat.broker.store.redis.attachment import RoomState
from zchat.broker.store.redis.forms import block_of
from zchat.broker.store.redis.requests import Call, Write

LOST = Failed("the connection to the server was lost before the block could be read back")


class MirroredLog:
    """What was reported of a room's log: `last` is the last seq that was."""

    __slots__ = ("epochs", "first", "last", "maker", "name")

    def __init__(self, name: str, maker: str, first: int = 1) -> None:
        self.name = name
        self.maker = maker
        self.first = first
        self.last = first - 1
        self.epochs = Epochs()


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
