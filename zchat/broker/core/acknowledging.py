"""Storing a block and acknowledging it: the sender is answered by what the store reports, once the block is safe.

The other handlers of commands are in `zchat.broker.core.handlers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from zchat import errors
from zchat.broker.core.context import Context
from zchat.broker.core.replies import Request, Rest
from zchat.broker.guard.rules import ELSEWHERE, Rate
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.store import contract
from zchat.wire.blocks import claimed_count
from zchat.wire.checking import STEP_BYTES, check_bodies, checking
from zchat.wire.commands import Right
from zchat.wire.replies import Stored

_append_of: Callable[[tuple[Any, ...]], contract.Append] = partial(tuple.__new__, contract.Append)
_stored_at: Callable[[tuple[int, int, int]], Stored] = partial(tuple.__new__, Stored)
# As `_make`, without a call of Python's: once a block.


def send(context: Context, request: Request, member: Member, number: int, bodies: bytes) -> Rest | None:
    """Store a block; the answer goes out when it is safe, after the members have been served.

    What returns, unless it is None, is the rest of the work: the bodies may take long to check.
    """
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
    if len(bodies) > STEP_BYTES:
        return _check_and_append(context, request, member, number, bodies, largest)
    try:
        _append(context, request, room, number, bodies, check_bodies(bodies, largest))
    except (errors.BadBlock, errors.MessageTooLarge) as error:
        _recall(context, request, room, number, error)
    return None


def _check_and_append(
    context: Context, request: Request, member: Member, number: int, bodies: bytes, largest: int
) -> Rest:
    session, room = member.session, member.room
    try:
        count = yield from checking(bodies, largest)
    except (errors.BadBlock, errors.MessageTooLarge) as error:
        _recall(context, request, room, number, error)
        return
    context.access.check(request.peer, Right.SEND, room, room.name)  # it may have been banned or muted meanwhile
    if session.members.get(room) is not member:
        raise errors.NotAMember(f"you are not in {room.name}: join it first")
    _append(context, request, room, number, bodies, count)


def _recall(context: Context, request: Request, room: Room, number: int, error: errors.Refused) -> None:
    """Refuse a block that breaks a rule, unless it was stored all the same, by other limits."""
    refusal = errors.refusal(error.code, str(error), error.retryable)
    done = partial(_recalled, partial(_appended, context, request, room, number), refusal)
    _append(context, request, room, number, b"", 0, done)


def _append(
    context: Context,
    request: Request,
    room: Room,
    number: int,
    bodies: bytes,
    count: int,
    done: Callable[[contract.Appended], None] | None = None,
) -> None:
    session = request.session
    assert session is not None, "a member has a session"
    context.replies.owed += 1
    room.pending += 1
    context.store.append(
        _append_of((room.name, session.producer, number, session.user, bodies, count, session.connection, room.maker)),
        done or partial(_appended, context, request, room, number),
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
            if context.log_lines.troubles:
                context.log_lines.well("storing")
            context.counters.blocks += 1
            context.counters.messages += block.last - block.first + 1
            answer = _stored_at((block.first, block.timestamp, epoch))
        case contract.Duplicate(first, _, timestamp, epoch):
            context.counters.duplicates += 1
            answer = Stored(first, timestamp, epoch)
        case contract.OutOfSequence(expected):
            answer = errors.OutOfOrder(f"block {number} is out of order: go back to {expected}", detail=expected)
        case contract.ForgottenProducer():
            answer = errors.Forgotten(f"the producer of block {number} is not known here: begin again at 1")
        case contract.Fenced():
            answer = errors.Superseded("this session goes on over a later connection, at another broker")
            if context.replies.waits(request):
                assert request.session is not None, "a member has a session"
                context.sessions.end(request.session, answer)
        case contract.Full() | contract.Failed():
            answer = not_done(context, outcome, "storing", "store")
        case _:
            assert isinstance(outcome, errors.Refused), "a block without messages is only recalled"
            answer = outcome
    context.replies.later.append((request, answer))
    if not room.last:
        context.directory.vacate(room)


def not_done(context: Context, outcome: contract.Full | contract.Failed, what: str, verb: str) -> errors.Refused:
    """Return the refusal of what the store has not done: it had no room for it, or it failed, which is logged.

    `what` fails then, as the log has it; `verb`: what the store could not do.
    """
    if isinstance(outcome, contract.Full):
        return errors.Busy(f"{outcome.reason}; try again later")
    context.log_lines.trouble(what, outcome.reason, outcome.damaged)
    return errors.StoreFailed(f"the broker could not {verb} it: {outcome.reason}; try again later")
