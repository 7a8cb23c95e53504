"""Storing a block and acknowledging it: the sender is answered by what the store reports, once the block is safe.

The other handlers of commands are in `zchat.broker.core.handlers`.
"""

from __future__ import annotations

from functools import partial

from zchat import errors
from zchat.broker.core.context import Context
from zchat.broker.core.replies import Request
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.store import contract
from zchat.wire.blocks import check_bodies
from zchat.wire.replies import Stored


def send(context: Context, request: Request, member: Member, number: int, bodies: bytes) -> None:
    """Store a block; the answer goes out when it is safe, after the members have been served."""
    if context.sessions.closing:
        raise errors.Closing("the broker is going down; try again later")
    count = check_bodies(bodies, context.settings.max_message)
    if not number:
        raise errors.Malformed("send: blocks are numbered from 1")
    session, room = member.session, member.room
    context.replies.owed += 1
    room.pending += 1
    context.store.append(
        contract.Append(room.name, session.producer, number, session.user, bodies, count, session.connection),
        partial(_appended, context, request, room, number),
    )


def _appended(context: Context, request: Request, room: Room, number: int, outcome: contract.Appended) -> None:
    context.replies.owed -= 1
    room.pending -= 1
    answer: Stored | errors.Refused
    match outcome:
        case contract.Stored(block, epoch):
            context.log_lines.well("storing")
            context.counters.blocks += 1
            context.counters.messages += block.last - block.first + 1
            answer = Stored(block.first, block.timestamp, epoch)
        case contract.Duplicate(first, _, timestamp, epoch):
            context.counters.duplicates += 1
            answer = Stored(first, timestamp, epoch)
        case contract.OutOfSequence(expected):
            answer = errors.OutOfOrder(f"block {number} is out of order: go back to {expected}", detail=expected)
        case contract.ForgottenProducer():
            answer = errors.Forgotten(f"the producer of block {number} is not known here: begin again at 1")
        case contract.Full(reason):
            answer = refused_as_busy(reason)
        case contract.Failed(reason):
            context.log_lines.trouble("storing", reason)
            answer = refused_as_failed("store", reason)
    context.replies.answer_later(request, answer)
    context.directory.vacate(room)


def refused_as_busy(reason: str) -> errors.Busy:
    """Return the refusal of what a bound of the store has no room for."""
    return errors.Busy(f"{reason}; try again later")


def refused_as_failed(what: str, reason: str) -> errors.StoreFailed:
    """Return the refusal of what the store could not do; `what` is a verb, `reason` is the disk\'s."""
    return errors.StoreFailed(f"the broker could not {what} it: {reason}; try again later")
