"""What the broker does for each command of moderation: one handler a command, in one table.

A handler is given what those of `zchat.broker.core.handlers` are; its room is None for the broker as a whole. That the
user may moderate there is asked before. A sanction is in force once the store has reported it, just before the answer:
see `zchat.broker.core.enforcement`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zchat import errors
from zchat.broker.core.access import Level
from zchat.broker.core.acknowledging import not_done
from zchat.broker.core.context import Context
from zchat.broker.core.replies import Request
from zchat.broker.limits import SANCTIONS_PAGE
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.broker.rooms.wall_clock import SECOND
from zchat.broker.store import contract
from zchat.broker.store.contract import BAN, CLOSED, MUTE
from zchat.broker.store.news import Kicked
from zchat.names import MAX_CHARACTERS, check_held_name, check_reason, fold
from zchat.wire.commands import CommandSpec
from zchat.wire.limits import MAX_SANCTION
from zchat.wire.replies import Changed, KickedOut, Sanctioned, SanctionRow, SanctionsPage


def moderate(
    context: Context, request: Request, session: Session, word: str, spec: CommandSpec, fields: list[Any]
) -> None:
    """Carry out a command of moderation, or raise a `Refused`.

    What it has changed is recorded, and what its user may not.
    """
    if spec.since > session.version:
        raise errors.VersionRefused(f"{word} requires version {spec.since} of the protocol")
    name, *rest = fields
    try:
        room = None if name is None else context.directory.find(name, request.peer.user)
        context.access.check_moderator(request.peer, room, name)
        HANDLERS[word](context, request, room, *rest)
    except (errors.NotAllowed, errors.NoSuchRoom, errors.Banned) as error:
        of_user = any(field.name == "user" for field in spec.fields)
        _record_refusal(context, request, word, name or "", rest[0][:MAX_CHARACTERS] if of_user else "", error)
        raise


def kick(context: Context, request: Request, room: Room, user: str, reason: str) -> None:
    """Put a user out of a room."""
    _check_above(context, request, room, user)
    check_reason(reason)
    person = room.roster.people.get(fold(user)) if room.roster is not None else None
    there = len(person.elsewhere) if person is not None else 0
    context.store.tell(Kicked(room.name, fold(user), _by(request), reason))
    there += context.removal.put_user_out(fold(user), room, "kicked", reason, _by(request))
    if there:
        _record(context, request, "kick", room, user=user, reason=reason)
    context.replies.answer(request, KickedOut(there))


def ban(context: Context, request: Request, room: Room | None, user: str, seconds: int, reason: str) -> None:
    """Ban a user from a room, or from the broker as a whole."""
    _check_above(context, request, room, user)
    _impose(context, request, "ban", room, BAN, user, seconds, reason)


def unban(context: Context, request: Request, room: Room | None, user: str) -> None:
    """End a user's ban."""
    _check_above(context, request, room, user)
    _lift(context, request, "unban", room, BAN, user)


def mute(context: Context, request: Request, room: Room, user: str, seconds: int, reason: str) -> None:
    """Let a user send nothing to a room."""
    _check_above(context, request, room, user)
    _impose(context, request, "mute", room, MUTE, user, seconds, reason)


def unmute(context: Context, request: Request, room: Room, user: str) -> None:
    """Let a user send to a room again."""
    _check_above(context, request, room, user)
    _lift(context, request, "unmute", room, MUTE, user)


def close(context: Context, request: Request, room: Room, reason: str) -> None:
    """Close a room."""
    _impose(context, request, "close", room, CLOSED, "", 0, reason)


def open_room(context: Context, request: Request, room: Room) -> None:
    """Open a closed room."""
    _lift(context, request, "open", room, CLOSED, "")


def sanctions(context: Context, request: Request, room: Room | None, after: int | None, limit: int) -> None:
    """List the sanctions in force, from the one after the number `after` on."""
    context.replies.refuse_if_overloaded()
    there = context.access.at_broker if room is None else room.sanctions
    limit = max(1, min(limit, SANCTIONS_PAGE))
    rows: list[SanctionRow] = []
    for each in there.all() if there is not None else ():
        if each.number > (after or 0) and not context.access.ends(each):
            if len(rows) == limit:
                context.replies.answer(request, SanctionsPage(rows, True))
                return
            where = None if room is None else room.name
            rows.append(
                SanctionRow(each.number, where, each.user, each.kind, each.until, each.by, each.at, each.reason)
            )
    context.replies.answer(request, SanctionsPage(rows, False))


def _check_above(context: Context, request: Request, room: Room | None, user: str) -> None:
    check_held_name("user", user)
    context.access.check_above(request.peer, room, user)


def _by(request: Request) -> str:
    assert request.session is not None, "the table says that this command needs a session"
    return request.session.user


def _impose(
    context: Context, request: Request, word: str, room: Room | None, kind: str, user: str, seconds: int, reason: str
) -> None:
    if seconds > MAX_SANCTION:
        raise errors.Malformed(
            f"{word}: {seconds} seconds are more than {MAX_SANCTION:,}, a hundred years; 0 is for ever"
        )
    check_reason(reason)
    at = context.access.time()
    until = at + seconds * SECOND if seconds else 0
    where, maker = ("", "") if room is None else (room.name, room.maker)
    _wait(context, room)
    sanction = contract.Sanction(where, user, kind, until, _by(request), at, reason, maker)
    places = context.access.places(request.peer.user, room)
    context.store.impose(sanction, places, partial(_imposed, context, request, word, room, user))


def _imposed(
    context: Context,
    request: Request,
    word: str,
    room: Room | None,
    user: str,
    outcome: contract.Imposed | contract.TooMany | contract.Full | contract.Failed,
) -> None:
    match outcome:
        case contract.Imposed(sanction, replaced):
            context.log_lines.well("storing sanctions")
            _record(context, request, word, room, user=user, until=sanction.until, reason=sanction.reason)
            closed = sanction.kind == CLOSED
            context.replies.answer(request, Changed(replaced is None) if closed else Sanctioned(sanction.until))
        case contract.TooMany(reason):
            error = errors.LimitReached(reason)
            _record_refusal(context, request, word, "" if room is None else room.name, user, error)
            context.replies.refuse(request, error)
        case _:
            context.replies.refuse(request, not_done(context, outcome, "storing sanctions", "store"))
    _waited(context, room)


def _lift(context: Context, request: Request, word: str, room: Room | None, kind: str, user: str) -> None:
    _wait(context, room)
    done = partial(_lifted, context, request, word, room, user)
    context.store.lift("" if room is None else room.name, user, kind, done)


def _lifted(
    context: Context,
    request: Request,
    word: str,
    room: Room | None,
    user: str,
    outcome: contract.Lifted | contract.Full | contract.Failed,
) -> None:
    match outcome:
        case contract.Lifted(sanction):
            context.log_lines.well("storing sanctions")
            if sanction is not None:
                _record(context, request, word, room, user=user)
            changed = sanction is not None and not context.access.ends(sanction)
            context.replies.answer(request, Changed(changed))
        case _:
            context.replies.refuse(request, not_done(context, outcome, "storing sanctions", "store"))
    _waited(context, room)


def _wait(context: Context, room: Room | None) -> None:
    """Keep a room until the store has answered."""
    context.replies.owed += 1
    if room is not None:
        room.pending += 1


def _waited(context: Context, room: Room | None) -> None:
    context.replies.owed -= 1
    if room is not None:
        room.pending -= 1
        context.directory.vacate(room)


def _record(context: Context, request: Request, word: str, room: Room | None, **fields: str | int) -> None:
    where = "" if room is None else room.name
    operator = context.access.level(request.peer.user, None) is Level.OPERATOR
    context.audit.add(word, request.peer, operator=operator, by=_by(request), room=where, **fields)


def _record_refusal(context: Context, request: Request, word: str, room: str, user: str, error: errors.Refused) -> None:
    context.audit.add(
        "refused",
        request.peer,
        by=_by(request),
        command=word,
        room=room,
        user=user,
        reason=error.code,
        text=error.text,
    )


HANDLERS: dict[str, Callable[..., Any]] = {
    "kick": kick,
    "ban": ban,
    "unban": unban,
    "mute": mute,
    "unmute": unmute,
    "close": close,
    "open": open_room,
    "sanctions": sanctions,
}
"""What carries out each command of moderation."""
