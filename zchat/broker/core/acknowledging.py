"""Storing a block and acknowledging it: the sender is answered by what the store reports, once the block is safe.

The other handlers of commands are in `zchat.broker.core.handlers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

from zchat import errors
from zchat.broker.core.context import Context
from zchat.broker.core.replies import Request
from zchat.broker.guard.rules import ELSEWHERE, Rate
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store import contract
from zchat.wire.blocks import check_bodies, claimed_count
from zchat.wire.replies import Stored


def send(context: Context, request: Request, member: Member, number: int, bodies: bytes) -> None:
    """Store a block; the answer goes out when it is safe, after the members have been served."""
    if context.sessions.closing:
        raise errors.Closing("the broker is going down; try again later")
    if not number:
        raise errors.Malformed("send: blocks are numbered from 1")
    session, room = member.session, member.room
    rules, largest = context.access.rules, context.settings.max_message
    if rules is not None:
        table = ELSEWHERE if room.direct else rules.table(room.folded)
        if any(rules.limits) or any(table.rate):
            _check_rate(context, rules.limits, session, room, table.rate, bodies)
        largest = min(largest, table.max_message or largest)
    done = partial(_appended, context, request, room, number)
    try:
        count = check_bodies(bodies, largest)
    except (errors.BadBlock, errors.MessageTooLarge) as error:  # it may have been stored all the same, by other limits
        bodies, count = b"", 0
        done = partial(_recalled, done, errors.refusal(error.code, str(error), error.retryable))
    context.replies.owed += 1
    room.pending += 1
    context.store.append(
        contract.Append(
            room.name, session.producer, number, session.user, bodies, count, session.connection, room.maker
        ),
        done,
    )


def _check_rate(context: Context, limits: Rate, session: Session, room: Room, rate: Rate, bodies: bytes) -> None:
    """Raise `Busy` for a block that comes faster than the rules allow, before anything of it is decoded."""
    messages, size = claimed_count(bodies), len(bodies)
    too_fast = context.rates.take(session.peer.user, limits, room.folded, rate, messages, size, context.now)
    if too_fast is not None:
        seconds, counter = too_fast
        context.counters.count(counter)
        raise errors.Busy(f"too fast: try again in {seconds:.3g} s", detail=ceil(seconds * 1000))


def _recalled(
    appended: Callable[[contract.Appended | errors.Refused], None], error: errors.Refused, outcome: contract.Appended
) -> None:
    """Answer a block that breaks a rule: as the first time if it was stored then, else with `error`."""
    unknown = isinstance(outcome, contract.Full | contract.Failed)  # whether it was: it is to be sent again
    appended(outcome if unknown or isinstance(outcome, contract.Duplicate) else error)


def _appended(
    context: Context, request: Request, room: Room, number: int, outcome: contract.Appended | errors.Refused
) -> None:
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
        case contract.Failed(reason, damaged):
            context.log_lines.trouble("storing", reason, damaged)
            answer = refused_as_failed("store", reason)
        case _:
            assert isinstance(outcome, errors.Refused), "a block without messages is only recalled"
            answer = outcome
    context.replies.answer_later(request, answer)
    context.directory.vacate(room)


def refused_as_busy(reason: str) -> errors.Busy:
    """Return the refusal of what a bound of the store has no room for."""
    return errors.Busy(f"{reason}; try again later")


def refused_as_failed(what: str, reason: str) -> errors.StoreFailed:
    """Return the refusal of what the store could not do; `what` is a verb, `reason` is the disk\'s."""
    return errors.StoreFailed(f"the broker could not {what} it: {reason}; try again later")
